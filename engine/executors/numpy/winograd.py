"""Winograd's convolutions with 3x3 windows: fewer multiplications, by way of transforms that are products themselves.

A tile of m x m outputs is computed from (m + 2) x (m + 2) inputs: Y = A' [(G w G') * (B' d B)] A, where the middle is
a product over the channels for each of the (m + 2)² points. The transforms of whole tiles are one matrix each, the
Kronecker product of the one-dimensional one with itself.
Source: A. Lavin, S. Gray, Fast Algorithms for Convolutional Neural Networks, 2015.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.lib.stride_tricks import as_strided

from ...dtype import Array
from .activation import finish
from .convolution import FEW_PIXELS, Conv, padded
from .workshop import ZERO, Bench, Block, Call, Candidates, Parts, Workshop, blocks, rows_of

ENOUGH_CHANNELS = 16
BLOCK_BYTES = (800_000, 2_000_000, 5_000_000)


@dataclass(frozen=True)
class Tile:
    """The transforms for tiles of `size` x `size` outputs: of inputs and outputs in float32, of weights in float64."""

    size: int
    inputs: Array
    outputs: Array
    weights: Array

    @classmethod
    def of(cls, size: int, points: tuple[float, ...]) -> Tile:
        """From the points at which polynomials are multiplied, infinity besides: B', A' and G of one dimension."""
        others = [[q for q in points if q != p] for p in points]
        b = [np.pad(np.poly(roots)[::-1], (0, len(points) - len(roots))) for roots in (*others, points)]
        a = np.hstack([np.vander(points, size, increasing=True).T, np.eye(size)[:, -1:]])
        g = [[p**k / math.prod(p - q for q in rest) for k in range(3)] for p, rest in zip(points, others, strict=True)]
        inputs, outputs, weights = (np.kron(m, m) for m in (np.array(b), a, np.array([*g, [0, 0, 1]])))
        return cls(size, inputs.astype(np.float32), outputs.astype(np.float32), weights)

    def weight(self, weight: Array) -> Array:
        """(3, 3, C, O) as (points, C, O)."""
        channels, outputs = weight.shape[2:]
        points = self.weights @ weight.reshape(9, -1).astype(np.float64)
        return np.ascontiguousarray(points.reshape(-1, channels, outputs), dtype=np.float32)


# With the usual 1 and 2 in place of 5/8 and 3/2 the error is twice as large.
TILES = (Tile.of(4, (0.0, 0.625, -0.625, 1.5, -1.5)), Tile.of(2, (0.0, 1.0, -1.0)))


def suits(conv: Conv) -> bool:
    """Whether the algorithm is for such a convolution, and likely to gain anything."""
    return (
        (conv.kernel, conv.stride, conv.dilation, conv.groups) == ((3, 3), (1, 1), (1, 1), 1)
        and conv.low is None
        and conv.high is None
        and conv.x.shape[3] >= ENOUGH_CHANNELS
    )


def winograd(conv: Conv, shop: Workshop) -> Candidates:
    """Candidates of both sizes of tiles, in blocks of lines of tiles."""
    found: Candidates = {}
    for tile in TILES:
        images, height, width, outputs = conv.y.shape
        lines, columns = -(-height // tile.size), -(-width // tile.size)
        per_tile = len(tile.inputs) * (conv.x.shape[3] + outputs) * 4
        most = -(-images * lines * columns // shop.threads)
        for limit in BLOCK_BYTES:
            cut = blocks(images, lines, columns, min(max(columns, limit // per_tile), most))
            found[f"winograd{tile.size} blocks={len(cut)}"] = partial(shop.each, cut, partial(_block, conv, shop, tile))
        if shop.threads > 1 and images * height * width <= FEW_PIXELS:
            found[f"winograd{tile.size} channels"] = partial(_by_channels, conv, shop, tile, lines)
    return found


def _by_channels(conv: Conv, shop: Workshop, tile: Tile, lines: int) -> Parts:
    whole = slice(0, len(conv.y)), slice(0, lines)
    return [_block(conv, shop, tile, bench, whole, slice(a, b)) for bench, a, b in shop.shares(conv.y.shape[3])]


def _block(
    conv: Conv, shop: Workshop, tile: Tile, bench: Bench, block: Block, channels: slice = slice(None)
) -> list[Call]:
    """The outputs of some lines of tiles."""
    weight = shop.packed.get(conv.weight, tile.size, lambda: tile.weight(conv.weight))[:, :, channels]
    calls, tiles = _tiles(conv, tile, block, bench)
    points, count = len(tile.inputs), math.prod(tiles.shape[2:5])
    inputs = bench.take(points, count * tiles.shape[5])
    transformed = bench.take(points, count * tiles.shape[5])
    products = bench.take(points, count * weight.shape[2])
    sums = bench.take(len(tile.outputs), count * weight.shape[2])
    calls += [
        partial(np.copyto, inputs.reshape(tiles.shape), tiles),
        partial(np.matmul, tile.inputs, inputs, transformed),
        partial(np.matmul, transformed.reshape(points, count, -1), weight, products.reshape(points, count, -1)),
        partial(np.matmul, tile.outputs, products, sums),
    ]
    arranged = sums.reshape(tile.size, tile.size, *tiles.shape[2:5], -1).transpose(2, 3, 0, 4, 1, 5)
    return calls + _end(conv, tile, block, channels, arranged, bench)


def _tiles(conv: Conv, tile: Tile, block: Block, bench: Bench) -> tuple[list[Call], Array]:
    """The overlapping tiles of inputs as a view (y, x, images, lines, columns, C), and what makes it."""
    images, lines = block
    m, span = tile.size, tile.size + 2
    count, columns = lines.stop - lines.start, -(-conv.y.shape[2] // m)
    top, left = lines.start * m - conv.padding[0], -conv.padding[1]
    calls, strip = padded(conv.x[images], (top, top + count * m + 2), (left, left + columns * m + 2), bench)
    n, h, w, c = strip.strides
    shape = (span, span, len(strip), count, columns, strip.shape[3])
    return calls, as_strided(strip, shape, (h, w, n, m * h, m * w, c), writeable=False)


def _end(conv: Conv, tile: Tile, block: Block, channels: slice, arranged: Array, bench: Bench) -> list[Call]:
    """Put (images, lines, m, columns, m, outputs) in order, straight into y where whole tiles fill it."""
    images, lines = block
    m = tile.size
    rows = slice(lines.start * m, min(lines.stop * m, conv.y.shape[1]))
    y, bias = conv.y[images, rows, :, channels], conv.bias[channels]
    residual = None if conv.residual is None else conv.residual[images, rows, :, channels]
    if y.shape[1] % m == 0 and y.shape[2] % m == 0:
        n, h, w, c = y.strides
        apart = as_strided(y, arranged.shape, (n, m * h, h, m * w, w, c))
        return [partial(np.add, arranged, bias, apart), *_after(y, None, residual, conv.activation, bench)]
    staged = bench.take(*arranged.shape)
    whole = staged.reshape(len(y), -1, arranged.shape[3] * m, y.shape[3])[:, : y.shape[1], : y.shape[2]]
    return [partial(np.add, arranged, bias, staged), *_after(y, whole, residual, conv.activation, bench)]


def _after(y: Array, source: Array | None, residual: Array | None, activation: str, bench: Bench) -> list[Call]:
    """y, or what is to become y and lies elsewhere, plus the residual, and the activation."""
    if source is not None and residual is None and activation == "relu":
        return [partial(np.maximum, source, ZERO, out=y)]
    calls: list[Call] = []
    if residual is not None:
        calls.append(partial(np.add, y if source is None else source, residual, y))
    elif source is not None:
        calls.append(partial(np.copyto, y, source))
    rows = rows_of(y)
    return calls + finish(rows, None, None, activation, bench)
