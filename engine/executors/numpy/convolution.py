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
from .workshop import Bench, Block, Call, Candidates, Parts, Workshop, blocks, fill, rows_of

NEAR, FAR = 400_000, 1_500_000  # bytes that a block and what belongs to it may take: well in the cache, and just
FEW_PIXELS = 400  # up to which images may be divided by channels rather than rows
ALL = slice(None)


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

    def end(self, block: Block, bench: Bench, channels: slice = ALL, source: Array | None = None) -> list[Call]:
        """Calls that complete a block of y, from `source` where the sums are there."""
        residual = None if self.residual is None else rows_of(self.residual[block])[:, channels]
        y = rows_of(self.y[block])[:, channels]
        source = None if source is None else rows_of(source)
        return finish(y, self.bias[channels], residual, self.activation, bench, source)


def pointwise(conv: Conv, shop: Workshop) -> Candidates:
    """Matrix products over rows of pixels; in blocks, so that what follows finds its input in the cache."""
    residual = None if conv.residual is None else rows_of(conv.residual)
    product = Product(rows_of(conv.x), conv.matrix(), conv.bias, residual, rows_of(conv.y), conv.activation)
    return products(product, shop, conv.low, conv.high)


@dataclass(frozen=True, slots=True)
class Product:
    """act(x @ weight + bias + residual) into y, all of them matrices but for the bias."""

    x: Array
    weight: Array
    bias: Array | None
    residual: Array | None
    y: Array
    activation: str

    def end(self, rows: slice, columns: slice, bench: Bench, source: Array | None = None) -> list[Call]:
        """Calls that complete a part of y."""
        bias = None if self.bias is None else self.bias[columns]
        residual = None if self.residual is None else self.residual[rows, columns]
        return finish(self.y[rows, columns], bias, residual, self.activation, bench, source)


def products(p: Product, shop: Workshop, low: Array | None = None, high: Array | None = None) -> Candidates:
    """Ways to compute a product, x being clipped to [low, high] before."""
    count, outputs = p.y.shape
    wide = (p.x.shape[1] + outputs) * 4
    limits = {min(count, max(64, limit // wide)) for limit in (NEAR, FAR)}
    limits |= {count} if low is None and high is None else set()

    def part(rows: slice, columns: slice, bench: Bench) -> list[Call]:
        calls, x = clipped(p.x[rows], low, high, bench)
        calls.append(partial(np.matmul, x, p.weight[:, columns], p.y[rows, columns]))
        return calls + p.end(rows, columns, bench)

    def by_rows(limit: int) -> Parts:
        cut = [slice(s, min(s + limit, b)) for _, a, b in shop.shares(count) for s in range(a, b, limit)]
        return shop.each(cut, lambda bench, rows: part(rows, ALL, bench))

    def by_channels() -> Parts:
        return [part(ALL, slice(a, b), bench) for bench, a, b in shop.shares(outputs)]

    found: Candidates = {f"product rows={limit}": partial(by_rows, limit) for limit in sorted(limits)}
    if shop.threads > 1 and outputs >= 16:
        found["product channels"] = by_channels
    return found


def clipped(x: Array, low: Array | None, high: Array | None, bench: Bench) -> tuple[list[Call], Array]:
    """Calls that clip x by channel into scratch memory, and the array they fill; x itself where none is needed."""
    calls: list[Call] = []
    for limit, function, idle in ((low, np.maximum, -np.inf), (high, np.minimum, np.inf)):
        if limit is not None and not np.all(limit == idle):
            into = x if calls else bench.take(*x.shape)
            calls.append(partial(function, x, limit, out=into))
            x = into
    return calls, x


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
    images, height, width, _ = conv.y.shape
    pixel = conv.columns * conv.groups * 4
    pixels = images * height * width
    limits = {max(width, limit // pixel) for limit in (NEAR, FAR, 4 * FAR)}
    cuts = [blocks(images, height, width, min(limit, -(-pixels // shop.threads))) for limit in sorted(limits)]
    build = _grouped if conv.groups > 1 else _dense
    found: Candidates = {
        f"columns blocks={len(cut)}": partial(shop.each, cut, partial(build, conv, shop)) for cut in cuts
    }
    if shop.threads > 1 and pixels <= FEW_PIXELS and conv.groups == 1:
        found["columns channels"] = partial(_by_channels, conv, shop)
    return found


def _dense(conv: Conv, _shop: Workshop, bench: Bench, block: Block, channels: slice = ALL) -> list[Call]:
    calls, windows = windows_of(conv, block, bench)
    columns = bench.take(math.prod(windows.shape[:3]), conv.columns)
    calls.append(partial(np.copyto, columns.reshape(windows.shape), windows))
    for limit, function in ((conv.low, np.maximum), (conv.high, np.minimum)):
        if limit is not None:
            calls.append(partial(function, columns, limit, out=columns))
    calls.append(partial(np.matmul, columns, conv.matrix()[:, channels], rows_of(conv.y[block])[:, channels]))
    return calls + conv.end(block, bench, channels)


def _by_channels(conv: Conv, shop: Workshop) -> Parts:
    whole = slice(0, len(conv.y)), slice(0, conv.y.shape[1])
    return [_dense(conv, shop, bench, whole, slice(a, b)) for bench, a, b in shop.shares(conv.y.shape[3])]


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
    return calls + conv.end(block, bench, source=joined)


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
    most = -(-images * height * width // shop.threads)
    cuts = [blocks(images, height, width, max(1, min(limit // (4 * channels), most))) for limit in (NEAR // 4, NEAR)]
    return {f"taps blocks={len(cut)}": partial(shop.each, cut, partial(_taps, conv, shop)) for cut in cuts}


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
    return calls + conv.end(block, bench, source=total)


def _repeated(weight: Array, width: int) -> Array:
    return np.ascontiguousarray(np.broadcast_to(weight, (*weight.shape[:2], width, weight.shape[3])))
