"""Pools over sliding windows: maxima and means, one dim after the other.

Windows that reach beyond the input (padding, ceil_mode) take what there is, so that nothing is padded.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..dtype import Array
from ..errors import ShapeError
from .primitive import primitive
from .windows import Ints, Pads, Slices, Windows, empty_like

Index = tuple[Any, ...]


@primitive
def max_pool(x: Array, *, kernel: Ints, stride: Ints, padding: Pads, dilation: Ints, ceil_mode: bool) -> Array:
    """The largest value of each window. Source: torch.nn.functional.max_pool2d; ONNX MaxPool-12."""
    windows = Windows(kernel, stride, padding, dilation)
    _check("max_pool", x, windows)
    counts = windows.sizes("max_pool", x.shape[-len(kernel) :], ceil_mode)
    for dim, count in enumerate(counts):
        x = _maxima(x, windows, dim, count)
    return x


def _maxima(x: Array, windows: Windows, dim: int, count: int) -> Array:
    """The largest values along one dim of the windows."""
    axis = x.ndim - len(windows.kernel) + dim
    size = x.shape[axis]
    out = empty_like(x, (*x.shape[:axis], count, *x.shape[axis + 1 :]))
    taps = list(windows.taps(dim, size, count))
    whole = next((tap for tap in taps if tap[1] == slice(0, count)), None)
    if whole is None:
        out.fill(_lowest(x.dtype))
    else:
        out[...] = x[_along(axis, whole[2])]
    for tap in taps:
        if tap is not whole:
            into = out[_along(axis, tap[1])]
            np.maximum(into, x[_along(axis, tap[2])], out=into)
    return out


@max_pool.gradient
def _(
    g: Array, out: Array, x: Array, *, kernel: Ints, stride: Ints, padding: Pads, dilation: Ints, ceil_mode: bool
) -> tuple[Array]:
    """To the first place of each window that holds its maximum."""
    windows = Windows(kernel, stride, padding, dilation)
    share = np.zeros_like(x, g.dtype)
    waiting = np.ones(out.shape, bool)
    for _, outputs, inputs in _points(windows, x.shape[-len(kernel) :], out.shape[-len(kernel) :]):
        here = waiting[outputs] & (x[inputs] == out[outputs])
        share[inputs] += np.where(here, g[outputs], 0)
        waiting[outputs] &= ~here
    return (share,)


@primitive
def max_pool_indices(x: Array, *, kernel: Ints, stride: Ints, padding: Pads, dilation: Ints, ceil_mode: bool) -> Array:
    """Where each window's first largest value lies, counted through the pooled dims of x."""
    windows = Windows(kernel, stride, padding, dilation)
    _check("max_pool", x, windows)
    sizes = x.shape[-len(kernel) :]
    counts = windows.sizes("max_pool", sizes, ceil_mode)
    places = np.arange(math.prod(sizes)).reshape(sizes)
    best = np.full((*x.shape[: -len(kernel)], *counts), _lowest(x.dtype), x.dtype)
    index = np.full(best.shape, -1, np.int64)
    for _, outputs, inputs in _points(windows, sizes, counts):
        value = x[inputs]
        better = (value > best[outputs]) | (index[outputs] < 0) | (np.isnan(value) & ~np.isnan(best[outputs]))
        best[outputs] = np.where(better, value, best[outputs])
        index[outputs] = np.where(better, places[inputs[1:]], index[outputs])
    return index


@primitive
def avg_pool(
    x: Array,
    *,
    kernel: Ints,
    stride: Ints,
    padding: Pads,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor: int | None,
) -> Array:
    """The mean of each window, or its sum over `divisor`.

    Source: torch.nn.functional.avg_pool2d; ONNX AveragePool-11.
    """
    windows = Windows(kernel, stride, padding, (1,) * len(kernel))
    _check("avg_pool", x, windows)
    sizes = x.shape[-len(kernel) :]
    counts = windows.sizes("avg_pool", sizes, ceil_mode)
    scale = _scale(windows, sizes, counts, count_include_pad, divisor)
    for dim, count in enumerate(counts):
        x = _sums(x, windows, dim, count)
    return np.multiply(x, scale, out=x, casting="unsafe")


def _sums(x: Array, windows: Windows, dim: int, count: int) -> Array:
    """The sums along one dim of the windows."""
    axis = x.ndim - len(windows.kernel) + dim
    out = empty_like(x, (*x.shape[:axis], count, *x.shape[axis + 1 :]))
    out.fill(0)
    for _, outputs, inputs in windows.taps(dim, x.shape[axis], count):
        out[_along(axis, outputs)] += x[_along(axis, inputs)]
    return out


