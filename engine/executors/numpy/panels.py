"""Products cut so small that BLAS multiplies the pieces where they lie.

Before it multiplies, a BLAS copies both matrices into an order of its own. For few rows the copy of the weights takes
longer than the product. OpenBLAS leaves it out for products of up to SMALL multiplications where it has kernels for
AVX-512. So the weights are cut into panels, once, and one call of np.matmul multiplies a whole stack of pieces.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial

import numpy as np
from numpy.lib.stride_tricks import as_strided

from ...dtype import Array
from ...graph.memory import aligned
from ..blas import seconds
from ..packed import Packed
from .workshop import Bench, Call

SMALL = 1_000_000  # Source: OpenBLAS, kernel/x86_64/sgemm_small_kernel_permit_skylakex.c
DEEPEST = 1_024  # numbers of a row that one piece takes, so that some rows fit into it too
DEPTHS = range(640, 127, -1)  # of the pieces of longer rows

Panel = tuple[int, Array]  # the first of its columns, and (…, depths, panels, depth, width)


@lru_cache(maxsize=1)
def panels_pay() -> bool:
    """Whether this BLAS multiplies a few rows faster in panels than at once, as tried the first time."""
    x, weight, y, bench = aligned((16, 256)), aligned((256, 256)), aligned((16, 256)), Bench(Packed())
    x.fill(1)
    weight.fill(1)
    (cut,) = multiply(x, panels_of(weight, 64, Packed()), y, bench)
    return seconds(cut) < seconds(partial(np.matmul, x, weight, y))


def depth_of(rows: int) -> int | None:
    """How many rows of the weights a piece takes, all pieces the same; None where they cannot be divided so."""
    return rows if rows <= DEEPEST else next((d for d in DEPTHS if rows % d == 0), None)


def panels_of(
    weight: Array, width: int, packed: Packed, kind: object = "", prepare: Callable[[Array], Array] | None = None
) -> list[Panel]:
    """Weights (…, K, N) in panels of `width` columns, and what is left of them in a narrower one.

    `prepare` makes those weights from some columns of the ones given, and `kind` is its name.
    """
    rows, columns = weight.shape[-2:]
    depth = depth_of(rows)
    assert depth is not None, f"{rows} rows cannot be divided evenly"

    def pack(first: int, count: int, width: int) -> Array:
        panels = [weight[..., start : start + width] for start in range(first, first + count * width, width)]
        parts = (panel if prepare is None else prepare(panel) for panel in panels)
        packed: Array | None = None
        for number, part in enumerate(parts):
            if packed is None:
                packed = aligned((*part.shape[:-2], rows // depth, count, depth, width))
            packed[..., number, :, :] = part.reshape(*part.shape[:-2], rows // depth, depth, width)
        assert packed is not None
        return packed

    count, rest = divmod(columns, width)
    cuts = [cut for cut in ((0, count, width), (count * width, 1, rest)) if cut[1] and cut[2]]
    return [(cut[0], packed.get(weight, ("panels", kind, *cut), partial(pack, *cut))) for cut in cuts]


def multiply(x: Array, panels: list[Panel], y: Array, bench: Bench) -> list[Call]:
    """Calls that put x (…, M, K) times the weights into y (…, M, N); rows may have gaps between them."""
    depths = panels[0][1].shape[-4]
    if depths == 1:
        return [call for first, panel in panels for call in _stacked(x, panel, y[..., None, :, first:])]
    sums = bench.take(depths, *y.shape)
    calls = [call for first, panel in panels for call in _stacked(x, panel, sums[..., first:])]
    return [*calls, partial(np.add.reduce, sums, 0, None, y)]


def _stacked(x: Array, panel: Array, y: Array) -> list[Call]:
    """The products with one panel's pieces, into y (…, depths, M, columns)."""
    *stack, depths, count, depth, width = panel.shape
    rows = x.shape[-2]
    blocks = -(-rows // max(1, SMALL // (depth * width)))
    size = rows // blocks
    calls: list[Call] = []
    for start, number, height in ((0, blocks, size), (blocks * size, 1, rows - blocks * size)):
        if height:
            at, into = x[..., start:, :], y[..., start:, :]
            pieces = as_strided(
                at,
                (*stack, depths, 1, number, height, depth),
                (*at.strides[:-2], depth * at.itemsize, 0, height * at.strides[-2], *at.strides[-2:]),
            )
            target = as_strided(
                into,
                (*stack, depths, count, number, height, width),
                (*into.strides[:-2], width * into.itemsize, height * into.strides[-2], *into.strides[-2:]),
            )
            calls.append(partial(np.matmul, pieces, panel[..., None, :, :], target))
    return calls


def multiply_small(matrix: Array, x: Array, y: Array) -> list[Call]:
    """Calls that put a small matrix (A, B) times x (…, B, many) into y (…, A, many), in pieces along the last dim."""
    *stack, height, width = y.shape
    size = max(1, SMALL // matrix.size)
    count = -(-width // size)
    size = width // count
    calls: list[Call] = []
    for start, number, part in ((0, count, size), (count * size, 1, width - count * size)):
        if part:
            cut = [
                as_strided(
                    a[..., start:], (*stack, number, a.shape[-2], part), (*a.strides[:-2], 4 * part, *a.strides[-2:])
                )
                for a in (x, y)
            ]
            calls.append(partial(np.matmul, matrix, *cut))
    return calls
