"""NativeProgram, a plan whose native steps run in as few calls as can be, one parallel region each."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby

import numpy as np

from ...dtype import Array
from ...graph.memory import aligned
from ...graph.plan import Plan
from ..base import Program, StepTime, Unit
from .library import Library
from .structures import Copy, NativeStep
from .work import Work

Scratch = ctypes.Array[ctypes.c_void_p]


class Segment:
    """Native steps in a row, run in one call."""

    def __init__(self, library: Library, works: Sequence[Work], scratch: Scratch) -> None:
        self.works = tuple(works)
        self._library, self._scratch = library, scratch
        self._steps = (NativeStep * len(works))(*[
            NativeStep(ctypes.addressof(w.arguments), w.kind, w.units) for w in works
        ])  # fmt: skip

    def __call__(self) -> None:
        """Run them."""
        self._library.run(self._steps, self._scratch)

    def times(self) -> list[float]:
        """Run them and return the seconds of each."""
        seconds = (ctypes.c_double * len(self.works))()
        self._library.run(self._steps, self._scratch, seconds)
        return list(seconds)


class NativeProgram(Program):
    """A program of native units, and of units of NumPy between them."""

    def __init__(self, plan: Plan, units: Sequence[Unit]) -> None:
        super().__init__(plan, units)
        self._parts = list(_merged(units))
        self._calls = tuple(call for _, call in self._parts)
        self._sole_copies = [_sole_copy(plan, units, number) for number in range(len(plan.inputs))]
        self._borrows = any(copy is not None for copy in self._sole_copies)

    def run(self, inputs: Sequence[Array], outputs: Sequence[Array] | None = None) -> list[Array]:
        """As Program.run(); an input that one step copies elsewhere is read where the caller has it."""
        if not self._borrows:
            return super().run(inputs, outputs)
        self.check(inputs)
        borrowed = [
            copy if copy is not None and _alike(source, target) else None
            for copy, source, target in zip(self._sole_copies, inputs, self.inputs, strict=True)
        ]
        for copy, target, source in zip(borrowed, self.inputs, inputs, strict=True):
            if copy is None:
                np.copyto(target, source)
            else:
                copy.x = source.ctypes.data
        try:
            self.execute()
        finally:
            for copy, target in zip(borrowed, self.inputs, strict=True):
                if copy is not None:
                    copy.x = target.ctypes.data
        if outputs is None:
            return list(self.outputs)
        for target, source in zip(outputs, self.outputs, strict=True):
            np.copyto(target, source)
        return list(outputs)

    def profile(self, rounds: int = 5) -> list[StepTime]:
        """The least time of each step within whole runs."""
        best, given = [float("inf")] * len(self.units), [array.copy() for array in self.inputs]
        for _ in range(rounds):
            self.feed(given)
            for number, seconds in enumerate(self._round()):
                best[number] = min(best[number], seconds)
        return [
            StepTime(u.step.name, u.step.op, u.algorithm, seconds, u.step.flops, u.step.bytes)
            for u, seconds in zip(self.units, best, strict=True)
        ]

    def _round(self) -> Iterator[float]:
        for units, call in self._parts:
            yield from _times(units, call)


def _alike(x: Array, y: Array) -> bool:
    return x.dtype == y.dtype and x.shape == y.shape and x.strides == y.strides


def _may_meet(x: object, y: Array) -> bool:
    return isinstance(x, np.ndarray) and np.may_share_memory(x, y)


def _sole_copy(plan: Plan, units: Sequence[Unit], number: int) -> Copy | None:
    """The arguments of the copy that is all that reads an input, if it reads it from its beginning."""
    buffer = plan.inputs[number]
    readers: list[Unit] = []
    for unit in units:
        readers += [unit for i in unit.step.inputs if _may_meet(i, buffer)]
        if any(_may_meet(o, buffer) for o in unit.step.outputs):
            break  # from here on the memory holds something else
    else:
        if any(_may_meet(o, buffer) for o in plan.outputs):
            return None
    if len(readers) != 1 or not isinstance(readers[0].run, Segment):
        return None
    first = readers[0].run.works[0].arguments
    return first if isinstance(first, Copy) and first.x == buffer.ctypes.data else None


def _merged(units: Sequence[Unit]) -> Iterator[tuple[list[Unit], Callable[[], None]]]:
    """Runs of native units with one call for all of them, and the others one by one."""
    for native, run in groupby(units, lambda unit: isinstance(unit.run, Segment)):
        some = list(run)
        if native:
            yield some, _joined(some)
        else:
            yield from (([unit], unit.run) for unit in some)


def _joined(units: Iterable[Unit]) -> Segment:
    segments = [unit.run for unit in units if isinstance(unit.run, Segment)]
    first = segments[0]
    return Segment(first._library, [work for segment in segments for work in segment.works], first._scratch)


def _times(units: Sequence[Unit], call: Callable[[], None]) -> Iterator[float]:
    """The seconds of each unit of a part."""
    if not isinstance(call, Segment):
        yield _timed(call)
        return
    seconds = iter(call.times())
    for unit in units:
        assert isinstance(unit.run, Segment)
        yield sum(next(seconds) for _ in unit.run.works)


def _timed(call: Callable[[], None]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def scratch_for(works: Iterable[Work], threads: int) -> Scratch:
    """A buffer for each thread, large enough for every step; they live as long as the array does."""
    size = max((work.scratch for work in works), default=0) + 64
    buffers = [aligned((size,)) for _ in range(threads)]
    scratch = (ctypes.c_void_p * threads)(*[buffer.ctypes.data for buffer in buffers])
    scratch.buffers = buffers  # type: ignore[attr-defined]
    return scratch
