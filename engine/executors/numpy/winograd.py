"""Winograd's convolutions with 3x3 windows: fewer multiplications, by way of transforms that are products themselves.

A tile of m x m outputs is computed from (m + 2) x (m + 2) inputs: Y = A' [(G w G') * (B' d B)] A, where the middle is
a product over the channels for each of the (m + 2)² points. The transforms go along y and x one after the other, for
whole lines of tiles at once. Points are in the order (x, y).
Source: A. Lavin, S. Gray, Fast Algorithms for Convolutional Neural Networks, 2015.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.lib.stride_tricks import as_strided

from ...dtype import Array
from ...graph.memory import aligned
from .activation import activated
from .convolution import Conv, padded
from .panels import DEEPEST, multiply, multiply_small, panels_of, panels_pay
from .products import ALL, FEW_PIXELS
from .workshop import Bench, Block, Call, Candidates, Parts, Workshop, blocks, rows_of, sized

ENOUGH_CHANNELS = 16
WIDTH = 64  # of a panel
BLOCK_BYTES = (2_000_000, 800_000, 5_000_000)

Multiplied = Callable[[slice, Array, Array, Bench], list[Call]]
"""Calls that put (points, tiles, C) times some columns of the transformed weights into (points, tiles, O)."""


@dataclass(frozen=True, eq=False)
class Tile:
    """The transforms along one dim for tiles of `size` x `size` outputs; the one of weights is in float64."""

    size: int
    inputs: Array
    outputs: Array
    weights: Array

    @classmethod
    def of(cls, size: int, points: tuple[float, ...]) -> Tile:
        """From the points at which polynomials are multiplied, infinity besides: B', A' and G."""
        others = [[q for q in points if q != p] for p in points]
        b = [np.pad(np.poly(roots)[::-1], (0, len(points) - len(roots))) for roots in (*others, points)]
        a = np.hstack([np.vander(points, size, increasing=True).T, np.eye(size)[:, -1:]])
        g = [[p**k / math.prod(p - q for q in rest) for k in range(3)] for p, rest in zip(points, others, strict=True)]
        return cls(size, np.array(b, np.float32), a.astype(np.float32), np.array([*g, [0, 0, 1]]))

    @property
    def span(self) -> int:
        """Inputs that a tile is computed from, along one dim."""
        return self.size + 2

    def weight(self, weight: Array) -> Array:
        """(3, 3, C, O) as (points, C, O), some channels at a time, as all of them would not stay in the cache."""
        channels, outputs = weight.shape[2:]
        points = aligned((self.span**2, channels, outputs))
        both, some = np.kron(self.weights, self.weights), max(1, 4096 // outputs)
        for c in range(0, channels, some):
            part = weight[:, :, c : c + some].transpose(1, 0, 2, 3).reshape(9, -1).astype(np.float64)
            points[:, c : c + some] = (both @ part).reshape(self.span**2, -1, outputs)
        return points


# With the usual 1 and 2 in place of 5/8 and 3/2 the error is twice as large.
TILES = (Tile.of(4, (0.0, 0.625, -0.625, 1.5, -1.5)), Tile.of(2, (0.0, 1.0, -1.0)))


def share_of(algorithm: str) -> float:
    """The share of a direct convolution's multiplications that is left with an algorithm by this name."""
    shares = (tile.span**2 / (9 * tile.size**2) for tile in TILES if algorithm.startswith(f"winograd{tile.size}"))
    return next(shares, 1.0)


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
    images, height, width, _ = conv.y.shape
    for tile in TILES:
        paneled = conv.x.shape[3] <= DEEPEST and panels_pay()
        product = partial(_by_panels if paneled else _by_points, conv, tile, shop)
        name = f"winograd{tile.size}{' panels' if paneled else ''}"
        for size, cut in sized(name, BLOCK_BYTES, partial(_cut, conv, tile, shop)).items():
            found[size] = partial(shop.each, cut, partial(_block, conv, tile, product))
        if shop.threads > 1 and images * height * width <= FEW_PIXELS:
            found[f"{name} channels"] = partial(_by_channels, conv, tile, product, shop)
    return found


