"""Operators on single elements: arithmetic, comparison, bits, casts."""

from __future__ import annotations

import functools

import numpy as np

from ...errors import FormatError
from ..calls import Call
from ..elements import ELEMENTS, STRING, Element
from ..items import Item, known
from .table import operator, same

same(
    {
        "Abs": "abs", "Acos": "acos", "Acosh": "acosh", "And": "logical_and", "Asin": "asin", "Asinh": "asinh",
        "Atan": "atan", "Atanh": "atanh", "BitwiseAnd": "bitwise_and", "BitwiseNot": "bitwise_not",
        "BitwiseOr": "bitwise_or", "BitwiseXor": "bitwise_xor", "Ceil": "ceil", "Cos": "cos", "Cosh": "cosh",
        "Erf": "erf", "Exp": "exp", "Floor": "floor", "Greater": "gt", "GreaterOrEqual": "ge", "IsNaN": "isnan",
        "Less": "lt", "LessOrEqual": "le", "Log": "log", "Neg": "neg", "Not": "logical_not", "Or": "logical_or",
        "Reciprocal": "reciprocal", "Round": "round", "Sign": "sign", "Sin": "sin", "Sinh": "sinh", "Sqrt": "sqrt",
        "Tan": "tan", "Where": "where", "Xor": "logical_xor",
    }
)  # fmt: skip


def placed(at: Call, a: Item, b: Item) -> Item:
    """b with dims behind its last so that it broadcasts against a, as files before opset 7 say by attributes."""
    if at.version >= 7 or not at.flag("broadcast") or not b.ndim:
        return b
    first = at.axis(at.integer("axis", a.ndim - b.ndim), a.ndim)
    behind = a.ndim - first - b.ndim
    if behind <= 0:
        return b
    reshaped: Item = at("reshape", b, shape=(*b.shape, *(1,) * behind))
    return reshaped


@operator("Add")
def add(at: Call, a: Item, b: Item) -> Item:
    """a + b."""
    return at("add", a, placed(at, a, b))


@operator("Sub")
def sub(at: Call, a: Item, b: Item) -> Item:
    """a - b."""
    return at("sub", a, placed(at, a, b))


@operator("Mul")
def mul(at: Call, a: Item, b: Item) -> Item:
    """a * b."""
    return at("mul", a, placed(at, a, b))


@operator("Div")
def div(at: Call, a: Item, b: Item) -> Item:
    """a / b; whole numbers are rounded towards 0."""
    whole = a.array.dtype.kind in "iu"
    return at("trunc_divide" if whole else "div", a, placed(at, a, b))


@operator("Pow")
def pow_(at: Call, a: Item, b: Item) -> Item:
    """a to the power of b, in the type of a."""
    b = placed(at, a, b)
    if a.element is b.element and a.floating:
        return at("pow", a, b)
    if b.known and not b.ndim and a.floating:
        return at("pow", a, float(b.array))
    if not a.floating and not b.floating and not (b.known and b.array.min(initial=0) >= 0):
        wide = ELEMENTS[11]
    else:
        wide = a.element if a.floating else ELEMENTS[11] if b.floating else ELEMENTS[7]
    return at.cast(at("pow", at.cast(a, wide), at.cast(b, wide)), a.element)


@operator("Mod")
def mod(at: Call, a: Item, b: Item) -> Item:
    """What division leaves: with the sign of b, or of a where fmod is asked for."""
    return at("fmod" if at.flag("fmod") else "remainder", a, b)


@operator("BitShift")
def bit_shift(at: Call, a: Item, b: Item) -> Item:
    """The bits moved to the left or right."""
    way = at.text("direction")
    if way not in ("LEFT", "RIGHT"):
        raise FormatError(f"direction {way!r}; expected LEFT or RIGHT")
    return at(f"bitwise_{way.lower()}_shift", a, b)


def _folding(at: Call, name: str, items: tuple[Item, ...]) -> Item:
    if not items:
        raise FormatError("expected at least one input")
    return functools.reduce(lambda a, b: at(name, a, b), items)


@operator("Max")
def maximum(at: Call, *items: Item) -> Item:
    """The greatest of all."""
    return _folding(at, "maximum", items)


@operator("Min")
def minimum(at: Call, *items: Item) -> Item:
    """The least of all."""
    return _folding(at, "minimum", items)


