"""Operators that fold dims, and those that order elements."""

from __future__ import annotations

import numpy as np

from ..calls import Call
from ..elements import ELEMENTS
from ..items import Item
from .shaping import axes_of
from .table import operator


def _dims(at: Call, x: Item, axes: Item | None) -> tuple[int, ...] | None:
    """The dims to fold; None where the tensor stays as it is."""
    given = axes_of(at, axes, ())
    if not given:
        return None if at.flag("noop_with_empty_axes") else tuple(range(x.ndim))
    return tuple(at.axis(a, x.ndim) for a in given)


def _reduce(at: Call, name: str, x: Item, dims: tuple[int, ...] | None) -> Item:
    """A folding primitive, in the type of x."""
    if dims is None:
        return x
    folded: Item = at(name, x, dim=dims, keepdim=at.flag("keepdims", True))
    return folded if folded.array.dtype == x.array.dtype else at.cast(folded, x.element)


@operator("ReduceSum")
def reduce_sum(at: Call, x: Item, axes: Item | None = None) -> Item:
    """The sum."""
    return _reduce(at, "sum", x, _dims(at, x, axes))


@operator("ReduceMean")
def reduce_mean(at: Call, x: Item, axes: Item | None = None) -> Item:
    """The mean."""
    dims = _dims(at, x, axes)
    if not x.floating:
        return at.cast(_reduce(at, "mean", at.cast(x, ELEMENTS[11]), dims), x.element)
    return _reduce(at, "mean", x, dims)


@operator("ReduceProd")
def reduce_prod(at: Call, x: Item, axes: Item | None = None) -> Item:
    """The product."""
    return _reduce(at, "prod", x, _dims(at, x, axes))


@operator("ReduceMax")
def reduce_max(at: Call, x: Item, axes: Item | None = None) -> Item:
    """The greatest."""
    return _extreme(at, "amax", x, axes)


@operator("ReduceMin")
def reduce_min(at: Call, x: Item, axes: Item | None = None) -> Item:
    """The least."""
    return _extreme(at, "amin", x, axes)


def _extreme(at: Call, name: str, x: Item, axes: Item | None) -> Item:
    dims = _dims(at, x, axes)
    if dims is None or all(x.shape[d] for d in dims):
        return _reduce(at, name, x, dims)
    kind = x.array.dtype
    lowest, highest = (-np.inf, np.inf) if kind.kind == "f" else (False, True) if kind.kind == "b" else (
        np.iinfo(kind).min, np.iinfo(kind).max
    )  # fmt: skip
    keep = at.flag("keepdims", True)
    shape = [1 if d in dims else n for d, n in enumerate(x.shape) if keep or d not in dims]
    return at.constant(np.full(shape, lowest if name == "amax" else highest), x)


@operator("ReduceL1")
def reduce_l1(at: Call, x: Item, axes: Item | None = None) -> Item:
    """The sum of sizes."""
    dims = _dims(at, x, axes)
    return _reduce(at, "sum", at("abs", x), dims)


@operator("ReduceL2")
def reduce_l2(at: Call, x: Item, axes: Item | None = None) -> Item:
    """The root of the sum of squares."""
    dims = _dims(at, x, axes)
    if dims is None:
        return at("abs", x)
    wide = x if x.floating else at.cast(x, ELEMENTS[11])
    return at.cast(at("sqrt", _reduce(at, "sum", at("square", wide), dims)), x.element)


@operator("ReduceSumSquare")
def reduce_sum_square(at: Call, x: Item, axes: Item | None = None) -> Item:
    """The sum of squares."""
    return _reduce(at, "sum", at("square", x), _dims(at, x, axes))


@operator("ReduceLogSum")
def reduce_log_sum(at: Call, x: Item, axes: Item | None = None) -> Item:
    """The logarithm of the sum."""
    wide = x if x.floating else at.cast(x, ELEMENTS[11])
    return at.cast(at("log", _reduce(at, "sum", wide, _dims(at, x, axes))), x.element)


@operator("ReduceLogSumExp")
def reduce_log_sum_exp(at: Call, x: Item, axes: Item | None = None) -> Item:
    """The logarithm of the sum of exp(x)."""
    dims = _dims(at, x, axes)
    if dims is None:
        return x
    if not all(x.shape[d] for d in dims):
        return at("log", _reduce(at, "sum", at("exp", x), dims))
    wide = x if x.floating else at.cast(x, ELEMENTS[11])
    return at.cast(at("logsumexp", wide, dim=dims, keepdim=at.flag("keepdims", True)), x.element)