def _cut(conv: Conv, tile: Tile, shop: Workshop, limit: int) -> list[Block]:
    """Blocks of lines of tiles that take about `limit` bytes."""
    images, height, width, outputs = conv.y.shape
    channels = conv.x.shape[3]
    lines, columns = -(-height // tile.size), -(-width // tile.size)
    per_tile = tile.span**2 * (channels + max(channels, outputs)) * 4
    return blocks(images, lines, columns, max(columns, limit // per_tile), shop.threads)


def _by_channels(conv: Conv, tile: Tile, product: Multiplied, shop: Workshop) -> Parts:
    whole = slice(0, len(conv.y)), slice(0, -(-conv.y.shape[1] // tile.size))
    shares = ((bench, slice(a, b)) for bench, a, b in shop.shares(conv.y.shape[3]))
    return [_block(conv, tile, product, bench, whole, some) for bench, some in shares]


def _by_panels(conv: Conv, tile: Tile, shop: Workshop, channels: slice, x: Array, y: Array, bench: Bench) -> list[Call]:
    weight = conv.weight[..., channels]
    panels = panels_of(weight, min(WIDTH, weight.shape[3]), shop.packed, ("winograd", tile.size), tile.weight)
    return multiply(x, panels, y, bench)


def _by_points(
    conv: Conv, tile: Tile, shop: Workshop, channels: slice, x: Array, y: Array, _bench: Bench
) -> list[Call]:
    weight = shop.packed.get(conv.weight, ("winograd", tile.size), partial(tile.weight, conv.weight))
    return [partial(np.matmul, x, weight[..., channels], y)]


def _block(
    conv: Conv, tile: Tile, product: Multiplied, bench: Bench, block: Block, channels: slice = ALL
) -> list[Call]:
    """The outputs of some lines of tiles. Two pieces of memory do, as each phase reads one and writes the other."""
    m, span = tile.size, tile.span
    calls, strip = _strip(conv, tile, block, bench)
    images, height, width, depth = strip.shape
    lines, columns = (height - 2) // m, (width - 2) // m
    tiles, outputs = images * lines * columns, len(range(conv.y.shape[3])[channels])
    one = bench.take(span * span * tiles * max(depth, outputs))
    other = bench.take(
        max(span * span * tiles * depth, images * lines * span * width * depth, m * span * tiles * outputs)
    )

    def piece(of: Array, *shape: int) -> Array:
        return of[: math.prod(shape)].reshape(shape)

    n, h, _, _ = strip.strides
    rows = as_strided(strip, (images, lines, span, width * depth), (n, m * h, h, 4), writeable=False)
    along_y = piece(other, images, lines, span, width * depth)
    calls += multiply_small(tile.inputs, rows, along_y)
    n, line, row, c = along_y.reshape(images * lines, span, width, depth).strides
    windows = as_strided(along_y, (span, span, images * lines, columns, depth), (row, line, n, m * row, c))
    gathered = piece(one, span, span * tiles * depth)
    calls.append(partial(np.copyto, gathered.reshape(windows.shape), windows))
    transformed = piece(other, span, span * tiles * depth)
    calls += multiply_small(tile.inputs, gathered, transformed)

    products = piece(one, span * span, tiles, outputs)
    calls += product(channels, transformed.reshape(span * span, tiles, depth), products, bench)
    along_x = piece(other, m, span * tiles * outputs)
    calls += multiply_small(tile.outputs, products.reshape(span, -1), along_x)
    sums = piece(one, m, m, tiles * outputs)
    calls += multiply_small(tile.outputs, along_x.reshape(m, span, -1), sums)
    arranged = sums.reshape(m, m, images, lines, columns, outputs).transpose(2, 3, 1, 4, 0, 5)
    return calls + _end(conv, tile, block, channels, arranged, bench)


def _strip(conv: Conv, tile: Tile, block: Block, bench: Bench) -> tuple[list[Call], Array]:
    """The inputs of a block, (images, rows, columns, C) with no gaps within a row, and calls that make it."""
    images, lines = block
    count, columns = lines.stop - lines.start, -(-conv.y.shape[2] // tile.size)
    top, left = lines.start * tile.size - conv.padding[0], -conv.padding[1]
    limits = (top, top + count * tile.size + 2), (left, left + columns * tile.size + 2)
    calls, strip = padded(conv.x[images], *limits, bench)
    if strip.shape[2] > 1 and strip.strides[2] != strip.shape[3] * strip.itemsize:
        dense = bench.take(*strip.shape)
        return [partial(np.copyto, dense, strip)], dense
    return calls, strip


def _end(conv: Conv, tile: Tile, block: Block, channels: slice, arranged: Array, bench: Bench) -> list[Call]:
    """Put (images, lines, m, columns, m, outputs) in order, straight into y where whole tiles fill it."""
    images, lines = block
    m = tile.size
    rows = slice(lines.start * m, min(lines.stop * m, conv.y.shape[1]))
    y, bias = conv.y[images, rows, :, channels], conv.bias[channels]
    residual = None if conv.residual is None else conv.residual[images, rows, :, channels]
    whole = y.shape[1] % m == 0 and y.shape[2] % m == 0
    if whole and y.flags.c_contiguous:
        n, h, w, c = y.strides
        apart = as_strided(y, arranged.shape, (n, m * h, h, m * w, w, c))
        return [partial(np.add, arranged, bias, apart), *_after(y, residual, conv.activation, bench)]
    staged = bench.take(*arranged.shape)
    image = staged.reshape(len(y), -1, arranged.shape[3] * m, y.shape[3])
    calls: list[Call] = [partial(np.add, arranged, bias, staged)]
    cut = image[:, : y.shape[1], : y.shape[2]]
    if residual is not None:
        calls.append(partial(np.add, cut, residual, cut))
    if conv.activation:
        calls += activated(rows_of(image), rows_of(image), conv.activation, bench)
    return [*calls, partial(np.copyto, y, cut)]


def _after(y: Array, residual: Array | None, activation: str, bench: Bench) -> list[Call]:
    calls: list[Call] = [] if residual is None else [partial(np.add, y, residual, y)]
    return calls + (activated(rows_of(y), rows_of(y), activation, bench) if activation else [])
