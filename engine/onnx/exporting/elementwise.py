"""Writing operations on single elements."""

from __future__ import annotations

import math

from ...dtype import bool_, float32
from ...graph.ir import Node
from .writer import Writer, rule, unsupported

UNARY = {
    "abs": "Abs", "acos": "Acos", "acosh": "Acosh", "asin": "Asin", "asinh": "Asinh", "atan": "Atan", "atanh": "Atanh",
    "bitwise_not": "BitwiseNot", "ceil": "Ceil", "clone": "Identity", "contiguous": "Identity", "cos": "Cos",
    "cosh": "Cosh", "erf": "Erf", "exp": "Exp", "floor": "Floor", "isnan": "IsNaN", "log": "Log", "mish": "Mish",
    "neg": "Neg", "reciprocal": "Reciprocal", "relu": "Relu", "sigmoid": "Sigmoid", "sign": "Sign", "sin": "Sin",
    "sinh": "Sinh", "sqrt": "Sqrt", "tan": "Tan", "tanh": "Tanh", "hardswish": "HardSwish", "isinf": "IsInf",
}  # fmt: skip
BINARY = {
    "add": "Add", "sub": "Sub", "mul": "Mul", "pow": "Pow", "maximum": "Max", "minimum": "Min", "eq": "Equal",
    "lt": "Less", "le": "LessOrEqual", "gt": "Greater", "ge": "GreaterOrEqual", "bitwise_and": "BitwiseAnd",
    "bitwise_or": "BitwiseOr", "bitwise_xor": "BitwiseXor",
}  # fmt: skip
LOGICAL = {"logical_and": "And", "logical_or": "Or", "logical_xor": "Xor"}
_FLOAT_ONLY = {
    "acos",
    "asin",
    "atan",
    "cos",
    "erf",
    "exp",
    "log",
    "reciprocal",
    "sigmoid",
    "sin",
    "sqrt",
    "tan",
    "tanh",
}


@rule(*UNARY)
def unary(w: Writer, node: Node) -> None:
    """One operand."""
    if node.op == "bitwise_not" and node.output.dtype is bool_:
        w.node("Not", [w.read(node.inputs[0])], node.output.name)
        return
    needed = node.output.dtype if node.op in _FLOAT_ONLY else None
    w.node(UNARY[node.op], [w.read(node.inputs[0], needed)], node.output.name)


@rule(*BINARY)
def binary(w: Writer, node: Node) -> None:
    """Two operands in one dtype."""
    names, dtype = w.together(node)
    if dtype is bool_ and node.op in ("eq", "bitwise_and", "bitwise_or", "bitwise_xor"):
        logical = {"bitwise_and": "And", "bitwise_or": "Or", "bitwise_xor": "Xor", "eq": "Equal"}
        w.node(logical[node.op], names, node.output.name)
        return
    w.node(BINARY[node.op], names, node.output.name)


@rule(*LOGICAL)
def logical(w: Writer, node: Node) -> None:
    """Two truths."""
    w.node(LOGICAL[node.op], [w.read(o, bool_) for o in node.inputs], node.output.name)


@rule("logical_not")
def logical_not(w: Writer, node: Node) -> None:
    """A truth turned round."""
    w.node("Not", [w.read(node.inputs[0], bool_)], node.output.name)


@rule("ne")
def ne(w: Writer, node: Node) -> None:
    """Not equal."""
    w.node("Not", [w.node("Equal", w.together(node)[0])], node.output.name)


@rule("div")
def div(w: Writer, node: Node) -> None:
    """A quotient of floats."""
    w.node("Div", [w.read(o, node.output.dtype) for o in node.inputs], node.output.name)


@rule("floor_divide")
def floor_divide(w: Writer, node: Node) -> None:
    """A quotient rounded down."""
    (a, b), dtype = w.together(node)
    if dtype.is_floating_point:
        w.node("Floor", [w.node("Div", [a, b])], node.output.name)
    else:
        w.node("Div", [w.node("Sub", [a, w.node("Mod", [a, b])]), b], node.output.name)


@rule("trunc_divide")
def trunc_divide(w: Writer, node: Node) -> None:
    """A quotient rounded towards 0."""
    names, dtype = w.together(node)
    if dtype.is_floating_point:
        _truncated(w, w.node("Div", names), node.output.name)
    else:
        w.node("Div", names, node.output.name)


def _truncated(w: Writer, name: str, output: str) -> None:
    w.node("Mul", [w.node("Sign", [name]), w.node("Floor", [w.node("Abs", [name])])], output)


@rule("remainder")
def remainder(w: Writer, node: Node) -> None:
    """What floor division leaves."""
    (a, b), dtype = w.together(node)
    if dtype.is_floating_point:
        whole = w.node("Floor", [w.node("Div", [a, b])])
        w.node("Sub", [a, w.node("Mul", [whole, b])], node.output.name)
    else:
        w.node("Mod", [a, b], node.output.name)


@rule("fmod")
def fmod(w: Writer, node: Node) -> None:
    """What division towards 0 leaves."""
    w.node("Mod", w.together(node)[0], node.output.name, fmod=1)


@rule("square")
def square(w: Writer, node: Node) -> None:
    """x · x."""
    x = w.read(node.inputs[0], node.output.dtype)
    w.node("Mul", [x, x], node.output.name)


@rule("rsqrt")
def rsqrt(w: Writer, node: Node) -> None:
    """1 / √x."""
    w.node("Reciprocal", [w.node("Sqrt", [w.read(node.inputs[0], node.output.dtype)])], node.output.name)


@rule("trunc")
def trunc(w: Writer, node: Node) -> None:
    """The integer part."""
    _truncated(w, w.read(node.inputs[0]), node.output.name)


