"""Primitives on single elements, those that arrange them, and all that need no more than their attributes in order."""

from __future__ import annotations

from typing import Any

from ...graph.ir import Node, Value
from ..emitter import Emitter, Rule, call
from .table import RULES, like, padded, rule

SAME = (
    "abs", "acos", "acosh", "asin", "asinh", "atan", "atan2", "atanh", "bitwise_and", "bitwise_left_shift",
    "bitwise_not", "bitwise_or", "bitwise_right_shift", "bitwise_xor", "ceil", "conj", "cos", "cosh", "erf", "erfc",
    "erfinv", "exp", "exp2", "expm1", "floor", "fmax", "fmin", "frac", "hardsigmoid", "hardswish", "hypot", "imag",
    "isfinite", "isin", "isinf", "isnan", "log", "log10", "log1p", "log2", "logaddexp", "logical_and", "logical_not",
    "logical_or", "logical_xor", "matmul", "maximum", "minimum", "mish", "neg", "nonzero", "pow", "real", "reciprocal",
    "relu", "remainder", "rsqrt", "sigmoid", "sign", "silu", "sin", "sinh", "sqrt", "square", "tan", "tanh", "trunc",
    "where", "xlogy", "floor_divide", "fmod",
)  # fmt: skip
_BOTH_TENSORS = frozenset({
    "atan2", "bitwise_and", "bitwise_left_shift", "bitwise_or", "bitwise_right_shift", "bitwise_xor", "fmax", "fmin",
    "hypot", "logaddexp", "logical_and", "logical_or", "logical_xor", "maximum", "minimum", "where", "xlogy",
    "floor_divide", "fmod", "remainder", "matmul",
})  # fmt: skip


@rule(*SAME)
def _(e: Emitter, node: Node) -> str:
    if node.op in _BOTH_TENSORS:
        return call(node.op, *[e.tensor(i, like(node)) for i in node.inputs])
    return call(node.op, *e.operands(node.inputs))


@rule("logsigmoid")
def _(e: Emitter, node: Node) -> str:
    return call("log_sigmoid", *e.operands(node.inputs))


@rule("add", "mul")
def _(e: Emitter, node: Node) -> str:
    first, second = node.inputs if isinstance(node.inputs[0], Value) else reversed(node.inputs)
    return call(node.op, e.operand(first), e.operand(second))


@rule("sub")
def _(e: Emitter, node: Node) -> str:
    first, second = node.inputs
    if isinstance(first, Value):
        return call("sub", e.operand(first), e.operand(second))
    return call("rsub", e.operand(second), e.operand(first))


@rule("div", "trunc_divide")
def _(e: Emitter, node: Node) -> str:
    first, second = node.inputs
    dividend = e.operand(first) if isinstance(first, Value) else e.tensor(first, like(node))
    mode = {"rounding_mode": '"trunc"'} if node.op == "trunc_divide" else {}
    return call("div", dividend, e.operand(second), **mode)


_TURNED = {"eq": "eq", "ne": "ne", "lt": "gt", "le": "ge", "gt": "lt", "ge": "le"}


@rule(*_TURNED)
def _(e: Emitter, node: Node) -> str:
    first, second = node.inputs
    if isinstance(first, Value):
        return call(node.op, e.operand(first), e.operand(second))
    return call(_TURNED[node.op], e.operand(second), e.operand(first))


def _with(name: str, *attributes: str, **named: str) -> Rule:
    """The operands, then attributes in this order, then others by (their name: ours)."""

    def write(e: Emitter, node: Node) -> str:
        values = [e.text(node.attributes.get(a, _DEFAULTS.get(a))) for a in attributes]
        options = {theirs: e.text(node.attributes.get(ours)) for theirs, ours in named.items()}
        return call(name, *e.operands(node.inputs), *values, **options)

    return write


