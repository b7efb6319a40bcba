"""Primitives that are functions of single elements."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..dtype import Array, DType
from ..dtype import cast as cast_array
from . import special
from .primitive import Primitive, Promotion, Rule, enter, primitive


def _row(
    name: str, kernel: Callable[..., Any], doc: str, rule: Rule | None, promotion: Promotion | None = "float"
) -> Primitive:
    row = enter(Primitive(name, kernel, promotion, doc))
    if rule is not None:
        row.gradient(rule)
    return row


def _nothing(g: Array, _out: None, _x: None) -> tuple[Array]:
    return (np.zeros_like(g),)


def _whole(ufunc: np.ufunc) -> Callable[[Array], Array]:
    """The ufunc, with integers left as they are."""
    return lambda x: x.copy() if x.dtype.kind in "biu" else ufunc(x)


def _sign(x: Array) -> Array:
    if x.dtype.kind in "bc":
        return x.copy() if x.dtype.kind == "b" else np.asarray(np.sign(x))
    return np.asarray((x > 0).astype(x.dtype) - (x < 0).astype(x.dtype))


neg = _row("neg", np.negative, "-x.", lambda g, _out, _x: (-g,), None)
abs = _row("abs", np.abs, "The distance from 0.", lambda g, _out, x: (g * np.sign(x),), None)
sign = _row("sign", _sign, "-1, 0 or 1.", _nothing, None)
square = _row(
    "square",
    lambda x: np.square(x.astype(np.int64) if x.dtype == np.bool_ else x),
    "x * x.",
    lambda g, _out, x: (g * 2 * x,),
    None,
)
reciprocal = _row("reciprocal", lambda x: 1 / x, "1 / x.", lambda g, out, _x: (-g * out * out,))

conj = _row("conj", np.conj, "The complex conjugate.", lambda g, _out, _x: (np.conj(g),), None)
real = _row("real", lambda x: np.real(x), "The real part, a view.", lambda g, _out, _x: (g,), None)
imag = _row("imag", lambda x: np.imag(x), "The imaginary part, a view.", lambda g, _out, _x: (g * 1j,), None)

exp = _row("exp", np.exp, "e to the power of x.", lambda g, out, _x: (g * out,))
exp2 = _row("exp2", np.exp2, "2 to the power of x.", lambda g, out, _x: (g * out * math.log(2),))
expm1 = _row("expm1", np.expm1, "exp(x) - 1, exact near 0.", lambda g, out, _x: (g * (out + 1),))
log = _row("log", np.log, "The natural logarithm.", lambda g, _out, x: (g / x,))
log2 = _row("log2", np.log2, "The logarithm to base 2.", lambda g, _out, x: (g / (x * math.log(2)),))
log10 = _row("log10", np.log10, "The logarithm to base 10.", lambda g, _out, x: (g / (x * math.log(10)),))
log1p = _row("log1p", np.log1p, "log(1 + x), exact near 0.", lambda g, _out, x: (g / (x + 1),))
sqrt = _row("sqrt", np.sqrt, "The square root.", lambda g, out, _x: (g / (2 * out),))
rsqrt = _row("rsqrt", lambda x: 1 / np.sqrt(x), "1 / sqrt(x).", lambda g, out, _x: (-0.5 * g * out**3,))

sin = _row("sin", np.sin, "The sine.", lambda g, _out, x: (g * np.cos(x),))
cos = _row("cos", np.cos, "The cosine.", lambda g, _out, x: (-g * np.sin(x),))
tan = _row("tan", np.tan, "The tangent.", lambda g, out, _x: (g * (1 + out * out),))
asin = _row("asin", np.arcsin, "The inverse of sin.", lambda g, _out, x: (g / np.sqrt(1 - x * x),))
acos = _row("acos", np.arccos, "The inverse of cos.", lambda g, _out, x: (-g / np.sqrt(1 - x * x),))
atan = _row("atan", np.arctan, "The inverse of tan.", lambda g, _out, x: (g / (1 + x * x),))
sinh = _row("sinh", np.sinh, "The hyperbolic sine.", lambda g, _out, x: (g * np.cosh(x),))
cosh = _row("cosh", np.cosh, "The hyperbolic cosine.", lambda g, _out, x: (g * np.sinh(x),))
tanh = _row("tanh", np.tanh, "The hyperbolic tangent.", lambda g, out, _x: (g * (1 - out * out),))
asinh = _row("asinh", np.arcsinh, "The inverse of sinh.", lambda g, _out, x: (g / np.sqrt(x * x + 1),))
acosh = _row("acosh", np.arccosh, "The inverse of cosh.", lambda g, _out, x: (g / np.sqrt(x * x - 1),))
atanh = _row("atanh", np.arctanh, "The inverse of tanh.", lambda g, _out, x: (g / (1 - x * x),))

_TWO_BY_ROOT_PI = 2 / math.sqrt(math.pi)
erf = _row("erf", special.erf, "The error function.", lambda g, _out, x: (g * _TWO_BY_ROOT_PI * np.exp(-x * x),))
erfc = _row("erfc", special.erfc, "1 - erf(x).", lambda g, _out, x: (-g * _TWO_BY_ROOT_PI * np.exp(-x * x),))
erfinv = _row(
    "erfinv", special.erfinv, "The inverse of erf.", lambda g, out, _x: (g / _TWO_BY_ROOT_PI * np.exp(out * out),)
)

floor = _row("floor", _whole(np.floor), "The next integer below.", _nothing, None)
ceil = _row("ceil", _whole(np.ceil), "The next integer above.", _nothing, None)
trunc = _row("trunc", _whole(np.trunc), "The integer part.", _nothing, None)
frac = _row("frac", lambda x: x - np.trunc(x), "The part behind the point.", lambda g, _out, _x: (g,), None)

isnan = _row("isnan", np.isnan, "Whether an element is not a number.", None, None)
isinf = _row("isinf", np.isinf, "Whether an element is infinite.", None, None)
isfinite = _row("isfinite", np.isfinite, "Whether an element is a finite number.", None, None)


@primitive(promotion="float")
def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x))."""
    return np.asarray(np.reciprocal(np.exp(-x) + 1))


