"""Primitives of arithmetic: two operands, element by element."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..dtype import Array, Number, result_dtype
from ..errors import DtypeError, EngineError
from .primitive import primitive

Pair = tuple[Array | None, Array | None]


@primitive(promotion="common")
def add(a: Array, b: Array) -> Array:
    """a + b."""
    return np.add(a, b)


@add.gradient
def _(g: Array, _out: None, _a: None, _b: None) -> Pair:
    return g, g


@primitive(promotion="common")
def sub(a: Array, b: Array) -> Array:
    """a - b."""
    return np.subtract(a, b)


@sub.gradient
def _(g: Array, _out: None, _a: None, _b: None) -> Pair:
    return g, -g


@primitive(promotion="common")
def mul(a: Array, b: Array) -> Array:
    """a * b."""
    return np.multiply(a, b)


@mul.cross_gradient
def _(g: Array, _out: None, a: Array, b: Array, *, needs: tuple[bool, bool]) -> Pair:
    return (g * np.conj(b) if needs[0] else None), (g * np.conj(a) if needs[1] else None)


@primitive(promotion="float")
def div(a: Array, b: Array) -> Array:
    """a / b, as a float; division by zero gives inf or nan."""
    return np.divide(a, b)


@div.gradient
def _(g: Array, out: Array, _a: None, b: Array, *, needs: tuple[bool, bool]) -> Pair:
    share = g / np.conj(b)
    return share, (-share * np.conj(out) if needs[1] else None)


def _whole_divisor(name: str, b: Array) -> None:
    if b.dtype.kind in "biu" and not np.all(b):
        raise EngineError(f"{name}: division of integers by zero")


@primitive(promotion="common")
def floor_divide(a: Array, b: Array) -> Array:
    """a / b rounded down, in the dtype of the operands."""
    _whole_divisor("floor_divide", np.asarray(b))
    return np.floor_divide(a, b)


@primitive(promotion="common")
def trunc_divide(a: Array, b: Array) -> Array:
    """a / b rounded towards zero, in the dtype of the operands."""
    _whole_divisor("trunc_divide", np.asarray(b))
    if np.asarray(a).dtype.kind in "biu":
        return np.asarray((a - np.fmod(a, b)) // b)
    return np.trunc(np.divide(a, b))


@primitive(promotion="common")
def remainder(a: Array, b: Array) -> Array:
    """What floor division leaves; it has the sign of b."""
    _whole_divisor("remainder", np.asarray(b))
    return np.remainder(a, b)


@remainder.gradient
def _(g: Array, _out: None, a: Array, b: Array, *, needs: tuple[bool, bool]) -> Pair:
    return g, (-g * np.floor_divide(a, b) if needs[1] else None)


@primitive(promotion="common")
def fmod(a: Array, b: Array) -> Array:
    """What division towards zero leaves; it has the sign of a."""
    _whole_divisor("fmod", np.asarray(b))
    return np.fmod(a, b)


@fmod.gradient
def _(g: Array, _out: None, a: Array, b: Array, *, needs: tuple[bool, bool]) -> Pair:
    return g, (-g * np.trunc(np.divide(a, b)) if needs[1] else None)


@primitive(promotion="common")
def pow(a: Array, b: Array) -> Array:
    """a to the power of b."""
    if np.asarray(b).dtype.kind == "i" and np.any(np.less(b, 0)):
        raise DtypeError("pow: integers have no negative powers; use a floating base")
    if np.ndim(b) == 0 and b == 2:
        return np.square(a)
    return np.power(a, b)


@pow.gradient
def _(g: Array, out: Array, a: Array, b: Array, *, needs: tuple[bool, bool]) -> Pair:
    to_base = np.where(np.equal(b, 0), 0, g * b * np.power(a, b - 1)) if needs[0] else None
    if not needs[1]:
        return to_base, None
    still = np.logical_and(np.equal(a, 0), np.greater_equal(b, 0))
    return to_base, np.where(still, 0, g * out * np.log(a))


@primitive(promotion="common")
def maximum(a: Array, b: Array) -> Array:
    """The greater of a and b; nan where either is."""
    return np.maximum(a, b)


@maximum.gradient
def _(g: Array, _out: None, a: Array, b: Array) -> Pair:
    return _to_chosen(g, np.greater(a, b), np.equal(a, b))


@primitive(promotion="common")
def minimum(a: Array, b: Array) -> Array:
    """The lesser of a and b; nan where either is."""
    return np.minimum(a, b)


@minimum.gradient
def _(g: Array, _out: None, a: Array, b: Array) -> Pair:
    return _to_chosen(g, np.less(a, b), np.equal(a, b))


def _to_chosen(g: Array, first: Array, tie: Array) -> Pair:
    """The gradient goes to whichever was chosen; equals share it."""
    share = np.where(tie, g / 2, g)
    return np.where(first | tie, share, 0), np.where(first, 0, share)


@primitive(promotion="common")
def fmax(a: Array, b: Array) -> Array:
    """The greater of a and b, the other one where one is nan."""
    return np.fmax(a, b)


@fmax.gradient
def _(g: Array, _out: None, a: Array, b: Array) -> Pair:
    first = np.greater_equal(a, b) | np.isnan(b)
    return np.where(first, g, 0), np.where(first, 0, g)


@primitive(promotion="common")
def fmin(a: Array, b: Array) -> Array:
    """The lesser of a and b, the other one where one is nan."""
    return np.fmin(a, b)


@fmin.gradient
def _(g: Array, _out: None, a: Array, b: Array) -> Pair:
    first = np.less_equal(a, b) | np.isnan(b)
    return np.where(first, g, 0), np.where(first, 0, g)


@primitive(promotion="float")
def atan2(a: Array, b: Array) -> Array:
    """The angle of the point (b, a)."""
    return np.arctan2(a, b)


@atan2.gradient
def _(g: Array, _out: None, a: Array, b: Array) -> Pair:
    share = g / (np.square(a) + np.square(b))
    return share * b, -share * a


@primitive(promotion="float")
def hypot(a: Array, b: Array) -> Array:
    """The length of the vector (a, b)."""
    return np.hypot(a, b)


@hypot.gradient
def _(g: Array, out: Array, a: Array, b: Array) -> Pair:
    return g * a / out, g * b / out


@primitive(promotion="float")
def logaddexp(a: Array, b: Array) -> Array:
    """log(exp(a) + exp(b)), without overflow."""
    return np.logaddexp(a, b)


@logaddexp.gradient
def _(g: Array, out: Array, a: Array, b: Array) -> Pair:
    return g * np.exp(a - out), g * np.exp(b - out)


@primitive(promotion="float")
def xlogy(a: Array, b: Array) -> Array:
    """a * log(b), and 0 where a is 0, whatever b may be but nan."""
    return np.where(np.equal(a, 0) & ~np.isnan(b), np.zeros_like(a), a * np.log(b))


@xlogy.gradient
def _(g: Array, _out: None, a: Array, b: Array) -> Pair:
    return np.where(np.equal(a, 0) & np.less_equal(b, 0), 0, g * np.log(b)), g * a / b


@primitive
def clamp(x: Array, *, min: Number | None = None, max: Number | None = None) -> Array:
    """x with what is below `min` or above `max` brought there; NaN stays, and `max` wins where they cross."""
    bounds = [b for b in (min, max) if b is not None]
    if not bounds:
        raise DtypeError("clamp: neither min nor max is given")
    x = x.astype(result_dtype(x, *bounds), copy=False)
    low = x if min is None else np.maximum(x, x.dtype.type(min))
    return low if max is None else np.minimum(low, x.dtype.type(max))


@clamp.gradient
def _(g: Array, _out: None, x: Array, *, min: Any = None, max: Any = None) -> tuple[Array]:
    inside = np.ones(x.shape, bool) if min is None else x >= min
    return (np.where(inside if max is None else inside & (x <= max), g, g.dtype.type(0)),)
