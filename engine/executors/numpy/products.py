"""Products of rows by weights, as fully connected layers and 1x1 convolutions are: the ways to compute them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from ...dtype import Array
from ...graph.plan import Step
from .activation import INFINITY, finish, on_rows
from .panels import depth_of, multiply, panels_of
from .workshop import Bench, Call, Candidates, Parts, Workshop, rows_of

NEAR, FAR = 400_000, 1_500_000  # bytes that a block and what belongs to it may take: well in the cache, and just
FEW_ROWS = 16  # up to which the weights are read once and do not fit the cache: a matter of memory's speed
FEW_PIXELS = 400  # rows up to which columns may be divided rather than rows
WIDTHS = (64, 32)  # columns of a panel
WORTH_PACKING, WORTH_TURNING = (
    1 << 26,
    1 << 24,
)  # bytes of weights that are kept a second time for much gain, for little
ALL = slice(None)

Multiply = Callable[[Array, Array, Array, Bench], list[Call]]
"""Calls that put x times weights into y, with scratch memory."""


@dataclass(frozen=True, slots=True)
class Product:
    """act(clip(x) @ weight + bias + residual) into y, all of them matrices but for the bias and the clip's bounds."""

    x: Array
    weight: Array
    bias: Array | None
    residual: Array | None
    y: Array
    activation: str
    low: Array | None = None
    high: Array | None = None

    @property
    def is_clipped(self) -> bool:
        """Whether there are bounds."""
        return self.low is not None or self.high is not None

    def part(self, multiply: Multiply, rows: slice, columns: slice, bench: Bench) -> list[Call]:
        """Calls that compute a part of y."""
        calls, x = clipped(self.x[rows], self.low, self.high, bench)
        y, move = gathered(self.y[rows, columns], bench)
        bias = None if self.bias is None else self.bias[columns]
        residual = None if self.residual is None else self.residual[rows, columns]
        calls += multiply(x, self.weight[:, columns], y, bench)
        return calls + finish(y, bias, residual, self.activation, bench) + move


def gemm(step: Step, shop: Workshop) -> Candidates:
    """act(x @ weight + bias + residual); for few rows also with the weights turned, which BLAS may read faster."""
    x, weight, bias, residual = step.inputs
    assert isinstance(x, np.ndarray) and isinstance(weight, np.ndarray)
    assert not isinstance(bias, (int, float, complex)) and not isinstance(residual, (int, float, complex))
    rest = None if residual is None else rows_of(residual)
    p = Product(rows_of(x), weight, bias, rest, rows_of(step.output), step.attributes.get("activation", ""))
    found = products(p, shop)
    if len(p.x) <= FEW_ROWS and (weight.nbytes <= WORTH_TURNING or weight.T.flags.c_contiguous):
        found["product turned"] = partial(_turned, p, shop)
    return found


def products(p: Product, shop: Workshop) -> Candidates:
    """Ways to compute a product: by blocks of rows, so that what follows finds them in the cache, or by columns."""
    count, outputs = p.y.shape
    wide = (p.x.shape[1] + outputs) * 4

    def by_rows(multiply: Multiply, limit: int) -> Parts:
        most = max(64, limit // wide)
        cut = [slice(s, min(s + most, b)) for _, a, b in shop.shares(count) for s in range(a, b, most)]
        return shop.each(cut, lambda bench, rows: p.part(multiply, rows, ALL, bench))

    def by_columns(multiply: Multiply) -> Parts:
        return [p.part(multiply, ALL, slice(a, b), bench) for bench, a, b in shop.shares(outputs)]

    found: Candidates = {}
    by_panels = multipliers(p.x.shape[1], outputs, shop) if count > 1 and p.weight.nbytes <= WORTH_PACKING else {}
    for name, way in {"product": plain, **by_panels}.items():
        found[f"{name} 0.4M"] = partial(by_rows, way, NEAR)
        if count > NEAR // wide:
            found[f"{name} 1.5M"] = partial(by_rows, way, FAR)
        if count > FAR // wide and way is plain and not p.is_clipped:
            found[f"{name} whole"] = partial(by_rows, way, wide * count)
        if shop.threads > 1 and outputs >= 16 and count <= FEW_PIXELS:
            found[f"{name} columns"] = partial(by_columns, way)
    return found


def plain(x: Array, weight: Array, y: Array, _bench: Bench) -> list[Call]:
    """One product, as BLAS does it."""
    return [partial(np.matmul, x, weight, y)]


def multipliers(depth: int, columns: int, shop: Workshop) -> dict[str, Multiply]:
    """Ways to multiply by constant weights of this size in panels, by name."""
    if depth_of(depth) is None:
        return {}

    def multiplier(width: int) -> Multiply:
        return lambda x, weight, y, bench: multiply(x, panels_of(weight, width, shop.packed), y, bench)

    widths = {min(width, columns) for width in WIDTHS}
    return {f"panels of {width}": multiplier(width) for width in sorted(widths, reverse=True)}


def gathered(y: Array, bench: Bench) -> tuple[Array, list[Call]]:
    """Where to compute what becomes rows of y: scratch memory if these have gaps, and then the call that moves it."""
    if y.flags.c_contiguous:
        return y, []
    scratch = bench.take(*y.shape)
    return scratch, [partial(np.copyto, y, scratch)]


def clipped(x: Array, low: Array | None, high: Array | None, bench: Bench) -> tuple[list[Call], Array]:
    """Calls that clip x by channel into scratch memory, and the array they fill; x itself where none is needed."""
    bounds = ((np.maximum, low, -INFINITY), (np.minimum, high, INFINITY))
    limits = [(function, limit) for function, limit, idle in bounds if limit is not None and np.any(limit != idle)]
    if not limits:
        return [], x
    scratch = bench.take(*x.shape)
    clips = [call for function, limit in limits for call in on_rows(function, scratch, limit, bench)]
    return [partial(np.copyto, scratch, x), *clips], scratch


def _turned(p: Product, shop: Workshop) -> Parts:
    weight = p.weight.T
    if not weight.flags.c_contiguous:
        weight = shop.packed.get(p.weight, "turned", lambda: np.ascontiguousarray(p.weight.T))
    return [
        p.part(partial(_times_turned, weight[a:b]), ALL, slice(a, b), bench)
        for bench, a, b in shop.shares(p.y.shape[1], p.weight.size)
    ]


def _times_turned(turned: Array, x: Array, _weight: Array, y: Array, bench: Bench) -> list[Call]:
    sums = bench.take(len(turned), len(x))
    return [partial(np.matmul, turned, x.T, sums), partial(np.copyto, y, sums.T)]
