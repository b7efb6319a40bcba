"""capture(), which runs a module to see what it does, and keeps that as a graph."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from ..autograd import no_grad
from ..dtype import Array
from ..generator import default_generator
from ..nn.module import Module
from ..tensor import Tensor
from ..tracing import TRACING
from .alignment import align
from .interpret import interpret
from .ir import Graph
from .module import Imported
from .recording import CaptureError, Recorder, Recording
from .structure import StructureError, put_together, take_apart

TOLERANCE = 1e-3


def capture(
    module: Module,
    *examples: Any,
    named: Mapping[str, Any] | None = None,
    dims: Sequence[int | None] | None = None,
    check: bool = True,
) -> Graph:
    """What the module does to inputs like the examples (tensors, or tuples, lists and dicts of them), as a graph.

    The module runs several times, with batches of different sizes and contents, so that sizes that follow the batch
    are told from those that do not. The graph is for every batch, or where the module behaves differently for some, for
    the examples' batch alone: `graph.note` then says why. `named` are keyword arguments; `dims` says which dim of each
    tensor is the batch (None: it has none), by default the first of all that agree with the first tensor's. The inputs
    are the tensors in order, those in keyword arguments at the end, sorted by name.
    A module that was imported from a file says its graph itself. Without `check` the graph is not compared with the
    module on the examples, which takes one more run.
    Raises: CaptureError where what the module does depends on the values, with the line that asks for them.
    """
    if isinstance(module, Imported):
        return module.graph_for(*examples, **(named or {}))
    subject = _Subject(module, examples, named or {}, dims)
    first = subject.record(subject.batch, 0)
    graph = _for_every_batch(subject, first)
    if check:
        _check(graph, subject)
    return graph


def _for_every_batch(subject: _Subject, first: Recording) -> Graph:
    # Neither rising nor falling from run to run, so that what the module counts is not taken for the batch.
    others = sorted([n for n in (2, 3, 4) if n != subject.batch][:2], key=lambda n: -abs(n - subject.batch))
    reason: Exception | None = None
    # Shapes alone are told in a tenth of the time, but lie in another order in memory here and there: whether reshape()
    # gives a view depends on that, and a module that writes to what it gives takes two ways then.
    for shapes in (True, False) if any(dim is not None for dim in subject.dims) else ():
        try:
            runs = [subject.record(batch, turn, shapes=shapes) for turn, batch in enumerate(others, 1)]
            return align([first, *runs])
        except Exception as error:  # whatever a module raises when the batch is not what it expects
            reason = error
    graph = align([first, subject.record(subject.batch, 1)])
    note = f"for a batch of {subject.batch} alone" + (f": {reason}" if reason else ": no input has a dim for it")
    return replace(graph, note=note)


class _Subject:
    """A module and its examples, and how both are varied."""

    def __init__(
        self, module: Module, args: Sequence[Any], named: Mapping[str, Any], dims: Sequence[int | None] | None
    ) -> None:
        if module.training:
            raise CaptureError("the module is in training mode; call .eval() first")
        self.module = module
        named = dict(sorted(named.items()))
        self.structure, self.tensors = take_apart([list(args), named])
        if not self.tensors:
            raise CaptureError("expected at least one tensor as an example")
        self.names = _input_names(module, args, named)
        self.dims = self._batch_dims() if dims is None else list(dims)
        if len(self.dims) != len(self.tensors):
            raise CaptureError(f"dims has {len(self.dims)} entries for {len(self.tensors)} tensors; expected one each")
        sizes = {t.array.shape[d] for t, d in zip(self.tensors, self.dims, strict=True) if d is not None}
        if len(sizes) > 1:
            raise CaptureError(
                f"the examples are batches of {' and '.join(map(str, sorted(sizes)))}; expected one size"
            )
        self.batch = sizes.pop() if sizes else 1
        self.expected: list[Array] = []

    def _batch_dims(self) -> list[int | None]:
        shapes = [t.array.shape for t in self.tensors]
        return (
            [0 if shape and shape[0] == shapes[0][0] else None for shape in shapes]
            if shapes[0]
            else [None] * len(shapes)
        )

    def arrays(self, batch: int, turn: int) -> list[Array]:
        """The examples for turn 0; after that as many as the batch says, with other contents of the same kind."""
        return [
            tensor.array if not turn else _varied(_resized(tensor.array, dim, batch), np.random.default_rng([turn, n]))
            for n, (tensor, dim) in enumerate(zip(self.tensors, self.dims, strict=True))
        ]

    def record(self, batch: int, turn: int, *, shapes: bool = False) -> Recording:
        """Run the module under a recorder."""
        inputs = [Tensor(array.copy()) for array in self.arrays(batch, turn)]
        state = dict([*self.module.named_parameters(), *self.module.named_buffers()])
        recorder = Recorder(batch, dict(zip(self.names, inputs, strict=True)), state, shapes=shapes)
        args, named = put_together(self.structure, inputs)
        dice = default_generator.numpy.bit_generator.state
        try:
            with no_grad(), _named_layers(self.module, recorder), _watched_by(recorder):
                result = self.module(*args, **named)
        finally:
            if recorder.failure is not None:
                raise recorder.failure
        if default_generator.numpy.bit_generator.state != dice:
            raise CaptureError("runs eager: the module draws random numbers")
        return self._finished(recorder, result, turn)

    def _finished(self, recorder: Recorder, result: Any, turn: int) -> Recording:
        recording = recorder.recording
        try:
            structure, outputs = take_apart(result)
        except StructureError as error:
            raise CaptureError(f"runs eager: the module gives {error}") from None
        recording.structure = None if structure == {"output": 0} else structure
        recording.outputs = tuple(recorder.number(o) for o in outputs)
        if not turn:
            self.expected = [o.array.copy() for o in outputs]
        return recording


def _input_names(module: Module, args: Sequence[Any], named: Mapping[str, Any]) -> list[str]:
    """The names of forward()'s parameters, with a number for each further tensor in one."""
    taken = {name for name, _ in [*module.named_parameters(), *module.named_buffers()]}
    try:
        signature = inspect.signature(module.forward)
        signature.bind(*args, **named)
        given = {**signature.bind_partial(*args).arguments, **named}
    except TypeError as error:
        raise CaptureError(f"the examples do not fit {type(module).__name__}.forward(): {error}") from None
    names: list[str] = []
    parts = [(name, part) for name, item in given.items() for part in take_apart(item)[1]]
    for name, _ in parts:
        candidates = (f"{name}{'' if not n else f'_{n}'}" for n in range(len(parts) + len(taken) + 1))
        names.append(next(c for c in candidates if c not in names and c not in taken))
    return names


