"""Which operations work element by element, and the names that activations have at the end of others."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from ..ir import Node

UNARY = frozenset({
    "neg", "abs", "sign", "square", "reciprocal", "exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sqrt",
    "rsqrt", "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh", "asinh", "acosh", "atanh", "erf",
    "erfc", "erfinv", "floor", "ceil", "trunc", "frac", "isnan", "isinf", "isfinite", "sigmoid", "round", "cast",
    "nan_to_num", "relu", "leaky_relu", "elu", "gelu", "silu", "softplus", "logsigmoid", "mish", "hardsigmoid",
    "hardswish", "clamp", "logical_not",
})  # fmt: skip
BINARY = frozenset({
    "add", "sub", "mul", "div", "maximum", "minimum", "fmax", "fmin", "pow", "remainder", "fmod", "atan2", "hypot",
    "eq", "ne", "lt", "le", "gt", "ge", "logical_and", "logical_or", "logical_xor", "where", "masked_fill",
})  # fmt: skip

Attributes = Mapping[str, Any]


def _named(name: str, _attributes: Attributes) -> str:
    return name


# What all executors can do at the end of a product, by primitive.
ENDINGS: Mapping[str, Callable[[Attributes], str | None]] = {
    **{name: partial(_named, name) for name in ("relu", "silu", "hardsigmoid", "hardswish", "sigmoid", "tanh")},
    "leaky_relu": lambda a: f"leaky_relu:{float(a.get('negative_slope', 0.01))}",
    "gelu": lambda a: "gelu_tanh" if a.get("approximate", "none") == "tanh" else "gelu",
    "clamp": lambda a: _clamp(a.get("min"), a.get("max")),
}  # fmt: skip


def ending_of(node: Node) -> str | None:
    """The name of an activation at the end of another operation; None where a node is none, or not there."""
    return ENDINGS[node.op](node.attributes) if node.op in ENDINGS else None


def _clamp(low: float | None, high: float | None) -> str | None:
    low, high = -math.inf if low is None else float(low), math.inf if high is None else float(high)
    if (low, high) == (0, math.inf):
        return "relu"
    return "relu6" if (low, high) == (0, 6) else f"clamp:{low}:{high}"
