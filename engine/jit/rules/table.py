"""RULES, how each primitive of a graph is written as a call of PyTorch's operators."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from ...graph.ir import Node, Value
from ..emitter import Emitter, Rule, call

RULES: dict[str, Rule] = {}
# Primitives that no rule writes, and why.
NOT_WRITTEN = {
    "batch_norm_of_batch": "statistics of the batch belong to training",
    "nms": "its shape depends on values, so that no graph holds it",
    "roi_align": "it is torchvision's, which PyTorch alone does not have",
    "local_response_norm": "PyTorch has no operator for it",
    **dict.fromkeys(
        ("binary_cross_entropy", "binary_cross_entropy_with_logits", "huber_loss", "kl_div", "l1_loss", "mse_loss",
         "nll_loss"),
        "losses belong to training",
    ),
    **dict.fromkeys(("clone", "contiguous"), "copies are no operations of a graph"),
}  # fmt: skip


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Enter a rule."""

    def entered(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(names, function))
        return function

    return entered


def like(node: Node) -> Value:
    """A value whose dtype numbers take, where they must be tensors."""
    return next(node.values)


def padded(e: Emitter, x: str, widths: Any, mode: str = "constant", value: Any = 0.0) -> str:
    """Padding from the last dim on; dims before the first that is padded are not named."""
    pairs = list(itertools.dropwhile(lambda pair: tuple(pair) == (0, 0), widths))
    flat = [n for pair in reversed(pairs) for n in pair]
    last = e.text(float(value) if isinstance(value, (int, float)) else value) if mode == "constant" else "None"
    return call("pad", x, e.text(flat), e.text(mode), last)