def _resized(array: Array, dim: int | None, batch: int) -> Array:
    if dim is None:
        return array
    return np.asarray(np.take(array, np.arange(batch) % array.shape[dim], axis=dim))


def _varied(array: Array, dice: np.random.Generator) -> Array:
    """Other values of the same kind: floats of the same spread, integers of the same range."""
    if array.dtype.kind in "fc":
        spread = float(np.abs(array[np.isfinite(array)]).mean()) if np.isfinite(array).any() else 1.0
        jitter = dice.uniform(-1.5, 1.5, array.shape) * (spread or 1.0)  # enough to change signs
        return (dice.permutation(array.ravel()).reshape(array.shape) + jitter).astype(array.dtype)
    if array.dtype.kind == "b":
        return array ^ (dice.random(array.shape) < 0.25)
    low, high = (int(array.min()), int(array.max())) if array.size else (0, 0)
    low = min(low, 0) if low == high else low
    return dice.integers(low, high, array.shape, endpoint=True).astype(array.dtype)


@contextmanager
def _watched_by(recorder: Recorder) -> Iterator[None]:
    before = TRACING.watcher
    TRACING.watcher = recorder
    try:
        yield
    finally:
        TRACING.watcher = before


@contextmanager
def _named_layers(module: Module, recorder: Recorder) -> Iterator[None]:
    """Let the recorder know which layer is running, in this thread."""
    handles = []
    for name, layer in module.named_modules():

        def enter(_layer: Module, _args: Any, name: str = name) -> None:
            if TRACING.watcher is recorder:
                recorder.layers.append(name)

        def leave(_layer: Module, _args: Any, _result: Any) -> None:
            if TRACING.watcher is recorder:
                recorder.layers.pop()

        handles += [layer.register_forward_pre_hook(enter), layer.register_forward_hook(leave)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _check(graph: Graph, subject: _Subject) -> None:
    """Refuse a graph that does not give what the module gave: something was computed where nobody saw it."""
    outputs = interpret(graph, subject.arrays(subject.batch, 0))
    for value, output, expected in zip(graph.outputs, outputs, subject.expected, strict=True):
        if not agree(output, expected):
            raise CaptureError(f"runs eager: {value.name} is not what the module gave; it computes past the engine")


def agree(output: Array, expected: Array) -> bool:
    """Whether two ways to compute a result gave the same, but for what rounding may do."""
    if (output.shape, output.dtype) != (expected.shape, expected.dtype):
        return False
    finite = np.abs(expected[np.isfinite(expected)]) if expected.dtype.kind == "f" else np.zeros(0)
    tolerance = TOLERANCE if expected.dtype.itemsize > 2 else 10 * TOLERANCE
    return np.allclose(output, expected, tolerance, tolerance * float(finite.max(initial=0)), equal_nan=True)
