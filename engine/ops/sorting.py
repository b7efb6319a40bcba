"""Primitives that order elements, find them in order, and count them."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..dtype import Array, result_dtype
from ..errors import DtypeError, ShapeError
from .primitive import primitive
from .reduction import scattered

WHOLE_SORT = 4096  # up to here a stable sort of all is quick, and the first of equals wins


def _order(x: Array, dim: int, descending: bool) -> Array:
    """The positions in order, equals as they stood; nan counts as the greatest."""
    if not x.ndim:
        return np.zeros((), np.int64)
    if not descending:
        return x.argsort(axis=dim, kind="stable")
    back = np.flip(np.flip(x, dim).argsort(axis=dim, kind="stable"), dim)
    return np.asarray(x.shape[dim] - 1 - back)


def _picked(x: Array, at: Array, dim: int) -> Array:
    return np.take_along_axis(x, at, axis=dim) if x.ndim else x.copy()


@primitive
def sort(x: Array, *, dim: int = -1, descending: bool = False) -> tuple[Array, Array]:
    """The elements in order along a dim, and where each was."""
    at = _order(x, dim, descending)
    return _picked(x, at, dim), at


@sort.gradient
def _(g: Any, out: Any, _x: None, *, dim: int = -1, descending: bool = False, shapes: Any) -> tuple[Array | None]:
    return (scattered(g[0], out[1], dim, True, shapes[0]),)


@primitive
def topk(x: Array, *, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> tuple[Array, Array]:
    """The k greatest (or least) along a dim in order, and where they are."""
    size = x.shape[dim] if x.ndim else 1
    if not 0 <= k <= size:
        raise ShapeError(f"topk: k is {k}, but dim {dim} of {x.shape} has {size} elements")
    if not x.ndim:
        return x.copy(), np.zeros((), np.int64)
    if size <= WHOLE_SORT or k in (0, size):
        at = np.moveaxis(np.moveaxis(_order(x, dim, largest), dim, 0)[:k], 0, dim)
    else:
        near = np.moveaxis(x.argpartition(size - k if largest else k - 1, axis=dim), dim, 0)
        some = np.sort(np.moveaxis(near[size - k :] if largest else near[:k], 0, dim), axis=dim)
        at = np.take_along_axis(some, _order(np.take_along_axis(x, some, axis=dim), dim, largest), axis=dim)
    return np.take_along_axis(x, at, axis=dim), at


@topk.gradient
def _(g: Any, out: Any, _x: None, *, dim: int = -1, shapes: Any, **_order: Any) -> tuple[Array | None]:
    return (scattered(g[0], out[1], dim, True, shapes[0]),)


@primitive
def kthvalue(x: Array, *, k: int, dim: int = -1, keepdim: bool = False) -> tuple[Array, Array]:
    """The k-th least along a dim, counted from 1, and where it is."""
    size = x.shape[dim] if x.ndim else 1
    if not 1 <= k <= size:
        raise ShapeError(f"kthvalue: k is {k}, but dim {dim} of {x.shape} has {size} elements")
    return _one(x, _order(x, dim, False), np.intp(k - 1), dim, keepdim)


@primitive
def median(x: Array, *, dim: int = -1, keepdim: bool = False) -> tuple[Array, Array]:
    """The middle element along a dim, the lesser of two, and where it is; nan where there is one."""
    order = _order(x, dim, False)
    middle = np.full((1,) * x.ndim, ((x.shape[dim] if x.ndim else 1) - 1) // 2)
    if x.dtype.kind == "f" and x.ndim:
        first_nan = x.shape[dim] - np.isnan(x).sum(axis=dim, keepdims=True)
        middle = np.where(first_nan < x.shape[dim], first_nan, middle)
    return _one(x, order, middle, dim, keepdim)


def _one(x: Array, order: Array, rank: Any, dim: int, keepdim: bool) -> tuple[Array, Array]:
    if not x.ndim:
        return x.copy(), np.zeros((), np.int64)
    shape = [1 if d == dim % x.ndim else n for d, n in enumerate(x.shape)]
    at = np.take_along_axis(order, np.broadcast_to(rank, shape), axis=dim)
    value = np.take_along_axis(x, at, axis=dim)
    return (value, at) if keepdim else (value.squeeze(dim), at.squeeze(dim))


@kthvalue.gradient
@median.gradient
def _(
    g: Any, out: Any, _x: None, *, dim: int = -1, keepdim: bool = False, shapes: Any, **_rank: Any
) -> tuple[Array | None]:
    return (scattered(g[0], out[1], dim, keepdim, shapes[0]),)


@primitive
def cummax(x: Array, *, dim: int) -> tuple[Array, Array]:
    """The greatest of all elements up to each, along a dim, and where it is (the last of equals)."""
    return _record(x, np.maximum, dim)


@primitive
def cummin(x: Array, *, dim: int) -> tuple[Array, Array]:
    """The least of all elements up to each, along a dim, and where it is (the last of equals)."""
    return _record(x, np.minimum, dim)


def _record(x: Array, better: np.ufunc, dim: int) -> tuple[Array, Array]:
    if not x.ndim:
        return x.copy(), np.zeros((), np.int64)
    best = better.accumulate(x, axis=dim)
    shape = [-1 if d == dim % x.ndim else 1 for d in range(x.ndim)]
    places = np.arange(x.shape[dim]).reshape(shape)
    return best, np.maximum.accumulate(np.where((x == best) | (x != x), places, 0), axis=dim)


@cummax.gradient
@cummin.gradient
def _(g: Any, out: Any, _x: None, *, dim: int) -> tuple[Array | None]:
    if g[0] is None or not g[0].ndim:
        return (g[0],)
    rows, at = np.moveaxis(g[0], dim, -1), np.moveaxis(out[1], dim, -1)
    whole = np.zeros_like(rows)
    np.add.at(whole, (*np.ogrid[tuple(slice(n) for n in rows.shape)][:-1], at), rows)
    return (np.moveaxis(whole, -1, dim),)


@primitive
def unique(x: Array, *, dim: int | None = None) -> tuple[Array, Array, Array]:
    """The different elements (or slices) in order, which of them each one is, and how many there are of each."""
    values, inverse, counts = np.unique(x, return_inverse=True, return_counts=True, axis=dim, equal_nan=False)
    return values, inverse.reshape(x.shape if dim is None else -1), counts


@primitive
def searchsorted(ordered: Array, values: Array, *, right: bool = False) -> Array:
    """Where values would have to go in an ordered row; each row of values has its own, or all share one."""
    side: Any = "right" if right else "left"
    if ordered.ndim <= 1:
        return np.asarray(np.searchsorted(ordered, values, side)).astype(np.int64)
    if ordered.shape[:-1] != np.shape(values)[:-1]:
        raise ShapeError(f"searchsorted: {ordered.shape} and {np.shape(values)}: the dims before the last differ")
    rows = ordered.reshape(-1, ordered.shape[-1])
    asked = values.reshape(len(rows), -1)
    found = [np.searchsorted(row, ask, side) for row, ask in zip(rows, asked, strict=True)]
    return np.array(found, np.int64).reshape(values.shape)


@primitive
def bincount(x: Array, weights: Array | None = None, *, minlength: int = 0) -> Array:
    """How often each whole number from 0 on occurs, or the sum of the weights where it does."""
    if x.dtype.kind not in "iu" or x.ndim != 1 or (x.size and x.min() < 0):
        raise DtypeError(f"bincount: {x.dtype} of shape {x.shape}; expected a vector of integers >= 0")
    counts = np.bincount(x, weights, minlength)
    return counts if weights is None else counts.astype(np.float32 if weights.dtype == np.float32 else np.float64)


@primitive
def histc(x: Array, *, bins: int = 100, min: float = 0, max: float = 0) -> Array:
    """How many elements lie in each of evenly wide bins; by default from the least to the greatest."""
    bounds = (float(x.min()), float(x.max())) if min == max == 0 and x.size else (min, max)
    return np.histogram(x, bins, bounds)[0].astype(x.dtype)


@primitive
def one_hot(x: Array, *, num_classes: int = -1) -> Array:
    """Rows of 0 with a 1 at the class that each element names."""
    if x.dtype != np.int64:
        raise DtypeError(f"one_hot: classes of {x.dtype}; expected int64")
    most = int(x.max(initial=-1))
    classes = most + 1 if num_classes == -1 else num_classes
    if x.size and (x.min() < 0 or most >= classes):
        raise ShapeError(f"one_hot: classes from {x.min()} to {most} do not fit {classes} classes from 0 on")
    return np.asarray(x[..., None] == np.arange(classes)).astype(np.int64)


@primitive
def isin(elements: Array, test_elements: Array) -> Array:
    """Whether each element is among others."""
    dtype = result_dtype(elements, test_elements)
    return np.isin(elements.astype(dtype), np.asarray(test_elements).astype(dtype))
