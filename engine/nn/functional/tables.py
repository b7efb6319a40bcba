"""Rows of tables: embeddings and bags of them."""

from __future__ import annotations

from ...ops import bags, indexing
from ...tensor import Tensor
from ...tracing import TRACING
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
    if offsets is not None and TRACING.watcher is None:
        bags.check_offsets(offsets.array, input.shape[0])
    padding = None if padding_idx is None else padding_idx % weight.shape[0]
    return one(
        bags.embedding_bag, weight, input, offsets, per_sample_weights, mode=mode, padding_idx=padding
    )  # fmt: skip
