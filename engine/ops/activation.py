"""Primitives of neural networks' activations."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from ..dtype import Array
from . import special
from .primitive import primitive

_ROOT_HALF = math.sqrt(0.5)
_ROOT_TWO_BY_PI = math.sqrt(2 / math.pi)
_CUBE = 0.044715
Approximate = Literal["none", "tanh"]


def _logistic(x: Array) -> Array:
    return np.asarray(np.reciprocal(np.exp(-x) + 1))


@primitive
def relu(x: Array) -> Array:
    """max(x, 0); NaN stays."""
    return np.asarray(np.maximum(x, x.dtype.type(0)))


@relu.gradient
def _(g: Array, out: Array, _x: None) -> tuple[Array]:
    return (np.where(out > 0, g, g.dtype.type(0)),)


@primitive
def leaky_relu(x: Array, *, negative_slope: float = 0.01) -> Array:
    """x where positive, else a slope times x."""
    return np.where(x > 0, x, x * x.dtype.type(negative_slope))


@leaky_relu.gradient
def _(g: Array, _out: None, x: Array, *, negative_slope: float = 0.01) -> tuple[Array]:
    return (np.where(x > 0, g, g * negative_slope),)


@primitive
def elu(x: Array, *, alpha: float = 1.0, scale: float = 1.0, input_scale: float = 1.0) -> Array:
    """scale * x where positive, else scale * alpha * (exp(input_scale * x) - 1)."""
    below = np.expm1(np.minimum(x, 0) * input_scale) * (alpha * scale)
    return np.where(x > 0, x * scale, below).astype(x.dtype, copy=False)


@elu.gradient
def _(
    g: Array, _out: None, x: Array, *, alpha: float = 1.0, scale: float = 1.0, input_scale: float = 1.0
) -> tuple[Array]:
    below = np.exp(np.minimum(x, 0) * input_scale) * (alpha * scale * input_scale)
    return (g * np.where(x > 0, scale, below),)


@primitive
def gelu(x: Array, *, approximate: Approximate = "none") -> Array:
    """x times the normal distribution's function at x; "tanh" approximates it."""
    return x * _normal(x, approximate)


def _normal(x: Array, approximate: Approximate) -> Array:
    half = x.dtype.type(0.5)
    if approximate == "tanh":
        return np.asarray(np.tanh(_ROOT_TWO_BY_PI * (x + _CUBE * x * x * x)) * half + half)
    return np.asarray(special.erf(x * x.dtype.type(_ROOT_HALF)) * half + half)


@gelu.gradient
def _(g: Array, _out: None, x: Array, *, approximate: Approximate = "none") -> tuple[Array]:
    share = _normal(x, approximate)
    if approximate == "tanh":
        slope = share * (1 - share) * (2 * _ROOT_TWO_BY_PI) * (1 + 3 * _CUBE * x * x)
    else:
        slope = np.exp(-x * x / 2) * (_ROOT_TWO_BY_PI / 2)
    return (g * (share + x * slope),)


@primitive
def silu(x: Array) -> Array:
    """x * sigmoid(x)."""
    return x * _logistic(x)


@silu.gradient
def _(g: Array, _out: None, x: Array) -> tuple[Array]:
    share = _logistic(x)
    return (g * share * (1 + x * (1 - share)),)


@primitive
def softplus(x: Array, *, beta: float = 1.0, threshold: float = 20.0) -> Array:
    """log(1 + exp(beta * x)) / beta, and x itself where beta * x is above the threshold."""
    scaled = x * x.dtype.type(beta)
    smooth = np.log1p(np.exp(np.minimum(scaled, x.dtype.type(threshold)))) / x.dtype.type(beta)
    return np.where(scaled > threshold, x, smooth)


@softplus.gradient
def _(g: Array, _out: None, x: Array, *, beta: float = 1.0, threshold: float = 20.0) -> tuple[Array]:
    return (np.where(x * beta > threshold, g, g * _logistic(x * beta)),)


@primitive
def logsigmoid(x: Array) -> Array:
    """log(sigmoid(x)), without underflow."""
    return np.asarray(np.minimum(x, 0) - np.log1p(np.exp(-np.abs(x))))


@logsigmoid.gradient
def _(g: Array, _out: None, x: Array) -> tuple[Array]:
    return (g * _logistic(-x),)


@primitive
def mish(x: Array) -> Array:
    """x * tanh(softplus(x))."""
    return np.asarray(x * np.tanh(np.logaddexp(x, x.dtype.type(0))))


@mish.gradient
def _(g: Array, _out: None, x: Array) -> tuple[Array]:
    gate = np.tanh(np.logaddexp(x, x.dtype.type(0)))
    return (g * (gate + x * _logistic(x) * (1 - gate * gate)),)


@primitive
def hardsigmoid(x: Array) -> Array:
    """x / 6 + 1/2, kept between 0 and 1."""
    return np.clip(x / 6 + 0.5, 0, 1).astype(x.dtype, copy=False)


@hardsigmoid.gradient
def _(g: Array, _out: None, x: Array) -> tuple[Array]:
    return (np.where((x > -3) & (x < 3), g / 6, g.dtype.type(0)),)


@primitive
def hardswish(x: Array) -> Array:
    """x * hardsigmoid(x)."""
    return np.asarray(x * hardsigmoid.kernel(x))


@hardswish.gradient
def _(g: Array, _out: None, x: Array) -> tuple[Array]:
    return (g * np.where(x < -3, 0, np.where(x <= 3, x / 3 + 0.5, 1)),)
