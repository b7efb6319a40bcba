"""The geometry of convolutions and pools as ONNX says it, and the sums of any window."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...errors import FormatError
from ...ops.windows import Windows
from ..calls import Call
from ..items import Item
from .shaping import padded

Ints = tuple[int, ...]
Room = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Geometry:
    """Windows over the dims of an image."""

    kernel: Ints
    stride: Ints
    padding: Room
    dilation: Ints

    @property
    def dilated(self) -> bool:
        """Whether the points of a window are apart."""
        return any(d != 1 for d in self.dilation)

    @property
    def wide(self) -> bool:
        """Whether there is more padding than the pooling primitives take."""
        return any(2 * max(p) > k for p, k in zip(self.padding, self.kernel, strict=True))

    def counts(self, sizes: Sequence[int], ceil: bool) -> Ints:
        """How many windows there are."""
        return Windows(self.kernel, self.stride, self.padding, self.dilation).sizes("pool", sizes, ceil)


def geometry(at: Call, sizes: Sequence[int], kernel: Ints) -> Geometry:
    """What the attributes strides, dilations, pads and auto_pad say."""
    dims = len(kernel)
    stride, dilation = at.integers("strides", (1,) * dims), at.integers("dilations", (1,) * dims)
    if not len(sizes) == len(stride) == len(dilation) == dims or min((*kernel, *stride, *dilation), default=0) < 1:
        raise FormatError(f"kernel {kernel}, strides {stride} and dilations {dilation} for an image of {tuple(sizes)}")
    return Geometry(kernel, stride, _padding(at, sizes, kernel, stride, dilation), dilation)


def _padding(at: Call, sizes: Sequence[int], kernel: Ints, stride: Ints, dilation: Ints) -> Room:
    how = at.text("auto_pad", "NOTSET")
    dims = len(kernel)
    if how in ("NOTSET", ""):
        pads = at.integers("pads", (0,) * 2 * dims)
        if len(pads) != 2 * dims:
            raise FormatError(f"{len(pads)} pads for {dims} dims")
        return tuple(zip(pads[:dims], pads[dims:], strict=True))
    if how == "VALID":
        return ((0, 0),) * dims
    room = []
    for size, k, s, d in zip(sizes, kernel, stride, dilation, strict=True):
        whole = max(0, (-(-size // s) - 1) * s + d * (k - 1) + 1 - size)
        room.append(halves(whole, how))
    return tuple(room)


def halves(whole: int, how: str) -> tuple[int, int]:
    """Padding before and after; what is odd goes to the end for SAME_UPPER, else to the beginning."""
    less, more = whole // 2, whole - whole // 2
    return (less, more) if how == "SAME_UPPER" else (more, less)


def window_sums(at: Call, x: Item, windows: Geometry, ceil: bool) -> Item:
    """The sum of each window, point by point."""
    sizes = x.shape[2:]
    counts = windows.counts(sizes, ceil)
    room: list[tuple[int, int]] = [(0, 0), (0, 0)]
    for n, k, s, (before, after), d, size in zip(
        counts, windows.kernel, windows.stride, windows.padding, windows.dilation, sizes, strict=True
    ):
        reach = (n - 1) * s + d * (k - 1) + 1
        room.append((before, max(after, reach - before - size)))
    whole = padded(at, x, room)
    total: Item | None = None
    for point in itertools.product(*map(range, windows.kernel)):
        index = [slice(None), slice(None)]
        for p, d, s, n in zip(point, windows.dilation, windows.stride, counts, strict=True):
            index.append(slice(p * d, p * d + (n - 1) * s + 1, s))
        part = at("getitem", whole, index=tuple(index))
        total = part if total is None else at("add", total, part)
    assert total is not None
    return total


def window_counts(windows: Geometry, sizes: Sequence[int], ceil: bool, with_padding: bool) -> np.ndarray:
    """How many points of each window count: those inside the image, or inside it and its padding."""
    result = np.ones(())
    for dim, n in enumerate(windows.counts(sizes, ceil)):
        before, after = windows.padding[dim]
        places = np.arange(n)[:, None] * windows.stride[dim] + np.arange(windows.kernel[dim]) * windows.dilation[dim]
        low, high = (0, sizes[dim] + before + after) if with_padding else (before, before + sizes[dim])
        result = np.multiply.outer(result, ((places >= low) & (places < high)).sum(1))
    return np.asarray(result)


def area(windows: Geometry) -> int:
    """The points of a window."""
    return math.prod(windows.kernel)
