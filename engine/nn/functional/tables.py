"""Rows of tables: embeddings and bags of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...errors import ShapeError, UnsupportedOpError
from ...ops import indexing, shape
from ...tensor import Tensor
from ...tracing import values_of
from .shared import one


def embedding(input: Tensor, weight: Tensor, padding_idx: int | None = None) -> Tensor:
    """The rows of a table that the indices name; the row `padding_idx` gets no gradient."""
    rows = weight.shape[0]
    return one(indexing.embedding, weight, input, padding_idx=None if padding_idx is None else padding_idx % rows)


def embedding_bag(
    input: Tensor,
    weight: Tensor,
    offsets: Tensor | None = None,
    mode: str = "mean",
    per_sample_weights: Tensor | None = None,
    padding_idx: int | None = None,
) -> Tensor:
    """The sum, mean or maximum of bags of rows: the rows of a 2-d input, or the parts of a 1-d one between offsets."""
    if mode not in ("sum", "mean", "max"):
        raise UnsupportedOpError(f"embedding_bag: mode {mode!r} is not there; expected 'sum', 'mean' or 'max'")
    if input.array.ndim == 2:
        starts = np.arange(input.shape[0]) * input.shape[1]
    elif offsets is not None:
        starts = values_of(offsets, "embedding_bag() with offsets")
    else:
        raise ShapeError(f"embedding_bag: input {input.shape} needs offsets; a 2-d one does not")
    rows = embedding(input.reshape(-1), weight, padding_idx)
    if per_sample_weights is not None:
        rows = rows * per_sample_weights.reshape(-1, 1)
    stops = np.append(starts[1:], rows.shape[0])
    counted = np.ones(rows.shape[0], bool)
    if padding_idx is not None:
        counted = values_of(input, "embedding_bag() with padding_idx").ravel() != padding_idx
    bags = [np.flatnonzero(counted[a:b]) + a for a, b in zip(starts, stops, strict=True)]
    if mode == "max":
        empty = Tensor(np.zeros(weight.shape[1], weight.array.dtype))
        return _stacked([rows[Tensor(bag)].amax(0) if bag.size else empty for bag in bags])
    member = np.zeros((len(bags), rows.shape[0]), weight.array.dtype)
    for row, bag in zip(member, bags, strict=True):
        row[bag] = 1 / max(1, bag.size) if mode == "mean" else 1
    return Tensor(member) @ rows


def _stacked(tensors: Sequence[Tensor]) -> Tensor:
    return one(shape.stack, *tensors, dim=0)
