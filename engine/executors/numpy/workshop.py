"""Workshop, what the builders of NumPy steps share: threads, scratch memory and packed weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from typing import Any, TypeVar

import numpy as np
from numpy.lib.stride_tricks import as_strided

from ...dtype import Array
from ...graph.memory import aligned
from ..packed import Packed
from ..threads import Pool, shares

Call = Callable[[], Any]
Parts = list[list[Call]]  # a list of calls for each thread
Candidates = dict[str, Callable[[], Parts]]
Block = tuple[slice, slice]  # images, and rows of them
T = TypeVar("T")

RESERVED = 1 << 26  # bytes of addresses a thread has for scratch; only what is touched takes memory
WORTH_THREADS = 60_000  # elements below which a hand-over costs more than it brings
ZERO = np.zeros((), np.float32)  # arrays are cheaper for a ufunc to take than numbers


class Bench:
    """One thread's scratch memory, taken piece by piece, and taken again once what used it is over."""

    def __init__(self, packed: Packed) -> None:
        self.packed = packed
        self._memory: Array | None = None
        self._used = self.most = 0

    def take(self, *shape: int) -> Array:
        """An array of undefined content."""
        size = math.prod(shape) * 4
        start, self._used = self._used, self._used + -(-size // 64) * 64
        self.most = max(self.most, self._used)
        if self._used > RESERVED:
            return aligned(shape)
        if self._memory is None:
            self._memory = aligned((RESERVED,), np.uint8)
        return self._memory[start : start + size].view(np.float32).reshape(shape)

    def clear(self) -> None:
        """All of it is free again: another step begins."""
        self._used = 0

    @contextmanager
    def again(self) -> Iterator[None]:
        """What is taken inside is free afterwards: the next block of work overwrites it."""
        used = self._used
        yield
        self._used = used


class Workshop:
    """What the builders of a program's steps share."""

    def __init__(self, pool: Pool | None, packed: Packed, exact: bool = False) -> None:
        self.pool, self.packed, self.exact = pool, packed, exact
        self.threads = pool.threads if pool else 1
        self.benches = [Bench(packed) for _ in range(self.threads)]

    @cached_property
    def alone(self) -> Workshop:
        """The same for one thread, with the first one's scratch memory."""
        workshop = Workshop(None, self.packed, self.exact)
        workshop.benches = self.benches[:1]
        return workshop

    @property
    def scratch_bytes(self) -> int:
        """The scratch memory that steps have asked for so far."""
        return sum(bench.most for bench in self.benches)

    def shares(self, count: int, elements: int | None = None) -> list[tuple[Bench, int, int]]:
        """`count` things divided among the threads, as (bench, start, stop); in one part if elements are few."""
        few = elements is not None and elements < WORTH_THREADS
        parts = shares(count, 1 if few else self.threads)
        return [(bench, a, b) for bench, (a, b) in zip(self.benches, parts, strict=False)]

    def each(self, work: Sequence[T], build: Callable[[Bench, T], list[Call]]) -> Parts:
        """Pieces of work divided among the threads; `build` gives the calls of one."""
        parts: Parts = []
        for bench, a, b in self.shares(len(work)):
            calls: list[Call] = []
            for piece in work[a:b]:
                with bench.again():
                    calls += build(bench, piece)
            parts.append(calls)
        return parts

    def call(self, parts: Parts) -> Call:
        """One call that runs the parts on their threads."""
        if len(parts) == 1:
            return parts[0][0] if len(parts[0]) == 1 else partial(run_all, tuple(parts[0]))
        assert self.pool is not None, "more parts than threads"
        return partial(self.pool.run, parts)


def run_all(calls: Sequence[Call]) -> None:
    """Run one call after the other."""
    for call in calls:
        call()


def rows_of(x: Array) -> Array:
    """An array as a matrix of its rows, without a copy; the plan sees to it that this is possible."""
    if x.ndim == 2:
        return x
    if x.flags.c_contiguous:
        return x.reshape(-1, x.shape[-1])
    pitch = next((x.strides[d] for d in range(x.ndim - 2, -1, -1) if x.shape[d] > 1), x.shape[-1] * x.itemsize)
    return as_strided(x, (math.prod(x.shape[:-1]), x.shape[-1]), (pitch, x.itemsize))


def fill(x: Array, value: float) -> Call:
    """A call that fills an array."""
    return partial(x.fill, value) if x.flags.c_contiguous else partial(np.copyto, x, np.float32(value))


def sized(name: str, limits: Iterable[int], cut: Callable[[int], list[Block]]) -> dict[str, list[Block]]:
    """Blocks by a candidate's name and the size they are cut to, without sizes that come to the same blocks."""
    found: dict[str, list[Block]] = {}
    for limit in limits:
        if (cut_so := cut(limit)) not in found.values():
            found[f"{name} {limit / 1e6:g}M"] = cut_so
    return found


def blocks(images: int, rows: int, pixels: int, limit: int, threads: int) -> list[Block]:
    """Parts of up to about `limit` pixels, as (images, rows): whole images where they are small, else rows of one.

    `pixels` is how many a row has. Threads get as many parts each, if there are enough.
    """
    if images > 1 and rows * pixels * 2 <= limit:
        return [(some, slice(0, rows)) for some in _even(images, limit // (rows * pixels), threads)]
    lines = _even(rows, limit // pixels, 1 if images % threads == 0 else threads)
    return [(slice(n, n + 1), line) for n in range(images) for line in lines]


def _even(count: int, most: int, threads: int) -> list[slice]:
    """`count` things in even parts of at most `most`, of which there are a multiple of `threads` where that can be."""
    parts = -(-count // max(1, most))
    parts = min(count, -(-parts // threads) * threads)
    return [slice(count * i // parts, count * (i + 1) // parts) for i in range(parts)]
