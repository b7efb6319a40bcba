"""The geometry of sliding windows, which convolutions and pools share."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ..dtype import Array
from ..errors import ShapeError

Ints = tuple[int, ...]
Pads = tuple[tuple[int, int], ...]
Slices = tuple[slice, ...]


@dataclass(frozen=True, slots=True)
class Windows:
    """Windows of `kernel` points over some dims, one entry a dim; `padding` is (before, after)."""

    kernel: Ints
    stride: Ints
    padding: Pads
    dilation: Ints

    @property
    def span(self) -> Ints:
        """How far a window reaches along each dim."""
        return tuple(d * (k - 1) + 1 for k, d in zip(self.kernel, self.dilation, strict=True))

    @property
    def padded(self) -> bool:
        """Whether there is any padding."""
        return any(map(any, self.padding))

    def sizes(self, name: str, sizes: Sequence[int], ceil_mode: bool = False) -> Ints:
        """How many windows there are along each dim, or a ShapeError where not even one fits."""
        counts = tuple(self._count(dim, size, ceil_mode) for dim, size in enumerate(sizes))
        if min(counts, default=1) < 1:
            padded = tuple(size + sum(pads) for size, pads in zip(sizes, self.padding, strict=True))
            raise ShapeError(f"{name}: a window that spans {self.span} does not fit into the padded input {padded}")
        return counts

    def _count(self, dim: int, size: int, ceil_mode: bool) -> int:
        before, after = self.padding[dim]
        stride = self.stride[dim]
        room = size + before + after - self.span[dim]
        if not ceil_mode:
            return room // stride + 1
        count = -(-room // stride) + 1
        # The last window must begin inside the input or the padding before it. Source: torch.nn.MaxPool2d.
        return count - ((count - 1) * stride >= size + before)

    def taps(self, dim: int, size: int, count: int) -> Iterator[tuple[int, slice, slice]]:
        """Each point of a window along one dim: where it lands, as (point, windows that have it, their inputs)."""
        before, stride = self.padding[dim][0], self.stride[dim]
        for point in range(self.kernel[dim]):
            offset = point * self.dilation[dim] - before
            first = max(0, -(offset // stride))
            last = min(count, -(-(size - offset) // stride))
            if first < last:
                start = first * stride + offset
                yield point, slice(first, last), slice(start, start + (last - first - 1) * stride + 1, stride)

    def points(self) -> Iterator[tuple[Ints, Ints]]:
        """Every point of a window, and how far it is from the window's first."""
        for point in itertools.product(*map(range, self.kernel)):
            yield point, tuple(p * d for p, d in zip(point, self.dilation, strict=True))

    def at(self, offset: Ints, counts: Sequence[int]) -> Slices:
        """The padded inputs that lie `offset` from the beginnings of the windows."""
        return tuple(
            slice(o, o + (count - 1) * s + 1, s) for o, count, s in zip(offset, counts, self.stride, strict=True)
        )


def empty_like(x: Array, shape: Sequence[int]) -> Array:
    """An array of the shape, laid out in memory as x is."""
    return np.empty_like(x, shape=tuple(shape))


def channels_last(x: Array) -> bool:
    """Whether x (N, C, …) lies in memory pixel by pixel, as the results of convolutions do."""
    return x.ndim > 2 and np.moveaxis(x, 1, -1).flags.c_contiguous