_DEFAULTS: dict[str, Any] = {
    "alpha": 1.0, "scale": 1.0, "input_scale": 1.0, "negative_slope": 0.01, "beta": 1.0, "threshold": 20.0,
    "offset": 0, "dim1": 0, "dim2": 1, "diagonal": 0, "keepdim": False, "dim": -1, "descending": False, "largest": True,
    "sorted": True, "num_classes": -1, "nan": 0.0, "minlength": 0, "bins": 100, "min": 0, "max": 0,
}  # fmt: skip
RULES |= {
    "bincount": lambda e, n: call(
        "bincount", *e.operands((*n.inputs, None)[:2]), e.text(n.attributes.get("minlength", 0))
    ),
    "cummax": _with("cummax", "dim"),
    "cummin": _with("cummin", "dim"),
    "cumprod": _with("cumprod", "dim", dtype="dtype"),
    "cumsum": _with("cumsum", "dim", dtype="dtype"),
    "diagonal": _with("diagonal", "offset", "dim1", "dim2"),
    "elu": _with("elu", "alpha", "scale", "input_scale"),
    "expand": _with("expand", "shape"),
    "flip": _with("flip", "dims"),
    "histc": _with("histc", "bins", "min", "max"),
    "kthvalue": _with("kthvalue", "k", "dim", "keepdim"),
    "leaky_relu": _with("leaky_relu", "negative_slope"),
    "median": _with("median", "dim", "keepdim"),
    "max_dim": _with("max", "dim", "keepdim"),
    "min_dim": _with("min", "dim", "keepdim"),
    "nan_to_num": _with("nan_to_num", "nan", "posinf", "neginf"),
    "one_hot": _with("one_hot", "num_classes"),
    "permute": _with("permute", "dims"),
    "pixel_shuffle": _with("pixel_shuffle", "factor"),
    "pixel_unshuffle": _with("pixel_unshuffle", "factor"),
    "repeat": _with("repeat", "repeats"),
    "reshape": _with("reshape", "shape"),
    "softplus": _with("softplus", "beta", "threshold"),
    "sort": _with("sort", "dim", "descending"),
    "topk": _with("topk", "k", "dim", "largest", "sorted"),
    "tril": _with("tril", "diagonal"),
    "triu": _with("triu", "diagonal"),
    "window": _with("unfold", "dim", "size", "step"),
}


@rule("cast")
def _(e: Emitter, node: Node) -> str:
    return call("to", e.operand(node.inputs[0]), e.text(node.attributes["dtype"]))


@rule("round")
def _(e: Emitter, node: Node) -> str:
    decimals = node.attributes.get("decimals", 0)
    return call("round", e.operand(node.inputs[0]), **({"decimals": e.text(decimals)} if decimals else {}))


@rule("gelu")
def _(e: Emitter, node: Node) -> str:
    return call("gelu", e.operand(node.inputs[0]), approximate=e.text(node.attributes.get("approximate", "none")))


@rule("clamp")
def _(e: Emitter, node: Node) -> str:
    return call("clamp", e.operand(node.inputs[0]), *(e.text(node.attributes.get(k)) for k in ("min", "max")))


@rule("softmax", "log_softmax")
def _(e: Emitter, node: Node) -> str:
    return call(node.op, e.operand(node.inputs[0]), e.text(node.attributes["dim"]), "None")


@rule("masked_fill")
def _(e: Emitter, node: Node) -> str:
    return call("masked_fill", *e.operands(node.inputs))


@rule("cat", "stack")
def _(e: Emitter, node: Node) -> str:
    return call(node.op, f"[{', '.join(e.operands(node.inputs))}]", e.text(node.attributes.get("dim", 0)))


@rule("einsum")
def _(e: Emitter, node: Node) -> str:
    return call("einsum", e.text(node.attributes["equation"]), f"[{', '.join(e.operands(node.inputs))}]")


@rule("linear")
def _(e: Emitter, node: Node) -> str:
    return call("linear", *e.operands((*node.inputs, None)[:3]))


@rule("roll")
def _(e: Emitter, node: Node) -> str:
    dims = node.attributes.get("dims")
    return call("roll", e.operand(node.inputs[0]), e.text(node.attributes["shifts"]), e.text(dims or ()))


@rule("pad")
def _(e: Emitter, node: Node) -> str:
    return padded(e, e.operand(node.inputs[0]), node.attributes["widths"], **{
        k: node.attributes[k] for k in ("mode", "value") if k in node.attributes
    })  # fmt: skip
