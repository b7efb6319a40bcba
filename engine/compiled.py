"""compile_module(), which turns a module into a CompiledModel: plans where there can be any, eager where not."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from .autograd import no_grad
from .dtype import Array
from .errors import DtypeError, EngineError, ShapeError
from .executors import Choices, Program, StepTime, executor_named
from .graph import CaptureError, Graph, Imported, capture
from .graph.capture import agree
from .graph.passes import lower
from .graph.structure import StructureError, put_together, take_apart
from .nn.module import Module
from .programs import PlanError, Programs
from .sharing import let_go, shared
from .tensor import Tensor

Form = tuple[tuple[int, ...], np.dtype[Any]]  # shape and dtype of an array

FEW = 2  # rows of a batch by which its results are compared with the module's


def compile_module(
    module: Module,
    *examples: Any,
    named: Mapping[str, Any] | None = None,
    executor: str = "auto",
    threads: int = 1,
    exact: bool = False,
    choices: Choices | None = None,
    plans: int = 4,
) -> CompiledModel:
    """The module, ready to be run on inputs like the examples, of any batch, by an executor.

    It keeps the weights as they are now. Up to `plans` programs are kept, those used last; `exact` leaves out
    algorithms that round more than the direct ones. A module that cannot be captured runs eager: `reason` says why.
    Raises: EngineError where there is no such executor; what the module raises on the examples.
    """
    by = executor_named(executor, threads=threads, exact=exact)
    known = Choices() if choices is None else choices
    graph, reason = _graph_of(module, examples, named or {})
    programs = Programs(graph, by, threads, exact, known, plans) if graph else None
    example = Example(examples, named or {}, _input_names(module, graph))
    return CompiledModel(module, programs, example, by.name, threads, exact, known, reason)


def _input_names(module: Module, graph: Graph | None) -> list[str]:
    """In which order the graph has inputs that are given by name: its own if it was read from a file, else sorted."""
    return [value.name for value in graph.inputs] if graph and isinstance(module, Imported) else []


def _graph_of(module: Module, examples: Sequence[Any], named: Mapping[str, Any]) -> tuple[Graph | None, str]:
    """The lowered graph, or None and the reason why there is none."""
    try:
        graph = capture(module, *examples, named=named, check=False)  # the first results of the plan are compared
    except CaptureError as error:
        return None, str(error).removeprefix("runs eager: ")
    try:
        return _shared(lower(graph)), ""
    except Exception as error:  # whatever is wrong with a graph, the module itself can run
        return None, f"{type(error).__name__}: {error}"


def _shared(graph: Graph) -> Graph:
    """The graph with weights that other processes may have too."""
    return replace(graph, constants={name: shared(array) for name, array in graph.constants.items()})


class Example:
    """What a module was compiled for: the structure of the arguments, and arrays for all tensors in it."""

    def __init__(self, args: Sequence[Any], named: Mapping[str, Any], order: Sequence[str]) -> None:
        places = {name: place for place, name in enumerate(order)}
        self.names = sorted(named, key=lambda name: (places.get(name, len(places)), name))
        self.structure, tensors = take_apart([list(args), {name: named[name] for name in self.names}])
        self.arrays = [tensor.array.copy() for tensor in tensors]
        self.tensors_alone = not named and all(isinstance(arg, Tensor) for arg in args)

    def arrays_of(self, args: Sequence[Any], named: Mapping[str, Any]) -> list[Array] | None:
        """The arrays in arguments of the same structure, in the order of the graph's inputs; None for others."""
        if self.tensors_alone and not named and len(args) == len(self.arrays):
            arrays = [arg.array for arg in args if isinstance(arg, Tensor)]
            return arrays if len(arrays) == len(args) else None
        if len(named) != len(self.names) or any(name not in named for name in self.names):
            return None
        try:
            structure, tensors = take_apart([list(args), {name: named[name] for name in self.names}])
        except StructureError:
            return None
        return [tensor.array for tensor in tensors] if structure == self.structure else None

    def unlike(self, args: Sequence[Any], named: Mapping[str, Any]) -> str:
        """How the tensors in arguments differ from the example's, to end a message; "" where they do not."""
        met, expected = self.arrays_of(args, named), self.arrays
        if met is None or all(
            a.dtype == b.dtype and a.shape[1:] == b.shape[1:] for a, b in zip(met, expected, strict=True)
        ):
            return ""
        return f"; met inputs {_listed(met)}; the model was compiled for {_listed(expected)}, of any batch"


def _listed(arrays: Sequence[Array]) -> str:
    return ", ".join(f"{array.dtype} {array.shape}" for array in arrays)


