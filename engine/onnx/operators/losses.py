"""Losses, as models exported in training have them."""

from __future__ import annotations

from typing import Any

from ..calls import Call
from ..elements import ELEMENTS
from ..items import Item
from .table import operator


@operator("NegativeLogLikelihoodLoss")
def negative_log_likelihood_loss(at: Call, x: Item, target: Item, weight: Item | None = None) -> Item:
    """Minus the log-probability of each target's class."""
    return _loss(at, x, target, weight)


@operator("SoftmaxCrossEntropyLoss")
def softmax_cross_entropy_loss(at: Call, x: Item, target: Item, weight: Item | None = None) -> Any:
    """The same of scores, and where wanted their log-probabilities."""
    logs = at("log_softmax", x, dim=1)
    loss = _loss(at, logs, target, weight)
    return (loss, logs) if at.outputs > 1 else loss


def _loss(at: Call, x: Item, target: Item, weight: Item | None) -> Item:
    ignored, how = at.integer("ignore_index", None), at.text("reduction", "mean")
    target = at.cast(target, ELEMENTS[7])
    counts: Item | None = None
    if ignored is not None:
        taken = at("ne", target, ignored)
        counts = at.cast(taken, x.element)
        target = at("where", taken, target, 0)
    shape = (target.shape[0], 1, *target.shape[1:])
    picked = at("gather", x, at("reshape", target, shape=shape), dim=1)
    loss = at("neg", at("reshape", picked, shape=target.shape))
    if weight is not None:
        each = at("index", weight, target, dims=(0,))
        counts = each if counts is None else at("mul", each, counts)
    if counts is not None:
        loss = at("mul", loss, counts)
    if how == "none":
        return loss
    total = at("sum", loss)
    if how == "sum":
        return total
    return at("mean", loss) if counts is None else at("div", total, at("sum", counts))
