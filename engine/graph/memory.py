"""Where arrays live: views described without memory, the arena that packs buffers by their lives, aligned memory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from ..dtype import Array
from ..sharing import stays_in_its_file

ALIGNMENT = 64  # a cache line, and the widest vector
TILE, TURNED_BYTES = 64, 1 << 20

Ints = tuple[int, ...]


def aligned(shape: Sequence[int], dtype: Any = np.float32) -> Array:
    """An array of undefined content that begins on a cache line."""
    dtype = np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    raw = np.empty(size + ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    array: Array = raw[start : start + size].view(dtype).reshape(shape)
    return array


def at_home(array: Array) -> Array:
    """An array that lies in order from a cache line's beginning: itself, or a copy of it.

    What is large and in a file stays there, where it is in order at least when it is turned.
    """
    if array.flags.c_contiguous and array.__array_interface__["data"][0] % ALIGNMENT == 0:
        return array
    if (array.flags.c_contiguous or array.T.flags.c_contiguous) and stays_in_its_file(array):
        return array
    home = aligned(array.shape, array.dtype)
    fill(home, array)
    return home


def fill(target: Array, array: Array) -> None:
    """Copy an array into another of its shape."""
    for rows in _strips(array):
        np.copyto(target[rows], array[rows])


def _strips(array: Array) -> list[Any]:
    """Parts to be copied one by one: tiles of a large matrix that is turned, so that what is read stays near."""
    if array.ndim != 2 or array.nbytes < TURNED_BYTES or array.strides[1] <= array.strides[0]:
        return [...]
    rows, columns = (range(0, size, TILE) for size in array.shape)
    return [(slice(r, r + TILE), slice(c, c + TILE)) for r in rows for c in columns]


def dense(shape: Sequence[int], itemsize: int) -> Ints:
    """The strides of an array without gaps, last dim innermost."""
    return tuple(itemsize * math.prod(shape[i + 1 :]) for i in range(len(shape)))


@dataclass(frozen=True, slots=True)
class Place:
    """A view of a buffer, before there is memory: which buffer, where in it, and how to walk."""

    root: str
    offset: int
    shape: Ints
    strides: Ints
    dtype: np.dtype[Any]

    @classmethod
    def whole(cls, root: str, shape: Sequence[int], dtype: np.dtype[Any]) -> Place:
        """A buffer of its own."""
        return cls(root, 0, tuple(shape), dense(shape, dtype.itemsize), dtype)

    def seen(self, view: Any) -> Place:
        """What a function that gives a view of an array gives of this one."""
        ghost = as_strided(np.empty(1, self.dtype), self.shape, self.strides, writeable=False)
        result = view(ghost)
        shift = result.__array_interface__["data"][0] - ghost.__array_interface__["data"][0]
        return replace(self, offset=self.offset + shift, shape=result.shape, strides=result.strides)

    def part(self, dim: int, start: int, size: int) -> Place:
        """A slice along one dim."""
        shape = (*self.shape[:dim], size, *self.shape[dim + 1 :])
        return replace(self, offset=self.offset + start * self.strides[dim], shape=shape)

    def reshaped(self, shape: Ints) -> Place | None:
        """The same elements in another shape, or None where that needs a copy."""
        strides = reshaped_strides(self.shape, self.strides, shape, self.dtype.itemsize)
        return None if strides is None else replace(self, shape=shape, strides=strides)

    @property
    def is_rows(self) -> bool:
        """Whether it is a matrix of rows without gaps inside, at one distance from each other."""
        return self.reshaped((math.prod(self.shape[:-1]), self.shape[-1])) is not None and (
            self.shape[-1] == 1 or self.strides[-1] == self.dtype.itemsize
        )

    def bind(self, memory: Array) -> Array:
        """The array, in the memory of its buffer (bytes)."""
        return np.ndarray(self.shape, self.dtype, memory.data, self.offset, self.strides)


def reshaped_strides(shape: Ints, strides: Ints, wanted: Ints, itemsize: int) -> Ints | None:
    """The strides of a view in another shape, or None where there is no such view."""
    if not math.prod(shape):
        return dense(wanted, itemsize)
    runs = _runs([(n, s) for n, s in zip(shape, strides, strict=True) if n != 1])
    result: list[int] = []
    left, stride = runs.pop() if runs else (1, itemsize)
    for size in reversed(wanted):
        if left == 1 and size != 1 and runs:
            left, stride = runs.pop()
        if left % size:
            return None
        result.append(stride)
        left, stride = left // size, stride * size
    return tuple(reversed(result))


def _runs(dims: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Neighbouring dims that one stride walks through, joined."""
    runs: list[tuple[int, int]] = []
    for size, stride in dims:
        if runs and runs[-1][1] == size * stride:
            runs[-1] = (runs[-1][0] * size, stride)
        else:
            runs.append((size, stride))
    return runs


@dataclass(slots=True)
class Life:
    """A buffer's size in bytes, and the first and last step that need it."""

    size: int
    first: int
    last: int
    offset: int = -1

    def meets(self, other: Life) -> bool:
        """Whether both are needed at some step."""
        return self.first <= other.last and other.first <= self.last


def pack(lives: Sequence[Life]) -> int:
    """Give every life an offset such that no two that meet overlap; the size of the arena."""
    placed: list[Life] = []
    for life in sorted(lives, key=lambda one: (-one.size, one.first)):
        life.offset = _gap(life, [p for p in placed if p.meets(life)])
        placed.append(life)
    return max((p.offset + p.size for p in placed), default=0)


def _gap(life: Life, others: list[Life]) -> int:
    """The lowest offset of the smallest gap between the others that is large enough."""
    best, waste, end = -1, math.inf, 0
    for other in sorted(others, key=lambda one: one.offset):
        room = other.offset - end
        if life.size <= room < waste:
            best, waste = end, room
        end = max(end, _up(other.offset + other.size))
    return end if best < 0 else best


def _up(offset: int) -> int:
    return -(-offset // ALIGNMENT) * ALIGNMENT
