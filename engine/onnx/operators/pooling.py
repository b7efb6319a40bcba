"""Pools: maxima, means and norms of windows or of whole images."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..calls import Call
from ..elements import ELEMENTS
from ..items import Item
from .shaping import padded
from .table import operator
from .windows import Geometry, geometry, window_counts, window_sums


@operator("MaxPool")
def max_pool(at: Call, x: Item) -> Any:
    """The greatest of each window, and where it lies in the whole tensor."""
    windows, ceil = geometry(at, x.shape[2:], at.integers("kernel_shape")), at.flag("ceil_mode")
    if windows.wide:
        counts = windows.counts(x.shape[2:], ceil)
        values = _maxima(at, _room(at, x, windows, counts), windows, False)
        return (values, _places(at, x, windows, ceil)) if at.outputs > 1 else values
    values = _maxima(at, x, windows, ceil)
    return (values, _places(at, x, windows, ceil)) if at.outputs > 1 else values


def _maxima(at: Call, x: Item, windows: Geometry, ceil: bool) -> Item:
    padding = ((0, 0),) * len(windows.kernel) if windows.wide else windows.padding
    return at(
        "max_pool", x, kernel=windows.kernel, stride=windows.stride, padding=padding, dilation=windows.dilation,
        ceil_mode=ceil,
    )  # fmt: skip


def _room(at: Call, x: Item, windows: Geometry, counts: tuple[int, ...]) -> Item:
    """x with the padding written out, as the least values there are."""
    room = [(0, 0), (0, 0)]
    for dim, n in enumerate(counts):
        before, after = windows.padding[dim]
        reach = (n - 1) * windows.stride[dim] + windows.dilation[dim] * (windows.kernel[dim] - 1) + 1
        room.append((before, max(0, reach - before - x.shape[2 + dim])))
    kind = x.array.dtype
    return padded(at, x, room, value=-math.inf if kind.kind == "f" else int(np.iinfo(kind).min))


def _places(at: Call, x: Item, windows: Geometry, ceil: bool) -> Item:
    """Where the maxima lie, counted through the whole tensor."""
    index = at(
        "max_pool_indices", x, kernel=windows.kernel, stride=windows.stride, padding=windows.padding,
        dilation=windows.dilation, ceil_mode=ceil,
    )  # fmt: skip
    sizes = x.shape[2:]
    if at.integer("storage_order", 0):
        # Column by column: what is counted through rows first is taken apart and counted anew.
        rest, column = index, at.constant(np.zeros((), np.int64))
        weight = math.prod(sizes)
        for size in reversed(sizes):
            weight //= size
            column = at("add", column, at("mul", at("remainder", rest, size), weight))
            rest = at("floor_divide", rest, size)
        index = column
    images = x.shape[0] * x.shape[1]
    first = (np.arange(images) * math.prod(sizes)).reshape(*x.shape[:2], *(1,) * len(sizes))
    return at("add", index, at.constant(first))


@operator("AveragePool")
def average_pool(at: Call, x: Item) -> Item:
    """The mean of each window."""
    windows, ceil = geometry(at, x.shape[2:], at.integers("kernel_shape")), at.flag("ceil_mode")
    with_padding = at.flag("count_include_pad")
    if windows.dilated or windows.wide:
        counts = window_counts(windows, x.shape[2:], ceil, with_padding)
        return at("div", window_sums(at, x, windows, ceil), at.constant(counts, x))
    return at(
        "avg_pool", x, kernel=windows.kernel, stride=windows.stride, padding=windows.padding, ceil_mode=ceil,
        count_include_pad=with_padding, divisor=None,
    )  # fmt: skip


@operator("LpPool")
def lp_pool(at: Call, x: Item) -> Item:
    """The p-norm of each window."""
    windows, p = geometry(at, x.shape[2:], at.integers("kernel_shape")), at.integer("p", 2)
    powers = at("pow", at("abs", x), p)
    return at("pow", window_sums(at, powers, windows, at.flag("ceil_mode")), 1 / p)


def _image(x: Item) -> tuple[int, ...]:
    return tuple(range(2, x.ndim))


@operator("GlobalAveragePool")
def global_average_pool(at: Call, x: Item) -> Item:
    """The mean of each channel."""
    return at("mean", x, dim=_image(x), keepdim=True)


@operator("GlobalMaxPool")
def global_max_pool(at: Call, x: Item) -> Item:
    """The greatest of each channel."""
    return at("amax", x, dim=_image(x), keepdim=True)


@operator("GlobalLpPool")
def global_lp_pool(at: Call, x: Item) -> Item:
    """The p-norm of each channel."""
    return at("norm", x, p=at.integer("p", 2), dim=_image(x), keepdim=True)


@operator("MaxUnpool")
def max_unpool(at: Call, x: Item, places: Item, shape: Item | None = None) -> Item:
    """Maxima put back where they came from, into zeros."""
    kernel = at.integers("kernel_shape")
    windows = geometry(at, x.shape[2:], kernel)
    own = [
        (n - 1) * s + k - sum(p)
        for n, s, k, p in zip(x.shape[2:], windows.stride, windows.kernel, windows.padding, strict=True)
    ]
    full = (*x.shape[:2], *own)
    zeros = at("expand", at.constant(0, x), shape=(math.prod(full),))
    flat = at("reshape", places, shape=(math.prod(x.shape),))
    values = at("reshape", x, shape=(math.prod(x.shape),))
    whole = at("reshape", at("scatter", zeros, at.cast(flat, ELEMENTS[7]), values, dim=0), shape=full)
    if shape is None:
        return whole
    wanted = at.whole(shape, "the shape")
    if wanted == full:
        return whole
    return padded(at, whole, [(0, n - m) for n, m in zip(wanted, full, strict=True)])
