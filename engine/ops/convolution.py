"""Convolutions over any number of dims, and their transposes.

Work is done with channels last: a pixel's channels lie side by side, so that the columns of a block of windows are
copied in long runs and one matrix product does the rest. A result has shape (N, C, …) over channels-last memory, and
the next convolution finds it so. Blocks keep the columns in the cache and the memory in bounds.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..dtype import Array
from ..errors import DtypeError, ShapeError
from .columns import BLOCK_BYTES, BLOCK_PIXELS, Columns, padded_strip, row_blocks
from .primitive import primitive
from .windows import Ints, Pads, Windows

DEPTHWISE_BYTES = 256_000

Index = tuple[Any, ...]
Gradients = tuple[Array | None, Array | None, Array | None]
Needs = tuple[bool, bool, bool]


@primitive
def conv(
    x: Array, weight: Array, bias: Array | None, *, stride: Ints, padding: Pads, dilation: Ints, groups: int
) -> Array:
    """Cross-correlation of x (N, C, …) with weight (O, C / groups, …).

    `padding` is (before, after) for each dim. Source: torch.nn.functional.conv2d; ONNX Conv-11.
    """
    _check("conv", x, weight, bias, weight.shape[1] * groups, weight.shape[0], groups)
    windows = Windows(weight.shape[2:], stride, padding, dilation)
    counts = windows.sizes("conv", x.shape[2:])
    wide = _wide(x), _wide(weight), None if bias is None else _wide(bias)
    return _convolve(*wide, windows, counts, groups).astype(x.dtype, copy=False)


@conv.gradient
def _(
    g: Array, _out: None, x: Array, weight: Array, _bias: None, *,
    stride: Ints, padding: Pads, dilation: Ints, groups: int, needs: Needs,
) -> Gradients:  # fmt: skip
    windows = Windows(weight.shape[2:], stride, padding, dilation)
    return (
        _spread(_wide(g), _wide(weight), windows, x.shape[2:], groups) if needs[0] else None,
        _correlate(_wide(x), _wide(g), windows, weight.shape, groups) if needs[1] else None,
        _over_channels(g) if needs[2] else None,
    )


@primitive
def conv_transpose(
    x: Array, weight: Array, bias: Array | None, *,
    stride: Ints, padding: Pads, output_padding: Ints, dilation: Ints, groups: int,
) -> Array:  # fmt: skip
    """The transpose of conv: x (N, C, …) spread out by weight (C, O / groups, …).

    Source: torch.nn.functional.conv_transpose2d; ONNX ConvTranspose-11.
    """
    _check("conv_transpose", x, weight, bias, weight.shape[0], weight.shape[1] * groups, groups)
    windows = Windows(weight.shape[2:], stride, padding, dilation)
    sizes = tuple(
        (size - 1) * s + span - sum(pads) + extra
        for size, s, span, pads, extra in zip(x.shape[2:], stride, windows.span, padding, output_padding, strict=True)
    )
    if min(sizes) < 1:
        raise ShapeError(f"conv_transpose: input {x.shape} gives an output of {sizes}; expected sizes of 1 or more")
    out = _spread(_wide(x), _wide(weight), windows, sizes, groups)
    if bias is not None:
        out += _wide(bias).reshape(-1, *[1] * len(sizes))
    return out.astype(x.dtype, copy=False)


@conv_transpose.gradient
def _(
    g: Array, _out: None, x: Array, weight: Array, _bias: None, *,
    stride: Ints, padding: Pads, output_padding: Ints, dilation: Ints, groups: int, needs: Needs,
) -> Gradients:  # fmt: skip
    windows = Windows(weight.shape[2:], stride, padding, dilation)
    return (
        _convolve(_wide(g), _wide(weight), None, windows, x.shape[2:], groups) if needs[0] else None,
        _correlate(_wide(g), _wide(x), windows, weight.shape, groups) if needs[1] else None,
        _over_channels(g) if needs[2] else None,
    )


def _check(name: str, x: Array, weight: Array, bias: Array | None, channels: int, outputs: int, groups: int) -> None:
    """Refuse what does not fit together, by shape and dtype."""
    if x.ndim != weight.ndim:
        raise ShapeError(f"{name}: input {x.shape} and weight {weight.shape} differ in dims; expected {weight.ndim}")
    if groups < 1 or channels % groups or outputs % groups:
        raise ShapeError(f"{name}: weight {weight.shape} cannot be divided into {groups} groups")
    if x.shape[1] != channels:
        raise ShapeError(
            f"{name}: input {x.shape} has {x.shape[1]} channels; "
            f"weight {weight.shape} with groups={groups} expects {channels}"
        )
    if bias is not None and bias.shape != (outputs,):
        raise ShapeError(f"{name}: bias {bias.shape} does not fit weight {weight.shape}; expected ({outputs},)")
    dtypes = {str(a.dtype) for a in (x, weight, bias) if a is not None}
    if len(dtypes) > 1:
        raise DtypeError(f"{name}: input, weight and bias are {', '.join(sorted(dtypes))}; expected one dtype")


def _wide(x: Array) -> Array:
    """float16 as float32, which matrix products are made for."""
    return x.astype(np.float32) if x.dtype == np.float16 else x


def _over_channels(g: Array) -> Array:
    return np.asarray(g.sum(axis=(0, *range(2, g.ndim))))


def _last(x: Array) -> Array:
    return np.moveaxis(x, 1, -1)


def _first(x: Array) -> Array:
    return np.moveaxis(x, -1, 1)


def _convolve(x: Array, weight: Array, bias: Array | None, windows: Windows, counts: Ints, groups: int) -> Array:
    if groups == 1 and math.prod(windows.kernel) == 1 and not windows.padded:
        used: Index = (..., *windows.at((0,) * len(counts), counts))
        return _pointwise(x[used], weight, bias)
    if groups > 1 and weight.shape[1] == 1:
        return _first(_depthwise(_last(x), weight, bias, windows, counts))
    if groups == 1 and set(windows.stride) == {1} and weight.shape[1] >= 2 * len(weight):
        return _first(_narrowing(_last(x), weight, bias, windows, counts))
    return _first(_dense(_last(x), weight, bias, windows, counts, groups))


def _pointwise(x: Array, weight: Array, bias: Array | None) -> Array:
    """A matrix product over the channels, in the layout that x has."""
    matrix = weight.reshape(weight.shape[:2])
    if x.flags.c_contiguous and x[:1, 0].size > 1:
        out = np.matmul(matrix, x.reshape(*x.shape[:2], -1))
        if bias is not None:
            out += bias[:, None]
        return np.asarray(out).reshape(len(x), -1, *x.shape[2:])
    pixels = np.ascontiguousarray(_last(x))
    result = np.empty((*pixels.shape[:-1], len(matrix)), x.dtype)
    rows, into = pixels.reshape(-1, x.shape[1]), result.reshape(-1, len(matrix))
    step = max(BLOCK_PIXELS, BLOCK_BYTES // (x.itemsize * max(1, sum(matrix.shape))))
    for start in range(0, len(rows), step):
        block = np.matmul(rows[start : start + step], matrix.T, out=into[start : start + step])
        if bias is not None:
            block += bias
    return _first(result)


def _depthwise(x: Array, weight: Array, bias: Array | None, windows: Windows, counts: Ints) -> Array:
    """A channel at a time, as sums over the points of the window; x has channels last."""
    outputs = len(weight)
    if outputs != x.shape[-1]:
        x = np.repeat(x, outputs // x.shape[-1], axis=-1)
    out = np.empty((len(x), *counts, outputs), x.dtype)
    step = max(1, DEPTHWISE_BYTES // max(1, out[:1, :1].nbytes))
    # Repeated along the last dim, so that NumPy can run through whole rows.
    factors = [np.tile(weight[_at(point)], (counts[-1], 1)) for point, _ in windows.points()]
    for images, rows in row_blocks(len(x), counts[0], 1, step):
        strip = padded_strip(x, images, rows, windows)
        into = out[images, rows]
        product = np.empty_like(into)
        for index, (_, offset) in enumerate(windows.points()):
            inputs = strip[(slice(None), *windows.at(offset, into.shape[1:-1]))]
            np.multiply(inputs, factors[index][: into.shape[-2]], out=product if index else into)
            if index:
                into += product
        if bias is not None:
            into += bias
    return out


def _at(point: Ints) -> Index:
    """The weights of one point, where every output has a single channel."""
    return (slice(None), 0, *point)


def _narrowing(x: Array, weight: Array, bias: Array | None, windows: Windows, counts: Ints) -> Array:
    """Each pixel times all weights, then the products that meet in a window summed; x has channels last.

    Where outputs are fewer than channels, products are less to move than columns would be. Strides must be 1.
    """
    matrix = np.moveaxis(weight, (0, 1), (-2, -1)).reshape(-1, weight.shape[1])
    out = np.empty((len(x), *counts, len(weight)), x.dtype)
    out[...] = 0 if bias is None else bias
    step = max(1, BLOCK_BYTES // max(1, x.itemsize * sum(matrix.shape) * math.prod(x.shape[2:-1])))
    for images, rows in row_blocks(len(x), x.shape[1], 1, step):
        pixels = x[images, rows]
        products = np.matmul(pixels.reshape(-1, x.shape[-1]), matrix.T)
        by_point = products.reshape(*pixels.shape[:-1], *windows.kernel, len(weight))
        for point, outputs, inputs in _meetings(windows, x.shape[1:-1], counts, rows):
            out[(images, *outputs)] += by_point[(slice(None), *inputs, *point)]
    return out


def _meetings(windows: Windows, sizes: Ints, counts: Ints, rows: slice) -> Iterator[tuple[Ints, Index, Index]]:
    """Each point of the windows: the windows that have it within these rows, and their inputs, counted from there."""
    dims = [list(windows.taps(dim, *both)) for dim, both in enumerate(zip(sizes, counts, strict=True))]
    for taps in itertools.product(*dims):
        point, outputs, inputs = zip(*taps, strict=True)
        ahead = inputs[0].start - outputs[0].start
        first, last = max(inputs[0].start, rows.start), min(inputs[0].stop, rows.stop)
        if first < last:
            within = slice(first - ahead, last - ahead), slice(first - rows.start, last - rows.start)
            yield point, (within[0], *outputs[1:]), (within[1], *inputs[1:])


def _dense(x: Array, weight: Array, bias: Array | None, windows: Windows, counts: Ints, groups: int) -> Array:
    """Blocks of columns times the weights; x has channels last."""
    columns = Columns.of(len(x), counts, weight.shape, windows, groups)
    matrix = columns.matrix(weight)
    out = np.empty((len(x), *counts, len(weight)), x.dtype)
    for images, rows, block in columns.blocks(x):
        into = out[images, rows]
        by_group = into.reshape(-1, groups, len(weight) // groups).swapaxes(0, 1)
        np.matmul(block, matrix.swapaxes(1, 2), out=by_group)
        if bias is not None:
            into += bias
    return out


def _spread(g: Array, weight: Array, windows: Windows, sizes: Ints, groups: int) -> Array:
    """The transpose of _convolve: what each output sends back to its window, summed; gives (N, C, *sizes)."""
    g = _last(g)
    counts, channels = g.shape[1:-1], weight.shape[1] * groups
    padded = (size + sum(pads) for size, pads in zip(sizes, windows.padding, strict=True))
    out = np.zeros((len(g), *padded, channels), g.dtype)
    columns = Columns.of(len(g), counts, weight.shape, windows, groups)
    matrix = columns.matrix(weight)
    for images, rows in columns.parts():
        by_group = g[images, rows].reshape(-1, groups, len(weight) // groups).swapaxes(0, 1)
        shares = columns.by_point(np.matmul(by_group, matrix), images, rows)
        strip = out[images, rows.start * windows.stride[0] :]
        here = (rows.stop - rows.start, *counts[1:])
        for point, offset in windows.points():
            strip[(slice(None), *windows.at(offset, here))] += shares[point]
    inner = (slice(before, before + size) for size, (before, _) in zip(sizes, windows.padding, strict=True))
    return _first(out[(slice(None), *inner)])


def _correlate(x: Array, g: Array, windows: Windows, shape: Ints, groups: int) -> Array:
    """The gradient of the weight: every column with the gradient it met."""
    x, g = _last(x), _last(g)
    columns = Columns.of(len(g), g.shape[1:-1], shape, windows, groups)
    total = np.zeros((groups, shape[0] // groups, shape[1] * math.prod(windows.kernel)), x.dtype)
    for images, rows, block in columns.blocks(x):
        by_group = g[images, rows].reshape(-1, groups, shape[0] // groups).swapaxes(0, 1)
        total += np.matmul(by_group.swapaxes(1, 2), block)
    return columns.weight(total)