@operator("Sum")
def total(at: Call, *items: Item) -> Item:
    """The sum of all."""
    return _folding(at, "add", items)


@operator("Mean")
def mean(at: Call, *items: Item) -> Item:
    """The mean of all."""
    return at("div", _folding(at, "add", items), float(len(items)))


@operator("Equal")
def equal(at: Call, a: Item, b: Item) -> Item:
    """Whether elements are equal."""
    if a.element is STRING:
        return known(at.hosted(np.equal, a, b).astype(bool))
    return at("eq", a, placed(at, a, b))


@operator("IsInf")
def is_inf(at: Call, x: Item) -> Item:
    """Whether elements are infinite, of the signs that are asked for."""
    plus, minus = at.flag("detect_positive", True), at.flag("detect_negative", True)
    found = at("isinf", x)
    if plus and minus:
        return found
    if not plus and not minus:
        return at("logical_and", found, at.constant(np.zeros((), bool)))
    return at("logical_and", found, at("gt" if plus else "lt", x, 0.0))


@operator("Clip")
def clip(at: Call, x: Item, low: Item | None = None, high: Item | None = None) -> Item:
    """Values kept between bounds: attributes before opset 11, then inputs."""
    if at.version < 11:
        bounds = {"min": at.number("min", None), "max": at.number("max", None)}
    elif all(b is None or b.known for b in (low, high)):
        bounds = {"min": _number(at, low), "max": _number(at, high)}
    else:
        for name, bound in (("maximum", low), ("minimum", high)):
            x = x if bound is None else at(name, x, bound)
        return x
    given = {name: bound for name, bound in bounds.items() if bound is not None}
    return at("clamp", x, **given) if given else x


def _number(at: Call, bound: Item | None) -> float | None:
    return None if bound is None else at.one(bound, "a bound")


@operator("Cast")
def cast(at: Call, x: Item) -> Item:
    """Another element type."""
    if at.version < 6:
        return converted(at, x, next(e for e in ELEMENTS.values() if e.name == at.text("to").lower()))
    return converted(at, x, at.element("to"))


@operator("CastLike")
def cast_like(at: Call, x: Item, like: Item) -> Item:
    """The element type of another tensor."""
    return converted(at, x, like.element)


def converted(at: Call, x: Item, kind: Element) -> Item:
    """x as an element type; texts are read and written as numbers."""
    if x.element is kind:
        return x
    if kind is STRING:
        return known(at.hosted(lambda values: _spelled(values, x.element), x))
    if x.element is STRING:
        return Item(kind.hold(at.hosted(lambda values: _parsed(values, kind), x)), kind)
    if kind.name == "float8e8m0" and x.floating:
        x = Item(at.hosted(lambda values: _power_of_two(values, at.text("round_mode", "up")), x), ELEMENTS[1])
    return at.cast(x, kind, at.flag("saturate", True))


def _power_of_two(values: np.ndarray, way: str) -> np.ndarray:
    """The power of two above or below each positive number; any other way leaves them to be rounded."""
    part, power = np.frexp(values.astype(np.float64))
    if way not in ("up", "down"):
        return values
    power = power - 1 + ((part > 0.5) if way == "up" else 0)
    return np.where((values > 0) & np.isfinite(values), np.ldexp(1.0, power), values)


def _spelled(values: np.ndarray, element: Element) -> np.ndarray:
    """Numbers as texts: floats in their shortest form."""
    kind = np.float32 if element.mini is not None or element.name == "bfloat16" else values.dtype
    result = np.empty(values.shape, object)
    result.reshape(-1)[:] = [str(v) for v in values.astype(kind).reshape(-1)]
    return result


def _parsed(values: np.ndarray, kind: Element) -> np.ndarray:
    if kind.carrier.kind in "iu":
        return np.array([int(v) for v in values.reshape(-1)]).reshape(values.shape)
    return np.array([float(v) for v in values.reshape(-1)]).reshape(values.shape)


@operator("BitCast")
def bit_cast(at: Call, x: Item) -> Item:
    """The same bits as another type of the same size."""
    to = at.element("to")
    if to.bits != x.element.bits:
        raise FormatError(f"{x.element.name} and {to.name} are of different sizes")

    def again(values: np.ndarray) -> np.ndarray:
        return to.decode(x.element.encode(values), values.size).reshape(values.shape)

    return Item(at.hosted(again, x), to)
