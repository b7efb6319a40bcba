"""Primitives that pick and place elements: by position, by tensors of positions, by masks."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..dtype import Array
from ..errors import DtypeError, OutOfRangeError, ShapeError
from .primitive import primitive

Basic = tuple[int | slice | None, ...]


@primitive
def getitem(x: Array, *, index: Basic) -> Array:
    """The part that numbers, slices and new dims (None) select, as a view."""
    return x[(*index, ...)]


@getitem.gradient
def _(g: Array, _out: None, _x: None, *, index: Basic, shapes: Any) -> tuple[Array]:
    whole = np.zeros(shapes[0], g.dtype)
    whole[index] = g
    return (whole,)


@primitive
def setitem(x: Array, value: Array, *, index: Basic) -> Array:
    """A copy of x with the selected part replaced by `value`, which broadcasts."""
    whole = x.copy()
    whole[index] = value
    return whole


@setitem.gradient
def _(g: Array, _out: None, _x: None, _value: None, *, index: Basic) -> tuple[Array, Array]:
    rest = g.copy()
    rest[index] = 0
    return rest, g[(*index, ...)]


def _at(positions: tuple[Array, ...], dims: tuple[int, ...]) -> tuple[Any, ...]:
    """NumPy's index for arrays of positions at some dims."""
    index: list[Any] = [slice(None)] * (max(dims, default=-1) + 1)
    for dim, array in zip(dims, positions, strict=True):
        index[dim] = array
    return tuple(index)


def _check(name: str, shape: tuple[int, ...], positions: tuple[Array, ...], dims: tuple[int, ...]) -> None:
    for dim, array in zip(dims, positions, strict=True):
        if array.dtype.kind not in "iu":
            raise DtypeError(f"{name}: positions of {array.dtype}; expected integers or a mask of bools")
        if array.size and not (-shape[dim] <= (low := int(array.min())) and (high := int(array.max())) < shape[dim]):
            wrong = low if low < -shape[dim] else high
            raise OutOfRangeError(f"{name}: index {wrong} is out of bounds for dim {dim} with size {shape[dim]}")


@primitive
def index(x: Array, *positions: Array, dims: tuple[int, ...]) -> Array:
    """The elements at positions along some dims; the arrays of positions broadcast with one another."""
    _check("index", x.shape, positions, dims)
    return np.asarray(x[_at(positions, dims)])


@index.gradient
def _(
    g: Array, _out: None, _x: None, *positions: Array, dims: tuple[int, ...], shapes: Any
) -> tuple[Array | None, ...]:
    whole = np.zeros(shapes[0], g.dtype)
    np.add.at(whole, _at(positions, dims), g)
    return whole, *[None] * len(positions)


@primitive
def index_put(x: Array, value: Array, *positions: Array, dims: tuple[int, ...], accumulate: bool = False) -> Array:
    """A copy of x with `value`, which broadcasts, at the positions, or added there."""
    whole = x.copy()
    assign(whole, value, positions, dims, accumulate)
    return whole


def assign(x: Array, value: Any, positions: tuple[Array, ...], dims: tuple[int, ...], accumulate: bool = False) -> None:
    """Put `value`, which broadcasts, into x itself at the positions, or everywhere where there are none; or add it."""
    _check("index_put", x.shape, positions, dims)
    at: Any = _at(positions, dims) if dims else ...
    try:
        if accumulate:
            np.add.at(x, at, value)
        else:
            x[at] = value
    except ValueError as error:
        met, room = np.shape(value), np.shape(x[at])
        raise ShapeError(f"values of shape {met} do not fit the selected part of shape {room}") from error


@index_put.gradient
def _(
    g: Array, _out: None, _x: None, _value: None, *positions: Array, dims: tuple[int, ...], accumulate: bool = False
) -> tuple[Array | None, ...]:
    at = _at(positions, dims)
    rest = g
    if not accumulate:
        rest = g.copy()
        rest[at] = 0
    return rest, np.asarray(g[at]), *[None] * len(positions)


