"""OnnxModel, a model of an ONNX file as a module: run eager at once, as a graph by those who ask for one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..dtype import of
from ..errors import DtypeError, EngineError, ShapeError
from ..graph.alignment import align
from ..graph.inference import outline
from ..graph.ir import Graph
from ..graph.module import Imported
from ..graph.recording import CaptureError, Recording
from ..graph.structure import take_apart
from ..tensor import Tensor
from .elements import STRING, element, element_of
from .evaluation import Evaluation
from .items import Item, Thing
from .records import InfoRecord, ModelRecord
from .running import Folds, Run

BATCHES = (2, 3, 5)  # what a graph that follows the batch is tried with: other than 1, and than one another


class OnnxModel(Imported):
    """A model of an ONNX file. The tensors it is given are the file's inputs in order, or by their names.

    It gives a tensor for one output, a tuple for several; a sequence is a list, texts are an array of objects. Its
    parameters are the file's initialisers of floating numbers; the others are shapes, axes and the like.
    """

    def __init__(self, record: ModelRecord, initial: Mapping[str, Item]) -> None:
        super().__init__()
        assert record.graph is not None
        self._record, self._outer = record, record.graph
        self._initial = dict(initial)
        self.keep_state({name: item.array for name, item in initial.items() if item.floating and item.ndim})
        self.inputs = [info for info in record.graph.inputs if info.name not in initial]
        self.outputs = record.graph.outputs

    @property
    def opsets(self) -> dict[str, int]:
        """The versions of the operators, by domain."""
        return dict(self._record.opsets)

    @property
    def graph(self) -> Graph:
        """The graph for the shapes that the file declares. Raises: CaptureError where these need an example."""
        return self.graph_for()

    # Running eager

    def forward(self, *args: Any, **named: Any) -> Any:
        """Run node by node; compile_module() runs it fast."""
        given = {name: tensor.array for name, tensor in self._by_name(args, named).items()}
        things = [_given_back(thing) for thing in self.run(given)]
        return things[0] if len(things) == 1 else tuple(things)

    def run(self, given: Mapping[str, Any]) -> list[Thing]:
        """The outputs as items, for inputs by name: arrays, and lists of them for sequences."""
        values: dict[str, Thing] = {**self._state()}
        for info in self.inputs:
            if info.name in given:
                values[info.name] = self._checked(info, given[info.name])
            elif info.kind == "optional":
                values[info.name] = None
            else:
                raise ShapeError(f"the input {info.name!r} is missing")
        evaluation = Evaluation(self._record, Run(), opsets=self._record.opsets)
        return evaluation.graph(self._outer, values)

    def _state(self) -> dict[str, Item]:
        """The initialisers as they are now."""
        state = self.state
        return {
            name: Item(state[name], item.element, name=name) if name in state else item
            for name, item in self._initial.items()
        }

    def _checked(self, info: InfoRecord, value: Any) -> Thing:
        if value is None or isinstance(value, list):
            return None if value is None else [self._checked(replace(info, dims=None), part) for part in value]
        kind = element(info.type) if info.type else None
        array = np.asarray(value)
        if kind is not None and array.dtype != kind.carrier:
            if kind is not STRING or array.dtype.kind not in "UTS":
                raise DtypeError(f"input {info.name!r}: met {array.dtype}; expected {kind.name}")
            array = array.astype(object)
        _check_shape(info, array.shape)
        return Item(array, kind) if kind is not None else Item(array, element_of(array))

    # As a graph

    def graph_for(self, *examples: Any, **named: Any) -> Graph:
        """The graph for inputs like the examples, or without any, for the shapes that the file declares.

        Raises: CaptureError where what the model does depends on the values, or a shape is not known.
        """
        shapes = self._shapes(
            {n: t.array.shape for n, t in self._by_name(examples, named).items()} if examples or named else None
        )
        folds, dims = Folds(), self._batch_dims(shapes)
        batch = next((shapes[name][dim] for name, dim in dims.items()), 1)
        reason: Exception | None = None
        if dims:
            try:
                return align([self._record_for(shapes, dims, n, folds) for n in BATCHES])
            except EngineError as error:
                reason = error
        try:
            graph = align([self._record_for(shapes, dims, batch, folds)] * 2)
        except CaptureError:
            raise
        except EngineError as error:
            raise reason or error from None
        note = f"for a batch of {batch} alone: {reason}" if reason else "for the sizes in the file alone: none is open"
        return replace(graph, note=note)

    def _record_for(
        self, shapes: Mapping[str, tuple[int, ...]], dims: Mapping[str, int], batch: int, folds: Folds
    ) -> Recording:
        recording = Recording(batch)
        run = Run(recording, folds)
        values: dict[str, Thing] = {}
        for info in self.inputs:
            shape = shapes[info.name]
            sizes = tuple(batch if dims.get(info.name) == d else size for d, size in enumerate(shape))
            kind = element(info.type)
            values[info.name] = run.input(info.name, outline(sizes, kind.carrier), kind)
        values.update(self._state())
        outputs = Evaluation(self._record, run, opsets=self._record.opsets).graph(self._outer, values)
        recording.outputs = tuple(
            _number(run, output, info) for output, info in zip(outputs, self.outputs, strict=True)
        )
        return recording

    def _shapes(self, given: Mapping[str, tuple[int, ...]] | None) -> dict[str, tuple[int, ...]]:
        """A shape for each input: the examples', or what the file declares with a batch of 1."""
        batch = batch_dims(self.inputs)
        shapes = {}
        for info in self.inputs:
            if info.kind != "tensor" or element(info.type) is STRING:
                kind = info.kind if info.kind != "tensor" else "tensor of texts"
                raise CaptureError(f"runs eager: the input {info.name!r} is a {kind or 'value of no type'}")
            if given is not None:
                if info.name not in given:
                    raise ShapeError(f"the input {info.name!r} is missing")
                _check_shape(info, given[info.name])
                shapes[info.name] = given[info.name]
                continue
            dims = {d: n for d, n in enumerate(info.dims or ()) if d != batch.get(info.name)}
            if info.dims is None or any(isinstance(n, str) for n in dims.values()):
                raise CaptureError(f"runs eager: the sizes of {info.name!r} are open; give examples of the inputs")
            shapes[info.name] = tuple(1 if isinstance(n, str) else n for n in info.dims)
        return shapes

    def _batch_dims(self, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, int]:
        """The dim of each input that is the batch, for those that agree with the first."""
        sizes = {n: (d, shapes[n][d]) for n, d in batch_dims(self.inputs).items() if d < len(shapes[n])}
        first = next((size for _, size in sizes.values()), None)
        return {name: d for name, (d, size) in sizes.items() if size == first}

    # Inputs

    def _by_name(self, args: Sequence[Any], named: Mapping[str, Any]) -> dict[str, Tensor]:
        """The tensors by the names of the inputs."""
        names = [info.name for info in self.inputs]
        tensors = take_apart(list(args))[1]
        found = dict(zip(names, tensors, strict=False))
        if len(tensors) > len(names) or found.keys() & named.keys() or not named.keys() <= set(names):
            raise ShapeError(f"the inputs are {', '.join(names)}; met {len(tensors)} and {sorted(named)}")
        return {**found, **named}

    def extra_repr(self) -> str:
        """The inputs and outputs."""
        inputs, outputs = (", ".join(map(_told, infos)) for infos in (self.inputs, self.outputs))
        return f"({inputs}) → ({outputs}), {len(self._outer.nodes)} nodes"