@rule("frac")
def frac(w: Writer, node: Node) -> None:
    """The part behind the point."""
    x, whole = w.read(node.inputs[0]), w.node_name()
    _truncated(w, x, whole)
    w.node("Sub", [x, whole], node.output.name)


@rule("expm1", "log1p", "exp2", "log2", "log10")
def powers(w: Writer, node: Node) -> None:
    """Relatives of exp and log."""
    dtype = node.output.dtype
    x = w.read(node.inputs[0], dtype)

    def number(value: float) -> str:
        return w.constant(value, dtype.numpy)

    if node.op == "expm1":
        w.node("Sub", [w.node("Exp", [x]), number(1)], node.output.name)
    elif node.op == "log1p":
        w.node("Log", [w.node("Add", [x, number(1)])], node.output.name)
    elif node.op == "exp2":
        w.node("Pow", [number(2), x], node.output.name)
    else:
        base = math.log(2 if node.op == "log2" else 10)
        w.node("Div", [w.node("Log", [x]), number(base)], node.output.name)


@rule("isfinite")
def isfinite(w: Writer, node: Node) -> None:
    """Neither infinite nor NaN."""
    x = w.read(node.inputs[0])
    w.node("Not", [w.node("Or", [w.node("IsInf", [x]), w.node("IsNaN", [x])])], node.output.name)


@rule("round")
def round_(w: Writer, node: Node) -> None:
    """The nearest whole number."""
    if node.attributes.get("decimals", 0):
        raise unsupported("round to decimals")
    w.node("Round", [w.read(node.inputs[0])], node.output.name)


@rule("cast")
def cast(w: Writer, node: Node) -> None:
    """Another dtype; bfloat16 is rounded to and kept as float32."""
    dtype = node.attributes["dtype"]
    if dtype.name == "bfloat16":
        coarse = w.node("Cast", [w.read(node.inputs[0], float32)], to=16)
        w.cast(coarse, float32, node.output.name)
        return
    w.cast(w.read(node.inputs[0]), dtype, node.output.name)


@rule("where")
def where(w: Writer, node: Node) -> None:
    """One or the other."""
    condition, a, b = node.inputs
    names = [w.read(o, node.output.dtype) for o in (a, b)]
    w.node("Where", [w.read(condition, bool_), *names], node.output.name)


@rule("masked_fill")
def masked_fill(w: Writer, node: Node) -> None:
    """A value where a mask holds."""
    x, mask, value = node.inputs
    w.node("Where", [w.read(mask), w.read(value, node.output.dtype), w.read(x)], node.output.name)


@rule("clamp")
def clamp(w: Writer, node: Node) -> None:
    """Between bounds."""
    dtype = node.output.dtype
    bounds = [node.attributes.get(name) for name in ("min", "max")]
    names = ["" if b is None else w.constant(b, dtype.numpy) for b in bounds]
    w.node("Clip", [w.read(node.inputs[0], dtype), *names], node.output.name)


@rule("leaky_relu")
def leaky_relu(w: Writer, node: Node) -> None:
    """A slope below 0."""
    slope = float(node.attributes.get("negative_slope", 0.01))
    w.node("LeakyRelu", [w.read(node.inputs[0])], node.output.name, alpha=slope)


@rule("elu")
def elu(w: Writer, node: Node) -> None:
    """Elu, Selu or Celu by its settings."""
    alpha, scale, inner = (float(node.attributes.get(name, 1.0)) for name in ("alpha", "scale", "input_scale"))
    x = w.read(node.inputs[0])
    if scale == inner == 1:
        w.node("Elu", [x], node.output.name, alpha=alpha)
    elif inner == 1:
        w.node("Selu", [x], node.output.name, alpha=alpha, gamma=scale)
    elif scale == 1 and math.isclose(inner, 1 / alpha):
        w.node("Celu", [x], node.output.name, alpha=alpha)
    else:
        raise unsupported("elu with a scale of its input")


@rule("gelu")
def gelu(w: Writer, node: Node) -> None:
    """x times the normal distribution's function at x."""
    approximate = node.attributes.get("approximate", "none")
    w.node("Gelu", [w.read(node.inputs[0])], node.output.name, approximate=approximate)


@rule("silu")
def silu(w: Writer, node: Node) -> None:
    """x · sigmoid(x)."""
    x = w.read(node.inputs[0])
    w.node("Mul", [x, w.node("Sigmoid", [x])], node.output.name)


@rule("hardsigmoid")
def hardsigmoid(w: Writer, node: Node) -> None:
    """x / 6 + 1/2, kept between 0 and 1."""
    w.node("HardSigmoid", [w.read(node.inputs[0])], node.output.name, alpha=1 / 6, beta=0.5)


@rule("softplus")
def softplus(w: Writer, node: Node) -> None:
    """log(1 + exp(x)), and x itself above a threshold."""
    x, beta, dtype = w.read(node.inputs[0]), float(node.attributes.get("beta", 1.0)), node.output.dtype.numpy
    threshold = float(node.attributes.get("threshold", 20.0))
    if beta == 1 and threshold >= 20:
        w.node("Softplus", [x], node.output.name)
        return
    factor = w.constant(beta, dtype)
    scaled = w.node("Mul", [x, factor])
    smooth = w.node("Div", [w.node("Softplus", [scaled]), factor])
    w.node("Where", [w.node("Greater", [scaled, w.constant(threshold, dtype)]), x, smooth], node.output.name)


@rule("logsigmoid")
def logsigmoid(w: Writer, node: Node) -> None:
    """-softplus(-x)."""
    w.node("Neg", [w.node("Softplus", [w.node("Neg", [w.read(node.inputs[0])])])], node.output.name)