def _place(at: Call, name: str, x: Item) -> Item:
    axis, keep = at.axis(at.integer("axis", 0), x.ndim), at.flag("keepdims", True)
    if not at.flag("select_last_index"):
        return at(name, x, dim=axis, keepdim=keep)
    back = at(name, at("flip", x, dims=(axis,)), dim=axis, keepdim=keep)
    return at("sub", at.constant(np.array(x.shape[axis] - 1)), back)


@operator("ArgMax")
def arg_max(at: Call, x: Item) -> Item:
    """Where the greatest is."""
    return _place(at, "argmax", x)


@operator("ArgMin")
def arg_min(at: Call, x: Item) -> Item:
    """Where the least is."""
    return _place(at, "argmin", x)


def _running(at: Call, name: str, x: Item, axis: Item, empty: float) -> Item:
    """All before each element, itself with them or not, from either end."""
    dim = at.axis(int(at.one(axis, "the axis")), x.ndim)
    back = at.flag("reverse")
    whole = at("flip", x, dims=(dim,)) if back else x
    total = at.cast(at(name, whole, dim=dim), x.element)
    if at.flag("exclusive"):
        ahead = (*(slice(None),) * dim, slice(0, x.shape[dim] - 1))
        room = tuple((1, 0) if d == dim else (0, 0) for d in range(x.ndim))
        total = at("pad", at("getitem", total, index=ahead), widths=room, value=empty)
    return at("flip", total, dims=(dim,)) if back else total


@operator("CumSum")
def cum_sum(at: Call, x: Item, axis: Item) -> Item:
    """The sums of all up to each."""
    return _running(at, "cumsum", x, axis, 0)


@operator("CumProd")
def cum_prod(at: Call, x: Item, axis: Item) -> Item:
    """The products of all up to each."""
    return _running(at, "cumprod", x, axis, 1)


@operator("TopK")
def top_k(at: Call, x: Item, k: Item | None = None) -> tuple[Item, ...]:
    """The k greatest or least in order, and where they are."""
    count = at.integer("k") if k is None else int(at.one(k, "k"))
    axis = at.axis(at.integer("axis", -1), x.ndim)
    return at.several("topk", x, k=count, dim=axis, largest=at.flag("largest", True), sorted=at.flag("sorted", True))


@operator("Unique")
def unique(at: Call, x: Item) -> tuple[Item, ...]:
    """The different elements, where each is first, which of them each one is, and how many there are of each."""
    axis = at.integer("axis", None)

    def found(values: np.ndarray) -> tuple[np.ndarray, ...]:
        result, first, inverse, counts = np.unique(values, True, True, True, axis=axis)
        if not at.flag("sorted", True):
            order = np.argsort(first)
            rank = np.argsort(order)
            result = np.take(result, order, axis=0 if axis is None else axis)
            first, counts, inverse = first[order], counts[order], rank[inverse.reshape(-1)]
        return result, first, inverse.reshape(-1), counts

    result, *places = at.hosted(found, x)
    return (Item(result, x.element), *(at.constant(p.astype(np.int64)) for p in places))


@operator("NonZero")
def non_zero(at: Call, x: Item) -> Item:
    """The positions of elements other than 0, one a column."""
    return at.constant(at.hosted(lambda values: np.array(np.nonzero(np.atleast_1d(values)), np.int64), x))


@operator("Compress")
def compress(at: Call, x: Item, condition: Item) -> Item:
    """The elements or slices for which a condition holds."""
    axis = at.integer("axis", None)
    return Item(at.hosted(lambda values, keep: np.compress(keep, values, axis), x, condition), x.element)


@operator("Det")
def det(at: Call, x: Item) -> Item:
    """The determinants of matrices."""
    return Item(at.hosted(lambda values: np.asarray(np.linalg.det(values), values.dtype), x), x.element)


@operator("LpNormalization")
def lp_normalization(at: Call, x: Item) -> Item:
    """x over its norm along an axis."""
    p, axis = at.integer("p", 2), at.axis(at.integer("axis", -1), x.ndim)
    length = at("norm", x, p=p, dim=axis, keepdim=True)
    nothing = at("eq", length, 0.0)
    return at("where", nothing, at.constant(0, x), at("div", x, at("where", nothing, at.constant(1, x), length)))


@operator("MeanVarianceNormalization")
def mean_variance_normalization(at: Call, x: Item) -> Item:
    """x at mean 0 and variance 1 over some dims."""
    dims = at.integers("axes", (0, 2, 3))
    centred = at("sub", x, at("mean", x, dim=dims, keepdim=True))
    spread = at("sqrt", at("mean", at("square", centred), dim=dims, keepdim=True))
    return at("div", centred, at("add", spread, 1e-9))