@avg_pool.gradient
def _(
    g: Array, _out: None, _x: None, *, kernel: Ints, stride: Ints, padding: Pads, ceil_mode: bool,
    count_include_pad: bool, divisor: int | None, shapes: tuple[Ints],
) -> tuple[Array]:  # fmt: skip
    windows = Windows(kernel, stride, padding, (1,) * len(kernel))
    sizes = shapes[0][-len(kernel) :]
    share = g * _scale(windows, sizes, g.shape[-len(kernel) :], count_include_pad, divisor).astype(g.dtype)
    for dim, size in enumerate(sizes):
        share = _sent_back(share, windows, dim, size)
    return (share,)


def _sent_back(g: Array, windows: Windows, dim: int, size: int) -> Array:
    """The transpose of _sums()."""
    axis = g.ndim - len(windows.kernel) + dim
    share = np.zeros((*g.shape[:axis], size, *g.shape[axis + 1 :]), g.dtype)
    for _, outputs, inputs in windows.taps(dim, size, g.shape[axis]):
        share[_along(axis, inputs)] += g[_along(axis, outputs)]
    return share


def _scale(windows: Windows, sizes: Ints, counts: Ints, include_pad: bool, divisor: int | None) -> Array:
    """What the sum of each window is multiplied by."""
    if divisor is not None:
        return np.full(counts, 1 / divisor)
    total = np.ones(())
    for dim, (size, count) in enumerate(zip(sizes, counts, strict=True)):
        before, after = windows.padding[dim]
        first = np.arange(count) * windows.stride[dim] - before
        last = np.minimum(first + windows.kernel[dim], size + after)
        if not include_pad:
            first, last = np.maximum(first, 0), np.minimum(last, size)
        total = np.multiply.outer(total, 1 / (last - first))
    return total


@primitive
def adaptive_max_pool(x: Array, *, size: Ints) -> Array:
    """The largest values of `size` windows that divide the last dims evenly. Source: adaptive_max_pool2d of PyTorch."""
    for dim, count in enumerate(size):
        axis = x.ndim - len(size) + dim
        parts = [x[_along(axis, part)].max(axis=axis) for part in even_parts(x.shape[axis], count)]
        x = np.stack(parts, axis=axis)
    return x


@adaptive_max_pool.gradient
def _(g: Array, out: Array, x: Array, *, size: Ints) -> tuple[Array]:
    """To the first place of each window that holds its maximum."""
    share = np.zeros_like(x, g.dtype)
    for index in itertools.product(*map(range, size)):
        window = _window(x, size, index)
        flat = x[window].reshape(*x.shape[: -len(size)], -1)
        places = np.zeros(flat.shape, g.dtype)
        np.put_along_axis(places, flat.argmax(-1)[..., None], g[_at(index)][..., None], -1)
        share[window] += places.reshape(x[window].shape)
    return (share,)


@primitive
def adaptive_max_pool_indices(x: Array, *, size: Ints) -> Array:
    """Where the values of adaptive_max_pool lie, counted through the pooled dims of x."""
    places = np.arange(math.prod(x.shape[-len(size) :])).reshape(x.shape[-len(size) :])
    index = np.empty((*x.shape[: -len(size)], *size), np.int64)
    for at in itertools.product(*map(range, size)):
        window = _window(x, size, at)
        first = x[window].reshape(*x.shape[: -len(size)], -1).argmax(-1)
        index[_at(at)] = places[window[1:]].ravel()[first]
    return index


def even_parts(size: int, count: int) -> list[slice]:
    """The parts, which may overlap, that adaptive pools divide a dim into."""
    return [slice(i * size // count, -(-(i + 1) * size // count)) for i in range(count)]


def _at(index: Ints) -> Index:
    return (Ellipsis, *index)


def _window(x: Array, size: Ints, index: Ints) -> Index:
    sizes = x.shape[-len(size) :]
    return (..., *(even_parts(n, count)[i] for n, count, i in zip(sizes, size, index, strict=True)))


def _check(name: str, x: Array, windows: Windows) -> None:
    """Refuse padding that would leave a window without any input."""
    for kernel, pads in zip(windows.kernel, windows.padding, strict=True):
        if 2 * max(pads) > kernel:
            raise ShapeError(f"{name}: padding {max(pads)} is more than half of the kernel's size {kernel}")
    if x.ndim < len(windows.kernel) + 1:
        raise ShapeError(f"{name}: input {x.shape} has too few dims for a kernel of {windows.kernel}")


def _lowest(dtype: np.dtype[Any]) -> float | int:
    return -math.inf if dtype.kind == "f" else int(np.iinfo(dtype).min)


def _along(axis: int, part: slice) -> Slices:
    return (*(slice(None),) * axis, part)


def _points(windows: Windows, sizes: Ints, counts: Ints) -> Iterator[tuple[Ints, Index, Index]]:
    """Each point of the windows, with the windows that have it inside the input and their inputs."""
    dims = (windows.taps(dim, *both) for dim, both in enumerate(zip(sizes, counts, strict=True)))
    for taps in itertools.product(*map(list, dims)):
        point, outputs, inputs = zip(*taps, strict=True)
        yield point, (..., *outputs), (..., *inputs)
