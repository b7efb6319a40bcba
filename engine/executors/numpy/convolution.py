"""Convolutions of NHWC images as matrix products: point by point, or over columns that are copied block by block."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.lib.stride_tricks import as_strided

from ...dtype import Array
from ...graph.plan import Step
from .activation import finish
from .products import ALL, FAR, FEW_PIXELS, NEAR, Multiply, Product, gathered, multipliers, plain, products
from .workshop import Bench, Block, Call, Candidates, Parts, Workshop, blocks, fill, rows_of, sized

COLUMNS = (NEAR, FAR, 4 * FAR)  # bytes of the columns of a block
TAPS = (NEAR // 4, NEAR)  # bytes of a block of outputs


@dataclass(frozen=True, slots=True)
class Conv:
    """A step's arrays and geometry."""

    x: Array
    weight: Array
    bias: Array
    residual: Array | None
    low: Array | None
    high: Array | None
    y: Array
    stride: tuple[int, int]
    padding: tuple[int, int, int, int]
    dilation: tuple[int, int]
    groups: int
    activation: str

    @classmethod
    def of(cls, step: Step) -> Conv:
        """Read a conv_nhwc step."""
        x, weight, bias, residual, low, high = step.inputs
        a = step.attributes
        return cls(
            x, weight, bias, residual, low, high, step.output,  # type: ignore[arg-type]
            tuple(a["stride"]), tuple(a["padding"]), tuple(a["dilation"]), a["groups"], a.get("activation", ""),
        )  # fmt: skip

    @property
    def kernel(self) -> tuple[int, int]:
        """Its height and width."""
        return self.weight.shape[0], self.weight.shape[1]

    @property
    def columns(self) -> int:
        """Numbers that an output is computed from."""
        return math.prod(self.weight.shape[:3])

    @property
    def is_pointwise(self) -> bool:
        """Whether every output pixel is computed from the input pixel at its place."""
        return self.kernel == (1, 1) and self.stride == (1, 1) and not any(self.padding) and self.groups == 1

    @property
    def is_depthwise(self) -> bool:
        """Whether every channel is computed from itself alone."""
        return self.groups > 1 and self.groups == self.x.shape[3] == self.y.shape[3]

    def matrix(self) -> Array:
        """The weights as (numbers of a window, outputs)."""
        return self.weight.reshape(-1, self.weight.shape[3])

    def end(self, block: Block, sums: Array, bench: Bench, channels: slice = ALL) -> list[Call]:
        """Calls that complete the sums of a block's pixels in place."""
        residual = None if self.residual is None else rows_of(self.residual[block])[:, channels]
        return finish(sums, self.bias[channels], residual, self.activation, bench)


def pointwise(conv: Conv, shop: Workshop) -> Candidates:
    """Matrix products over rows of pixels."""
    residual = None if conv.residual is None else rows_of(conv.residual)
    rows = rows_of(conv.x), conv.matrix(), conv.bias, residual, rows_of(conv.y)
    return products(Product(*rows, conv.activation, conv.low, conv.high), shop)


def padded(
    x: Array, rows: tuple[int, int], columns: tuple[int, int], bench: Bench, value: float = 0
) -> tuple[list[Call], Array]:
    """A part of x (N, H, W, C) that may reach beyond it: where it does, a copy with `value` around it."""
    (top, bottom), (left, right) = rows, columns
    y0, y1, x0, x1 = max(top, 0), min(bottom, x.shape[1]), max(left, 0), min(right, x.shape[2])
    if (y0, y1, x0, x1) == (top, bottom, left, right):
        return [], x[:, y0:y1, x0:x1]
    strip = bench.take(len(x), bottom - top, right - left, x.shape[3])
    inside = slice(y0 - top, max(y1, y0) - top), slice(x0 - left, max(x1, x0) - left)
    borders = (
        strip[:, : inside[0].start], strip[:, inside[0].stop :],
        strip[:, inside[0], : inside[1].start], strip[:, inside[0], inside[1].stop :],
    )  # fmt: skip
    calls = [fill(border, value) for border in borders if border.size]
    calls.append(partial(np.copyto, strip[:, *inside], x[:, y0 : max(y1, y0), x0 : max(x1, x0)]))
    return calls, strip


def windows_of(conv: Conv, block: Block, bench: Bench) -> tuple[list[Call], Array]:
    """The windows of a block, (images, rows, columns, kh, kw, C), as a view, and calls that make what it shows."""
    images, lines = block
    (kh, kw), (sh, sw), (dh, dw) = conv.kernel, conv.stride, conv.dilation
    count, width = lines.stop - lines.start, conv.y.shape[2]
    top, left = lines.start * sh - conv.padding[0], -conv.padding[1]
    rows = top, top + (count - 1) * sh + (kh - 1) * dh + 1
    columns = left, left + (width - 1) * sw + (kw - 1) * dw + 1
    calls, strip = padded(conv.x[images], rows, columns, bench)
    n, h, w, c = strip.strides
    shape = (len(strip), count, width, kh, kw, strip.shape[3])
    return calls, as_strided(strip, shape, (n, h * sh, w * sw, h * dh, w * dw, c), writeable=False)


