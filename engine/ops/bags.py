"""Bags of rows of a table, each brought to one row: what EmbeddingBag computes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..dtype import Array
from ..errors import OutOfRangeError, ShapeError, UnsupportedOpError
from .primitive import primitive

MODES = ("sum", "mean", "max")


class Bags(NamedTuple):
    """Numbers of rows in a line, where each bag begins and ends in it, and which of the numbers count."""

    rows: Array
    starts: Array
    stops: Array
    counted: Array

    @property
    def sizes(self) -> Array:
        """How many rows count in each bag."""
        sums = np.concatenate([[0], np.cumsum(self.counted)])
        return np.asarray(sums[self.stops] - sums[self.starts])

    @property
    def owners(self) -> Array:
        """The number of the bag that each row is in."""
        return np.repeat(np.arange(len(self.starts)), self.stops - self.starts)


@primitive
def embedding_bag(
    weight: Array, index: Array, offsets: Array | None = None, factors: Array | None = None, *, mode: str = "mean",
    padding_idx: int | None = None,
) -> Array:  # fmt: skip
    """The sum, mean or maximum of bags of rows; an empty bag gives 0.

    Shapes: weight (R, D); index (B, N), or (T) with offsets (B), where bags begin in it; factors like index → (B, D).
    Rows `padding_idx` do not count. Source: torch.nn.functional.embedding_bag.
    """
    if factors is not None and mode != "sum":
        raise UnsupportedOpError(f"embedding_bag: per_sample_weights go with mode 'sum' alone, not with {mode!r}")
    bags = _opened(weight, index, offsets, mode, padding_idx)
    taken = weight[bags.rows]
    if factors is not None:
        taken = taken * factors.reshape(-1, 1)
    if not bags.counted.all():
        taken[~bags.counted] = -np.inf if mode == "max" else 0
    out = np.zeros((len(bags.starts), weight.shape[1]), taken.dtype)
    some = bags.stops > bags.starts
    if some.any():
        out[some] = (np.maximum if mode == "max" else np.add).reduceat(taken, bags.starts[some], axis=0)
    if mode == "max":
        out[bags.sizes == 0] = 0
    elif mode == "mean":
        out /= np.maximum(bags.sizes, 1).astype(out.dtype)[:, None]
    return out


@embedding_bag.gradient
def _(
    g: Array, _out: None, weight: Array, index: Array, *rest: Array | None, mode: str = "mean",
    padding_idx: int | None = None,
) -> tuple[Array | None, ...]:  # fmt: skip
    offsets, factors = (*rest, None, None)[:2]
    bags, whole = _opened(weight, index, offsets, mode, padding_idx), np.zeros_like(weight)
    if mode == "max":
        for bag, (start, stop) in enumerate(zip(bags.starts, bags.stops, strict=True)):
            rows = bags.rows[start:stop][bags.counted[start:stop]]
            if len(rows):
                np.add.at(whole, (rows[weight[rows].argmax(0)], np.arange(weight.shape[1])), g[bag])
        return (whole, None, *[None for _ in rest])
    if mode == "mean":
        g = g / np.maximum(bags.sizes, 1).astype(g.dtype)[:, None]
    each = g[bags.owners] * bags.counted[:, None]
    over_factors = None if factors is None else (each * weight[bags.rows]).sum(1).reshape(index.shape)
    np.add.at(whole, bags.rows, each if factors is None else each * factors.reshape(-1, 1))
    return (whole, None, *[None, over_factors][: len(rest)])


def _opened(weight: Array, index: Array, offsets: Array | None, mode: str, padding_idx: int | None) -> Bags:
    if mode not in MODES:
        raise UnsupportedOpError(f"embedding_bag: mode {mode!r} is not there; expected 'sum', 'mean' or 'max'")
    if index.ndim == 2:
        starts = np.arange(len(index)) * index.shape[1]
    elif offsets is not None and index.ndim == 1:
        starts = offsets.astype(np.int64)
    else:
        raise ShapeError(f"embedding_bag: input {index.shape} needs offsets; a 2-d one does not")
    rows = index.reshape(-1)
    if rows.size and not 0 <= rows.min() <= rows.max() < len(weight):
        wrong = rows.min() if rows.min() < 0 else rows.max()
        raise OutOfRangeError(f"embedding_bag: index {wrong} is out of bounds for a table of {len(weight)} rows")
    starts = np.clip(starts, 0, rows.size)  # a graph is captured with any numbers; eager ones were checked before
    stops = np.maximum(starts, np.append(starts[1:], rows.size))
    return Bags(rows, starts, stops, np.ones(rows.size, bool) if padding_idx is None else rows != padding_idx)


def check_offsets(offsets: Array, count: int) -> None:
    """Raise OutOfRangeError where bags do not begin at 0, or go back, or begin behind the last of `count` rows."""
    if offsets.size and (offsets[0] != 0 or (np.diff(offsets) < 0).any() or offsets[-1] > count):
        raise OutOfRangeError(
            f"embedding_bag: offsets {offsets[:8].tolist()} for {count} rows; expected 0 and then no less"
        )
