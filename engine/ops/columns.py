"""Windows as the rows of a matrix, made block by block so that they stay in the cache and memory is bounded."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import as_strided

from ..dtype import Array
from .windows import Ints, Windows

BLOCK_BYTES = 1_500_000
BLOCK_PIXELS = 256  # fewer would read the weights too often


@dataclass(frozen=True, slots=True)
class Columns:
    """Windows as the rows of a matrix, made block by block.

    The columns' order is the weights' own (channel, point) or with `by_channel` (point, channel), which is copied in
    longer runs but needs the weights rearranged: worth it where there are more windows than outputs.
    """

    images: int
    counts: Ints
    shape: Ints
    windows: Windows
    groups: int
    by_channel: bool

    @classmethod
    def of(cls, images: int, counts: Ints, shape: Ints, windows: Windows, groups: int) -> Columns:
        """The columns of a convolution's windows, for weights of a shape, in the order that moves less."""
        by_channel = images * math.prod(counts) > shape[0] // 2
        return cls(images, counts, shape, windows, groups, by_channel)

    @property
    def width(self) -> int:
        """How many columns a group has."""
        return math.prod(self.shape[1:])

    def matrix(self, weight: Array) -> Array:
        """The weights as (groups, outputs, columns)."""
        if self.by_channel:
            weight = np.ascontiguousarray(np.moveaxis(weight, 1, -1))
        return weight.reshape(self.groups, -1, self.width)

    def weight(self, matrix: Array) -> Array:
        """The inverse of matrix()."""
        outputs, channels, *kernel = self.shape
        if self.by_channel:
            return np.moveaxis(matrix.reshape(outputs, *kernel, channels), -1, 1)
        return matrix.reshape(self.shape)

    def parts(self) -> Iterator[tuple[slice, slice]]:
        """The blocks, as (images, rows)."""
        pixels = max(BLOCK_PIXELS, BLOCK_BYTES // (4 * self.groups * self.width))
        rows = max(1, pixels // max(1, math.prod(self.counts[1:])))
        return row_blocks(self.images, self.counts[0], max(1, rows // self.counts[0]), rows)

    def blocks(self, x: Array) -> Iterator[tuple[slice, slice, Array]]:
        """Each block's columns as (groups, windows, columns), in memory that the next block takes over."""
        memory = np.empty(0, x.dtype)
        for images, rows in self.parts():
            views = self._views(padded_strip(x, images, rows, self.windows), rows)
            if memory.size < views.size:
                memory = np.empty(views.size, x.dtype)
            block = memory[: views.size].reshape(views.shape)
            np.copyto(block, views)
            yield images, rows, block.reshape(self.groups, -1, self.width)

    def _views(self, strip: Array, rows: slice) -> Array:
        """The windows of a strip, without copying: (groups, images, *counts) and then the order of the columns."""
        dims = len(self.counts)
        channels = self.shape[1]
        image, *steps, channel = strip.strides
        shape = (len(strip), rows.stop - rows.start, *self.counts[1:], *self.windows.kernel, self.groups, channels)
        along = (step * s for step, s in zip(steps, self.windows.stride, strict=True))
        within = (step * d for step, d in zip(steps, self.windows.dilation, strict=True))
        views = as_strided(strip, shape, (image, *along, *within, channel * channels, channel), writeable=False)
        windows, kernel = range(1 + dims), range(1 + dims, 1 + 2 * dims)
        order = (*kernel, views.ndim - 1) if self.by_channel else (views.ndim - 1, *kernel)
        return views.transpose(views.ndim - 2, *windows, *order)

    def by_point(self, block: Array, images: slice, rows: slice) -> Array:
        """A block seen as (*kernel, images, *counts, channels)."""
        dims, channels = len(self.counts), self.shape[1]
        windows = (images.stop - images.start, rows.stop - rows.start, *self.counts[1:])
        columns = (*self.windows.kernel, channels) if self.by_channel else (channels, *self.windows.kernel)
        views = block.reshape(self.groups, *windows, *columns)
        start = 2 + dims + (not self.by_channel)
        views = np.moveaxis(views, range(start, start + dims), range(dims))
        together = np.moveaxis(views, dims, -2)
        return together.reshape(*together.shape[:-2], self.groups * channels)


def row_blocks(images: int, rows: int, some_images: int, some_rows: int) -> Iterator[tuple[slice, slice]]:
    """Blocks of whole images, or of an image's rows where a whole one is too large."""
    for image in range(0, images, some_images):
        for row in range(0, rows, some_rows):
            yield slice(image, min(image + some_images, images)), slice(row, min(row + some_rows, rows))


def padded_strip(x: Array, images: slice, rows: slice, windows: Windows) -> Array:
    """The padded inputs, channels last, of some rows of windows; x itself where that is possible."""
    (before, _), stride, span = windows.padding[0], windows.stride[0], windows.span[0]
    start = rows.start * stride - before
    stop = (rows.stop - 1) * stride + span - before
    inner = x[images, max(0, start) : max(0, min(stop, x.shape[1]))]
    if not windows.padded and x.flags.c_contiguous:
        return inner
    padded = (size + sum(pads) for size, pads in zip(x.shape[2:-1], windows.padding[1:], strict=True))
    strip = np.zeros((len(inner), stop - start, *padded, x.shape[-1]), x.dtype)
    where = (slice(b, b + size) for size, (b, _) in zip(x.shape[2:-1], windows.padding[1:], strict=True))
    top = max(0, -start)
    strip[(slice(None), slice(top, top + inner.shape[1]), *where)] = inner
    return strip
