"""Programs, those of one graph: made for sizes of batch, kept while they are used, a batch cut or filled up to fit."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import numpy as np

from .batches import Costs, choose, powers_of_two
from .dtype import Array
from .errors import EngineError
from .executors import Choices, Executor, ParallelProgram, Pool, Program, executor_named
from .graph import Extent, Graph, Value
from .graph.ir import Size
from .graph.layout import Layout
from .graph.plan import plan
from .graph.rows import axis_of, rows_apart

WORTH_A_THREAD = 20_000_000  # operations of a share of a batch, below which waking a thread for it costs more
ARENA_BYTES = 256 << 20  # a larger batch is cut, where it can be: it would be no faster, and much larger


class PlanError(EngineError):
    """A graph that no program could be made of."""


@contextmanager
def _planning() -> Iterator[None]:
    """Tell what goes wrong with a plan from what goes wrong in a run: the model itself may still be run."""
    try:
        yield
    except Exception as error:
        raise PlanError(f"{type(error).__name__}: {error}") from error


class Programs:
    """The programs of a graph, by batch; at most `most` are kept, those used last. For one thread at a time.

    Where rows of a batch do not depend on each other, there are programs for powers of two and for `wanted` sizes, and
    other batches are run by these. Else each batch has its own program.
    """

    def __init__(self, graph: Graph, executor: Executor, threads: int, exact: bool, choices: Choices, most: int):
        self.graph, self.executor, self.choices = graph, executor, choices
        self.threads, self.exact, self.most = threads, exact, most
        self.apart = graph.polymorphic and rows_apart(graph)
        self.wanted: set[int] = set()
        self._made: OrderedDict[int, Program] = OrderedDict()
        self._costs = Costs()

    @property
    def constants_bytes(self) -> int:
        """Bytes of the weights, which all programs share."""
        return sum({id(array): array.nbytes for array in self.graph.constants.values()}.values())

    def describe(self) -> list[dict[str, Any]]:
        """The programs there are, as plain data."""
        return [
            {
                "batch": batch,
                "steps": len(program.units),
                "arena_bytes": sum(part.plan.memory.arena for part in _parts_of(program)),
                "scratch_bytes": sum(part.scratch for part in _parts_of(program)),
                "gflop": round(sum(part.plan.flops for part in _parts_of(program)) / 1e9, 3),
            }
            for batch, program in sorted(self._made.items())
        ]

    def get(self, batch: int) -> Program:
        """The program for a batch, made where it is not there.

        Raises: PlanError where that cannot be done.
        """
        if batch not in self._made and not self.graph.polymorphic:
            batch = 1
        if batch in self._made:
            self._made.move_to_end(batch)
            return self._made[batch]
        with _planning():
            self._made[batch] = self._make(batch)
        while len(self._made) > self.most:
            self._made.popitem(last=False)
        return self._made[batch]

    def run(self, inputs: Sequence[Array], batch: int) -> list[Array]:
        """The outputs for a batch, in memory of their own."""
        if batch in self._made:
            program, begun = self.get(batch), time.perf_counter()
            outputs = program.run(inputs, program.fresh())
            self._costs.note(batch, time.perf_counter() - begun)
            return outputs
        outputs = [np.empty(_sizes(value, batch), value.dtype.numpy) for value in self.graph.outputs]
        start = 0
        for size in self._pieces(batch):
            program, rows = self.get(size), slice(start, min(start + size, batch))
            begun = time.perf_counter()
            if size == batch:
                program.run(inputs, outputs)
            elif rows.stop - start == size:
                program.run(self.parts(self.graph.inputs, inputs, rows), self.parts(self.graph.outputs, outputs, rows))
            else:
                self._run_filled(program, size, inputs, outputs, rows)
            self._costs.note(size, time.perf_counter() - begun)
            start += size
        return outputs

    def _pieces(self, batch: int) -> list[int]:
        if not self.apart or batch in self._made:
            return [batch]
        with _planning():
            possible = {*powers_of_two(self._largest), *self.wanted}
        return choose(batch, self._made.keys(), possible, len(self._made) < self.most, self._costs)

    @cached_property
    def _largest(self) -> int:
        """The largest batch whose arena is not too large."""
        return max(1, ARENA_BYTES // max(1, Layout.of(self.graph.at(1)).arena))

    def parts(self, values: Sequence[Value], arrays: Sequence[Array], rows: slice) -> list[Array]:
        """The rows of arrays that have any."""
        return [_rows_of(value, array, rows) for value, array in zip(values, arrays, strict=True)]

    def _run_filled(
        self, program: Program, size: int, inputs: Sequence[Array], outputs: Sequence[Array], rows: slice
    ) -> None:
        """Run with rows repeated behind those that are asked for."""
        count = rows.stop - rows.start
        given = self.resized(self.parts(self.graph.inputs, inputs, rows), size)
        met = self.parts(self.graph.outputs, program.run(given), slice(0, count))
        for target, source in zip(self.parts(self.graph.outputs, outputs, rows), met, strict=True):
            np.copyto(target, source)

    def resized(self, inputs: Sequence[Array], batch: int) -> list[Array]:
        """Inputs of a batch whose rows are the rows of these, over and over."""
        return [_resized(value, array, batch) for value, array in zip(self.graph.inputs, inputs, strict=True)]

    def _make(self, batch: int) -> Program:
        share, left = divmod(batch, self.threads)
        if self.threads > 1 and share and not left and self._whole_rows:
            parts = [plan(self.graph, share) for _ in range(self.threads)]
            if parts[0].flops >= WORTH_A_THREAD:
                return ParallelProgram([self._single.compile(part, self.choices) for part in parts], self._pool)
        return self.executor.compile(plan(self.graph, batch, self.threads), self.choices)

    @property
    def _whole_rows(self) -> bool:
        """Whether threads are better given whole rows than parts of steps; the native executor does so by itself."""
        ends = (*self.graph.inputs, *self.graph.outputs)
        return self.executor.name == "numpy" and self.apart and all(value.shape[:1] == (Extent(1),) for value in ends)

    @cached_property
    def _single(self) -> Executor:
        return executor_named(self.executor.name, exact=self.exact)

    @cached_property
    def _pool(self) -> Pool:
        return Pool(self.threads)


def _parts_of(program: Program) -> Sequence[Program]:
    return program.programs if isinstance(program, ParallelProgram) else (program,)


def _rows_of(value: Value, array: Array, rows: slice) -> Array:
    axis = axis_of(value)
    if axis is None:
        return array
    each = _follows(value.shape[axis])
    return array[(*[slice(None)] * axis, slice(rows.start * each, rows.stop * each))]


def _follows(size: Size) -> int:
    """How many of a size belong to one row."""
    return size.a if isinstance(size, Extent) else 0


def _resized(value: Value, array: Array, batch: int) -> Array:
    for dim, (size, met) in enumerate(zip(_sizes(value, batch), array.shape, strict=True)):
        array = array if size == met else array.take(np.arange(size) % met, dim)
    return array


def _sizes(value: Value, batch: int) -> tuple[int, ...]:
    return tuple(size.at(batch) if isinstance(size, Extent) else size for size in value.shape)