@sigmoid.gradient
def _(g: Array, out: Array, _x: None) -> tuple[Array]:
    return (g * out * (1 - out),)


@primitive
def round(x: Array, *, decimals: int = 0) -> Array:
    """The nearest number with so many decimals; halves go to the even one."""
    return np.round(x, decimals) if x.dtype != np.bool_ else x.copy()


@round.gradient
def _(g: Array, _out: None, _x: None, *, decimals: int = 0) -> tuple[Array]:
    return (np.zeros_like(g),)


@primitive
def cast(x: Array, *, dtype: DType) -> Array:
    """x as another dtype; the same memory where it is that already."""
    return cast_array(x, dtype)


@cast.gradient
def _(g: Array, _out: None, _x: None, *, dtype: DType) -> tuple[Array]:
    return (g,)


@primitive
def nan_to_num(x: Array, *, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None) -> Array:
    """Other numbers in place of nan, inf and -inf; by default 0, the greatest and the least of the dtype."""
    return np.nan_to_num(x, nan=nan, posinf=posinf, neginf=neginf)


@nan_to_num.gradient
def _(g: Array, _out: None, x: Array, **_limits: Any) -> tuple[Array]:
    return (np.where(np.isfinite(x), g, 0),)


@primitive
def clone(x: Array) -> Array:
    """A copy."""
    return np.array(x)


@primitive
def contiguous(x: Array) -> Array:
    """A copy whose elements lie in memory in the order of the dims."""
    return np.array(x, order="C")


@clone.gradient
@contiguous.gradient
def _(g: Array, _out: None, _x: None) -> tuple[Array]:
    return (g,)
