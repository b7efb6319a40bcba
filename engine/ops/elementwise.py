"""Primitives that work element by element."""

from __future__ import annotations

import numpy as np

from ..dtype import Array, DType
from ..dtype import cast as cast_array
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


@mul.gradient
def _(g: Array, _out: None, a: Array, b: Array) -> Pair:
    return g * np.conj(b), g * np.conj(a)


@primitive(promotion="float")
def div(a: Array, b: Array) -> Array:
    """a / b, as a float; division by zero gives inf or nan."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.divide(a, b)


@div.gradient
def _(g: Array, out: Array, _a: None, b: Array) -> Pair:
    return g / b, -g * out / b


@primitive
def relu(x: Array) -> Array:
    """max(x, 0); NaN stays."""
    return np.asarray(np.maximum(x, x.dtype.type(0)))


@relu.gradient
def _(g: Array, out: Array, _x: None) -> tuple[Array]:
    return (np.where(out > 0, g, 0),)


@primitive
def cast(x: Array, *, dtype: DType) -> Array:
    """x as another dtype; the same memory where it is that already."""
    return cast_array(x, dtype)


@cast.gradient
def _(g: Array, _out: None, _x: None, *, dtype: DType) -> tuple[Array]:
    return (g,)