def by_columns(conv: Conv, shop: Workshop) -> Candidates:
    """Windows copied side by side as the rows of a matrix, block by block, then one product for each block."""
    images, height, width, outputs = conv.y.shape
    pixel = conv.columns * conv.groups * 4

    def cut(limit: int) -> list[Block]:
        return blocks(images, height, width, max(width, limit // pixel), shop.threads)

    if conv.groups > 1:
        grouped = partial(_grouped, conv, shop)
        return {name: partial(shop.each, cuts, grouped) for name, cuts in sized("columns", COLUMNS, cut).items()}
    found: Candidates = {}
    for name, multiply in {"columns": plain, **_by_panels(conv, shop)}.items():
        for size, cuts in sized(name, COLUMNS, cut).items():
            found[size] = partial(shop.each, cuts, partial(_dense, conv, multiply))
        if shop.threads > 1 and images * height * width <= FEW_PIXELS:
            found[f"{name} channels"] = partial(_by_channels, conv, multiply, shop)
    return found


def _by_panels(conv: Conv, shop: Workshop) -> dict[str, Multiply]:
    ways = multipliers(conv.columns, conv.y.shape[3], shop)
    return {f"columns, {name}": way for name, way in ways.items()}


def _dense(conv: Conv, multiply: Multiply, bench: Bench, block: Block, channels: slice = ALL) -> list[Call]:
    calls, windows = windows_of(conv, block, bench)
    columns = bench.take(math.prod(windows.shape[:3]), conv.columns)
    calls.append(partial(np.copyto, columns.reshape(windows.shape), windows))
    for limit, function in ((conv.low, np.maximum), (conv.high, np.minimum)):
        if limit is not None:
            calls.append(partial(function, columns, limit, out=columns))
    y, move = gathered(rows_of(conv.y[block])[:, channels], bench)
    calls += multiply(columns, conv.matrix()[:, channels], y, bench)
    return calls + conv.end(block, y, bench, channels) + move


def _by_channels(conv: Conv, multiply: Multiply, shop: Workshop) -> Parts:
    whole = slice(0, len(conv.y)), slice(0, conv.y.shape[1])
    return [_dense(conv, multiply, bench, whole, slice(a, b)) for bench, a, b in shop.shares(conv.y.shape[3])]


def _grouped(conv: Conv, shop: Workshop, bench: Bench, block: Block) -> list[Call]:
    """A product for each group, over columns that lie group by group."""
    groups, outputs = conv.groups, conv.weight.shape[3] // conv.groups
    weight = shop.packed.get(conv.weight, "groups", lambda: _by_group(conv.matrix(), groups))
    calls, windows = windows_of(conv, block, bench)
    *pixels, kh, kw, _ = windows.shape
    columns = bench.take(groups, *pixels, kh, kw, conv.weight.shape[2])
    calls.append(partial(np.copyto, columns, np.moveaxis(_split_last(windows, groups), -2, 0)))
    sums = bench.take(groups, math.prod(pixels), outputs)
    calls.append(partial(np.matmul, columns.reshape(groups, -1, conv.columns), weight, sums))
    joined = bench.take(*pixels, groups * outputs)
    apart = np.moveaxis(sums.reshape(groups, *pixels, outputs), 0, -2)
    calls.append(partial(np.copyto, _split_last(joined, groups), apart))
    rows, y = rows_of(joined), rows_of(conv.y[block])
    return [*calls, *conv.end(block, rows, bench), partial(np.copyto, y, rows)]


def _by_group(matrix: Array, groups: int) -> Array:
    """(window, groups · outputs) as (groups, window, outputs)."""
    return np.ascontiguousarray(matrix.reshape(len(matrix), groups, -1).transpose(1, 0, 2))


def _split_last(x: Array, groups: int) -> Array:
    """A view with the last dim as (groups, rest)."""
    size = x.shape[-1] // groups
    step = x.strides[-1]
    return as_strided(x, (*x.shape[:-1], groups, size), (*x.strides[:-1], size * step, step))


def by_taps(conv: Conv, shop: Workshop) -> Candidates:
    """Depthwise: the sum over the window's points of the input there times a weight for each channel."""
    images, height, width, channels = conv.y.shape

    def cut(limit: int) -> list[Block]:
        return blocks(images, height, width, limit // (4 * channels), shop.threads)

    taps = partial(_taps, conv, shop)
    return {name: partial(shop.each, cuts, taps) for name, cuts in sized("taps", TAPS, cut).items()}


def _taps(conv: Conv, shop: Workshop, bench: Bench, block: Block) -> list[Call]:
    calls, windows = windows_of(conv, block, bench)
    width, (kh, kw) = windows.shape[2], conv.kernel
    # The weights are repeated along a line, so that NumPy runs through whole lines where these have no gaps.
    weight = shop.packed.get(conv.weight, ("line", width), lambda: _repeated(conv.weight, width))
    total, product = bench.take(*windows.shape[:3], windows.shape[5]), bench.take(*windows.shape[:3], windows.shape[5])
    for number, (i, j) in enumerate(np.ndindex(kh, kw)):
        calls.append(partial(np.multiply, windows[:, :, :, i, j], weight[i, j], product if number else total))
        if number:
            calls.append(partial(np.add, total, product, total))
    rows, y = rows_of(total), rows_of(conv.y[block])
    return [*calls, *conv.end(block, rows, bench), partial(np.copyto, y, rows)]


def _repeated(weight: Array, width: int) -> Array:
    return np.ascontiguousarray(np.broadcast_to(weight, (*weight.shape[:2], width, weight.shape[3])))