def batch_dims(infos: Sequence[InfoRecord]) -> dict[str, int]:
    """The dim of each input that follows the batch: the first one that the file leaves open, and those named alike."""
    dims = [(info.name, ("",) if info.dims is None else info.dims) for info in infos]
    open_dims = [(d, size, name) for name, sizes in dims for d, size in enumerate(sizes) if isinstance(size, str)]
    if not open_dims:
        return {}
    place, symbol, _ = min(open_dims, key=lambda dim: dim[0])
    return {name: d for d, size, name in reversed(open_dims) if size == symbol and (size or d == place)}


def _told(info: InfoRecord) -> str:
    dims = "" if info.dims is None else f"[{', '.join(str(n) or '?' for n in info.dims)}]"
    return f"{info.name} {element(info.type).name if info.type else info.kind}{dims}"


def _check_shape(info: InfoRecord, shape: tuple[int, ...]) -> None:
    if info.dims is None:
        return
    fits = len(shape) == len(info.dims)
    if not fits or any(isinstance(n, int) and n != met for n, met in zip(info.dims, shape, strict=True)):
        expected = ", ".join(str(n) or "?" for n in info.dims)
        raise ShapeError(f"input {info.name!r}: met shape {shape}; expected ({expected})")


def _number(run: Run, output: Thing, info: InfoRecord) -> int:
    if not isinstance(output, Item) or output.element is STRING:
        raise CaptureError(f"runs eager: the output {info.name!r} is not a plain tensor")
    return run.number(output)


def _given_back(thing: Thing) -> Any:
    if isinstance(thing, list):
        return [_given_back(part) for part in thing]
    if thing is None or thing.element is STRING:
        return None if thing is None else thing.array
    of(thing.array)
    return Tensor(np.array(thing.array))