class CompiledModel:
    """A module with the programs it is run by; several threads may call it, of which one runs at a time.

    Results have the structure of the module's, and no history. Inputs that the graph is not for (other shapes, dtypes,
    another structure) run eager, and are counted. The first results of the plans are compared with the module's: where
    they differ, it is left eager.
    """

    def __init__(
        self, module: Module, programs: Programs | None, example: Example, executor: str, threads: int, exact: bool,
        choices: Choices, reason: str = "",
    ) -> None:  # fmt: skip
        self.module, self.reason = module, reason
        self.executor, self.threads, self.exact, self.choices = executor, threads, exact, choices
        self.eager_calls = 0
        self._proven = False
        self._met: tuple[list[Form], int] = [], 0  # what the last inputs were like, and their batch
        self._programs, self._example = programs, example
        self._lock = threading.RLock()

    @property
    def graph(self) -> Graph | None:
        """The lowered graph; None where the module runs eager."""
        return self._programs.graph if self._programs else None

    @property
    def rows_apart(self) -> bool:
        """Whether it is certain that each row of a batch is treated by itself; False where the module runs eager."""
        return self._programs is not None and self._programs.apart

    def __call__(self, *args: Any, **named: Any) -> Any:
        """What the module gives."""
        with self._lock:
            if self._programs and (fitting := self._fitting(self._programs.graph, args, named)):
                try:
                    outputs = self._results(self._programs, *fitting)
                    return put_together(self._programs.graph.structure, [Tensor(array) for array in outputs])
                except PlanError as error:
                    self._give_up(error)
            self.eager_calls += 1
        with no_grad():
            try:
                return self.module(*args, **named)
            except (ShapeError, DtypeError) as error:
                error.args = (f"{error.args[0]}{self._example.unlike(args, named)}",)
                raise

    def program(self, batch: int = 1) -> Program:
        """The program for a batch, made where it is not there.

        Raises: EngineError where the module runs eager.
        """
        with self._lock:
            return self._planned().get(batch)

    def prepare(self, batches: Iterable[int] = (1,)) -> None:
        """Make the programs for these batches ahead, and run each once; batches named here are not cut or filled up."""
        with self._lock:
            for batch in batches:
                if self._programs is None:
                    return
                self._programs.wanted.add(batch)
                try:
                    self._results(self._programs, self.sample(batch), batch)
                except PlanError as error:
                    self._give_up(error)

    def settle(self) -> None:
        """From now on run batches by the programs there are: a new one must be much faster, and replaces another."""
        with self._lock:
            if self._programs:
                self._programs.most = max(1, len(self._programs.describe()))

    def profile(self, batch: int = 1, rounds: int = 5) -> list[StepTime]:
        """The least time of each step of a batch's program over some rounds, on what the example holds."""
        with self._lock:
            program = self.program(batch)
            for target, source in zip(program.inputs, self.sample(program.plan.batch), strict=True):
                np.copyto(target, source)
            return program.profile(rounds)

    def sample(self, batch: int = 1) -> list[Array]:
        """The example's arrays, repeated or cut to a batch.

        Raises: EngineError where the module runs eager.
        """
        return self._planned().resized(self._example.arrays, batch)

    def describe(self) -> dict[str, Any]:
        """How it runs, as plain data."""
        with self._lock:
            programs = self._programs
            return {
                "mode": "plan" if programs else "eager",
                "reason": self.reason,
                "executor": self.executor,
                "threads": self.threads,
                "exact": self.exact,
                "plans": programs.describe() if programs else [],
                "constants_bytes": programs.constants_bytes if programs else 0,
                "eager_calls": self.eager_calls,
            }

    def _fitting(self, graph: Graph, args: Sequence[Any], named: Mapping[str, Any]) -> tuple[list[Array], int] | None:
        """The arrays of inputs that the graph is for, and their batch; None for others."""
        arrays = self._example.arrays_of(args, named)
        if arrays is None:
            return None
        forms: list[Form] = [(array.shape, array.dtype) for array in arrays]
        if forms != self._met[0]:
            try:
                batch = graph.batch_of([array.shape for array in arrays])
            except ShapeError:
                return None
            if not batch or any(a.dtype != value.dtype.numpy for a, value in zip(arrays, graph.inputs, strict=True)):
                return None
            self._met = forms, batch
        return arrays, self._met[1]

    def _results(self, programs: Programs, arrays: list[Array], batch: int) -> list[Array]:
        """The outputs; those of the first run are compared with the module's.

        Raises: PlanError where there is no program, or it does not give what the module does.
        """
        outputs = programs.run(arrays, batch)
        if not self._proven:
            found = outputs
            if programs.apart and batch > FEW:  # a few rows tell it as well, in less time and memory
                rows = slice(batch - FEW, batch)
                arrays = programs.parts(programs.graph.inputs, arrays, rows)
                found = programs.parts(programs.graph.outputs, outputs, rows)
            for value, output, expected in zip(programs.graph.outputs, found, self._eager(arrays), strict=True):
                if not agree(output, expected):
                    raise PlanError(f"{value.name} by the plan is not what the module gives")
            self._proven = True
            for tensor in (*self.module.parameters(), *self.module.buffers()):
                let_go(tensor.array)
        return outputs

    def _eager(self, arrays: Sequence[Array]) -> list[Array]:
        args, named = put_together(self._example.structure, [Tensor(array.copy()) for array in arrays])
        with no_grad():
            return [tensor.array for tensor in take_apart(self.module(*args, **named))[1]]

    def _planned(self) -> Programs:
        if self._programs is None:
            raise EngineError(f"{type(self.module).__name__} runs eager: {self.reason}")
        return self._programs

    def _give_up(self, error: PlanError) -> None:
        """Run eager from now on."""
        self._programs, self.reason = None, str(error)