def _along(name: str, x: Array, index: Array, dim: int) -> int:
    """The dim counted from the front, after checking what gather and scatter ask of an index."""
    if index.dtype != np.int64:
        raise DtypeError(f"{name}: an index of {index.dtype}; expected int64")
    if x.ndim != index.ndim and index.size:
        raise ShapeError(f"{name}: {x.shape} by an index of {index.shape}: expected as many dims")
    dim = dim % max(x.ndim, 1)
    if any(n > m for d, (n, m) in enumerate(zip(index.shape, x.shape, strict=False)) if d != dim):
        raise ShapeError(f"{name}: an index of {index.shape} is larger than {x.shape} beside dim {dim}")
    if x.ndim and index.size and not (index.min() >= 0 and index.max() < x.shape[dim]):
        wrong = index[(index < 0) | (index >= x.shape[dim])].flat[0]
        raise OutOfRangeError(f"{name}: index {wrong} is out of bounds for dim {dim} with size {x.shape[dim]}")
    return dim


def _grid(index: Array, dim: int) -> tuple[Any, ...]:
    """NumPy's index that takes each place of `index` to itself, but for `dim`, which the index says."""
    grid = list(np.ogrid[tuple(slice(n) for n in index.shape)]) if index.ndim else []
    if index.ndim:
        grid[dim] = index
    return tuple(grid) if index.ndim else (...,)


@primitive
def gather(x: Array, index: Array, *, dim: int) -> Array:
    """For each place of the index, the element of x there, but at the index along `dim`."""
    dim = _along("gather", x, index, dim)
    return np.array(x[_grid(index, dim)])


@gather.gradient
def _(g: Array, _out: None, _x: None, index: Array, *, dim: int, shapes: Any) -> tuple[Array, None]:
    whole = np.zeros(shapes[0], g.dtype)
    np.add.at(whole, _grid(index, dim % max(g.ndim, 1)), g)
    return whole, None


@primitive
def scatter(x: Array, index: Array, value: Array, *, dim: int) -> Array:
    """A copy of x with the elements of `value` where the index says along `dim`."""
    dim = _along("scatter", x, index, dim)
    whole = x.copy()
    whole[_grid(index, dim)] = _part(value, index)
    return whole


@scatter.gradient
def _(g: Array, _out: None, _x: None, index: Array, _value: None, *, dim: int, shapes: Any) -> tuple[Array | None, ...]:
    at = _grid(index, dim % max(g.ndim, 1))
    rest = g.copy()
    rest[at] = 0
    return rest, None, _whole(g[at], shapes[2])


@primitive
def scatter_add(x: Array, index: Array, value: Array, *, dim: int) -> Array:
    """A copy of x with the elements of `value` added where the index says along `dim`."""
    dim = _along("scatter_add", x, index, dim)
    whole = x.copy()
    np.add.at(whole, _grid(index, dim), _part(value, index))
    return whole


@scatter_add.gradient
def _(g: Array, _out: None, _x: None, index: Array, _value: None, *, dim: int, shapes: Any) -> tuple[Array | None, ...]:
    return g, None, _whole(g[_grid(index, dim % max(g.ndim, 1))], shapes[2])


def _part(value: Array, index: Array) -> Array:
    """The corner of `value` that the index covers; numbers are for all of it."""
    if np.ndim(value) == 0:
        return value
    if value.ndim != index.ndim or any(n > m for n, m in zip(index.shape, value.shape, strict=True)):
        raise ShapeError(f"scatter: an index of {index.shape} is larger than the values of {value.shape}")
    return value[tuple(slice(n) for n in index.shape)]


def _whole(g: Array, shape: tuple[int, ...]) -> Array:
    """A gradient of the corner as one of all values."""
    if g.shape == shape or not shape:
        return np.asarray(g)
    whole = np.zeros(shape, g.dtype)
    whole[tuple(slice(n) for n in g.shape)] = g
    return whole


@primitive
def embedding(weight: Array, index: Array, *, padding_idx: int | None = None) -> Array:
    """The rows of a table that the index names; the row `padding_idx` gets no gradient."""
    _check("embedding", weight.shape, (index,), (0,))
    if index.size and index.min() < 0:
        raise OutOfRangeError(f"embedding: index {index.min()} is out of bounds for a table of {weight.shape[0]} rows")
    return weight[index]


@embedding.gradient
def _(
    g: Array, _out: None, _weight: None, index: Array, *, padding_idx: int | None = None, shapes: Any
) -> tuple[Array, None]:
    whole = np.zeros(shapes[0], g.dtype)
    np.add.at(whole, index, g)
    if padding_idx is not None:
        whole[padding_idx] = 0
    return whole, None


@primitive
def nonzero(x: Array) -> Array:
    """The positions of elements other than 0, one a row."""
    return np.stack(np.atleast_1d(x).nonzero(), axis=1).astype(np.int64)[:, : x.ndim]
