"""Executor, what turns a plan into a program, and Program, what runs it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextvars import Context, copy_context
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from ..dtype import Array
from ..errors import ShapeError
from ..graph.plan import Plan, Step
from .choices import Choices
from .threads import Pool


class StepTime(NamedTuple):
    """What a step took, and what it had to do."""

    name: str
    op: str
    algorithm: str
    seconds: float
    flops: int
    bytes: int


@dataclass(frozen=True, slots=True, eq=False)
class Unit:
    """A step made ready: calling `run` computes its outputs in place."""

    step: Step
    algorithm: str
    run: Callable[[], None]


class Executor(Protocol):
    """A way to compute plans."""

    name: str

    def supports(self, step: Step) -> bool:
        """Whether it computes a step itself, and allocates nothing for it."""
        ...

    def compile(self, plan: Plan, choices: Choices | None = None) -> Program:
        """Make a plan ready to run, choosing among algorithms by time where `choices` has no answer yet."""
        ...


class Program:
    """A plan made ready; not to be run by two threads at once."""

    def __init__(self, plan: Plan, units: Sequence[Unit], scratch: int = 0) -> None:
        self.plan, self.scratch = plan, scratch
        self.units = tuple(units)
        self.inputs, self.outputs = plan.inputs, plan.outputs
        self._calls = tuple(unit.run for unit in units)
        self._quiet = quiet()
        self._inputs = [(array.shape, array.dtype) for array in self.inputs]
        self._results = [(array.shape, array.dtype) for array in self.outputs]

    def run(self, inputs: Sequence[Array], outputs: Sequence[Array] | None = None) -> list[Array]:
        """The outputs, copied into `outputs` where given; else the program's own, which the next run overwrites."""
        self.feed(inputs)
        self._quiet.run(self.execute)
        if outputs is None:
            return list(self.outputs)
        for target, source in zip(outputs, self.outputs, strict=True):
            np.copyto(target, source)
        return list(outputs)

    def fresh(self) -> list[Array]:
        """Memory for outputs, as `run` takes it."""
        return [np.empty(shape, dtype) for shape, dtype in self._results]

    def feed(self, inputs: Sequence[Array]) -> None:
        """Copy the caller's inputs to where the steps read them; these write over them sooner or later.

        Raises: ShapeError where they are not what the plan is for, before anything is done.
        """
        self.check(inputs)
        for target, source in zip(self.inputs, inputs, strict=True):
            np.copyto(target, source)

    def check(self, inputs: Sequence[Array]) -> None:
        """Raise ShapeError unless inputs have the shapes and dtypes that the plan is for."""
        forms = [(array.shape, array.dtype) for array in inputs]
        if forms != self._inputs:
            met, expected = (", ".join(f"{dtype} {shape}" for shape, dtype in some) for some in (forms, self._inputs))
            raise ShapeError(f"inputs: met {met}; the plan is for {expected}")

    def execute(self) -> None:
        """Run the steps over what lies in `inputs`."""
        for call in self._calls:
            call()

    def profile(self, rounds: int = 5) -> list[StepTime]:
        """The least time of each step over some runs on what lies in `inputs`."""
        best, given = [float("inf")] * len(self.units), [array.copy() for array in self.inputs]
        for _ in range(rounds):
            self.feed(given)
            self._time_steps(best)
        return [
            StepTime(u.step.name, u.step.op, u.algorithm, seconds, u.step.flops, u.step.bytes)
            for u, seconds in zip(self.units, best, strict=True)
        ]

    def _time_steps(self, best: list[float]) -> None:
        with np.errstate(all="ignore"):
            for number, call in enumerate(self._calls):
                start = time.perf_counter()
                call()
                best[number] = min(best[number], time.perf_counter() - start)


def quiet() -> Context:
    """A context in which NumPy says nothing of overflows: entered sooner than np.errstate, by one thread at a time."""
    context = copy_context()
    context.run(np.seterr, all="ignore")
    return context


class ParallelProgram(Program):
    """Programs for parts of a batch that run at the same time, one a thread: they meet once a run, not once a step."""

    def __init__(self, programs: Sequence[Program], pool: Pool) -> None:
        super().__init__(programs[0].plan, programs[0].units)
        self.programs = tuple(programs)
        self.pool = pool
        self._results = [((shape[0] * len(programs), *shape[1:]), dtype) for shape, dtype in self._results]
        self._jobs = [[program.execute] for program in programs]
        size = programs[0].plan.batch
        self._parts = [slice(i * size, (i + 1) * size) for i in range(len(programs))]

    def run(self, inputs: Sequence[Array], outputs: Sequence[Array] | None = None) -> list[Array]:
        """As Program.run(); the outputs are joined, so that they need memory of their own where none is given."""
        for program, part in zip(self.programs, self._parts, strict=True):
            program.feed([source[part] for source in inputs])
        self._quiet.run(self.execute)
        if outputs is None:
            outputs = self.fresh()
        for program, part in zip(self.programs, self._parts, strict=True):
            for joined, source in zip(outputs, program.outputs, strict=True):
                np.copyto(joined[part], source)
        return list(outputs)

    def execute(self) -> None:
        """Run the parts over what lies in the inputs of each."""
        self.pool.run(self._jobs)
