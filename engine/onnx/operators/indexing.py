"""Operators that pick and place elements."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...errors import FormatError
from ..calls import Call
from ..elements import ELEMENTS, STRING
from ..items import Item, known
from .table import operator


@operator("Gather")
def gather(at: Call, x: Item, indices: Item) -> Item:
    """The slices of an axis that the indices name."""
    axis = at.axis(at.integer("axis", 0), x.ndim)
    if x.element is STRING:
        return known(np.asarray(at.hosted(lambda values, i: np.take(values, i, axis), x, indices), object))
    if indices.known and not indices.ndim:
        place = int(indices.array)
        if not -x.shape[axis] <= place < x.shape[axis]:
            raise FormatError(f"index {place} of an axis of {x.shape[axis]}")
        return at("getitem", x, index=(*(slice(None),) * axis, place % max(1, x.shape[axis])))
    if not axis and x.known and x.ndim == 2 and x.floating and not indices.known:
        return at("embedding", x, counted(at, indices, x.shape[0]))
    return at("index", x, indices, dims=(axis,))


def counted(at: Call, indices: Item, size: int) -> Item:
    """Indices as int64, those that count from the end brought to the front."""
    indices = at.cast(indices, ELEMENTS[7])
    if indices.known and (not indices.array.size or indices.array.min() >= 0):
        return indices
    below = at("lt", indices, 0)
    return at("where", below, at("add", indices, size), indices)


@operator("GatherElements")
def gather_elements(at: Call, x: Item, indices: Item) -> Item:
    """For each place of the indices the element there, but at the index along an axis."""
    axis = at.axis(at.integer("axis", 0), x.ndim)
    return at("gather", x, counted(at, indices, x.shape[axis]), dim=axis)


@operator("GatherND")
def gather_nd(at: Call, x: Item, indices: Item) -> Item:
    """The elements or slices at positions that the last dim of the indices holds."""
    batch = at.integer("batch_dims", 0)
    positions = _positions(at, indices, batch)
    return at("index", x, *positions, dims=tuple(range(len(positions))))


def _positions(at: Call, indices: Item, batch: int = 0) -> list[Item]:
    """The columns of the last dim, behind the positions of the leading dims that both share."""
    shape = indices.shape[:-1]
    lead = [
        at.constant(np.arange(shape[d]).reshape([-1 if e == d else 1 for e in range(len(shape))])) for d in range(batch)
    ]
    columns = [at.pick(indices, -1, i) for i in range(indices.shape[-1])]
    return [*lead, *columns]


_REDUCTIONS = {"add": np.add, "mul": np.multiply, "max": np.maximum, "min": np.minimum}


@operator("ScatterElements", "Scatter")
def scatter_elements(at: Call, x: Item, indices: Item, updates: Item) -> Item:
    """A copy of x with updates where the indices say along an axis, put there or joined with what is there."""
    axis = at.axis(at.integer("axis", 0), x.ndim)
    how = at.text("reduction", "none")
    indices = counted(at, indices, x.shape[axis])
    if how in ("none", "add"):
        return at("scatter" if how == "none" else "scatter_add", x, indices, updates, dim=axis)

    def joined(values: np.ndarray, places: np.ndarray, new: np.ndarray) -> np.ndarray:
        grid: list[Any] = list(np.ogrid[tuple(slice(n) for n in places.shape)])
        grid[axis] = places
        return _joined(values, tuple(grid), new, how)

    return Item(at.hosted(joined, x, indices, updates), x.element)


def _joined(values: np.ndarray, places: Any, new: np.ndarray, how: str) -> np.ndarray:
    if how not in _REDUCTIONS:
        raise FormatError(f"reduction {how!r}; expected none, add, mul, max or min")
    result = values.copy()
    _REDUCTIONS[how].at(result, places, new)
    return result


@operator("ScatterND")
def scatter_nd(at: Call, x: Item, indices: Item, updates: Item) -> Item:
    """A copy of x with updates at the positions that the last dim of the indices holds."""
    how = at.text("reduction", "none")
    if how in ("none", "add"):
        positions = _positions(at, indices)
        dims = tuple(range(len(positions)))
        return at("index_put", x, updates, *positions, dims=dims, accumulate=how == "add")
    return Item(
        at.hosted(lambda values, i, new: _joined(values, tuple(np.moveaxis(i, -1, 0)), new, how), x, indices, updates),
        x.element,
    )


@operator("TensorScatter")
def tensor_scatter(at: Call, past: Item, update: Item, start: Item | None = None) -> Item:
    """A cache with new rows written at each sequence's own place, round and round where it is circular."""
    axis = at.axis(at.integer("axis", -2), past.ndim)
    count, size = update.shape[axis], past.shape[axis]
    first = np.zeros(past.shape[0], np.int64) if start is None else np.array(at.whole(start, "the write indices"))
    places = first[:, None] + np.arange(count)
    if at.text("mode", "linear") == "circular":
        places %= size
    shape = [past.shape[0] if d == 0 else count if d == axis else 1 for d in range(past.ndim)]
    index = np.broadcast_to(places.reshape(shape), update.shape).astype(np.int64)
    return at("scatter", past, at.constant(index), update, dim=axis)


@operator("OneHot")
def one_hot(at: Call, indices: Item, depth: Item, values: Item) -> Item:
    """One value along a new axis, another at the index."""
    count = int(at.one(depth, "the depth"))
    axis = at.axis(at.integer("axis", -1), indices.ndim + 1)
    shape = (*indices.shape[:axis], 1, *indices.shape[axis:])
    places = at("reshape", at("remainder", at.cast(indices, ELEMENTS[7]), count), shape=shape)
    inside = at("reshape", at("logical_and", at("ge", indices, -count), at("lt", indices, count)), shape=shape)
    steps = np.arange(count).reshape([-1 if d == axis else 1 for d in range(len(shape))])
    chosen = at("logical_and", at("eq", places, at.constant(steps)), inside)
    off, on = (at("getitem", values, index=(i,)) for i in (0, 1))
    return at("where", chosen, on, off)
