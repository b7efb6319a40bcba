"""Operators that bend values: the activations of neural networks, and softmax."""

from __future__ import annotations

import math

import numpy as np

from ...graph.recording import CaptureError
from ..calls import Call
from ..items import Item
from .table import operator, same

same(
    {
        "HardSwish": "hardswish", "Mish": "mish", "Relu": "relu", "Sigmoid": "sigmoid", "Softplus": "softplus",
        "Tanh": "tanh",
    }
)  # fmt: skip


@operator("LeakyRelu")
def leaky_relu(at: Call, x: Item) -> Item:
    """x where positive, else alpha times x."""
    return at("leaky_relu", x, negative_slope=at.number("alpha", 0.01))


@operator("Elu")
def elu(at: Call, x: Item) -> Item:
    """x where positive, else alpha * (exp(x) - 1)."""
    return at("elu", x, alpha=at.number("alpha", 1.0))


@operator("Selu")
def selu(at: Call, x: Item) -> Item:
    """elu with a scale."""
    alpha, gamma = at.number("alpha", 1.6732631921768188), at.number("gamma", 1.0507010221481323)
    return at("elu", x, alpha=alpha, scale=gamma)


@operator("Celu")
def celu(at: Call, x: Item) -> Item:
    """elu whose slope is 1 at 0 whatever alpha is."""
    alpha = at.number("alpha", 1.0)
    return at("elu", x, alpha=alpha, input_scale=1 / alpha)


@operator("HardSigmoid")
def hard_sigmoid(at: Call, x: Item) -> Item:
    """alpha * x + beta, kept between 0 and 1."""
    alpha, beta = at.number("alpha", 0.2), at.number("beta", 0.5)
    if math.isclose(alpha, 1 / 6, rel_tol=1e-6) and beta == 0.5:
        return at("hardsigmoid", x)
    return at("clamp", at("add", at("mul", x, alpha), beta), min=0.0, max=1.0)


@operator("ThresholdedRelu")
def thresholded_relu(at: Call, x: Item) -> Item:
    """x where it is above alpha, else 0."""
    return at("where", at("gt", x, at.number("alpha", 1.0)), x, at.constant(0, x))


@operator("PRelu")
def prelu(at: Call, x: Item, slope: Item) -> Item:
    """x where positive, else a slope, which broadcasts, times x."""
    if at.version < 7 and slope.ndim == 1 and slope.shape[0] > 1 and x.ndim > 2:
        slope = at("reshape", slope, shape=(*slope.shape, *(1,) * (x.ndim - 2)))
    return at("where", at("gt", x, 0), x, at("mul", x, slope))


@operator("Softsign")
def softsign(at: Call, x: Item) -> Item:
    """x / (1 + |x|)."""
    return at("div", x, at("add", at("abs", x), 1))


@operator("Shrink")
def shrink(at: Call, x: Item) -> Item:
    """x moved by bias towards 0, and 0 where it is within lambd of it."""
    edge, bias = at.number("lambd", 0.5), at.number("bias", 0.0)
    zero = at.constant(0, x)
    above = at("where", at("gt", x, edge), at.cast(at("sub", x, bias), x.element), zero)
    return at("where", at("lt", x, -edge), at.cast(at("add", x, bias), x.element), above)


@operator("Gelu")
def gelu(at: Call, x: Item) -> Item:
    """x times the normal distribution's function at x."""
    return at("gelu", x, approximate=at.text("approximate", "none"))


@operator("Swish")
def swish(at: Call, x: Item) -> Item:
    """x * sigmoid(alpha * x)."""
    alpha = at.number("alpha", 1.0)
    if alpha == 1:
        return at("silu", x)
    return at("mul", x, at("sigmoid", at("mul", x, alpha)))


def _rows(at: Call, x: Item, name: str) -> Item:
    """A function of rows: of one axis, or before opset 13 of all from an axis on."""
    if at.version >= 13:
        return at(name, x, dim=at.axis(at.integer("axis", -1), x.ndim))
    axis = at.axis(at.integer("axis", 1), x.ndim)
    if axis == x.ndim - 1:
        return at(name, x, dim=axis)
    flat = at("reshape", x, shape=(math.prod(x.shape[:axis]), math.prod(x.shape[axis:])))
    return at("reshape", at(name, flat, dim=1), shape=x.shape)


@operator("Softmax")
def softmax(at: Call, x: Item) -> Item:
    """exp(x) over its sum."""
    return _rows(at, x, "softmax")


@operator("LogSoftmax")
def log_softmax(at: Call, x: Item) -> Item:
    """The logarithm of softmax."""
    return _rows(at, x, "log_softmax")


@operator("Hardmax")
def hardmax(at: Call, x: Item) -> Item:
    """1 at the first greatest element of each row, else 0."""
    axis = at.axis(at.integer("axis", -1 if at.version >= 13 else 1), x.ndim)
    rows = x
    if at.version < 13:
        rows, axis = at("reshape", x, shape=(math.prod(x.shape[:axis]), math.prod(x.shape[axis:]))), 1
    best = at("argmax", rows, dim=axis, keepdim=True)
    places = np.arange(rows.shape[axis]).reshape([-1 if d == axis else 1 for d in range(rows.ndim)])
    chosen = at.cast(at("eq", best, at.constant(places)), x.element)
    return at("reshape", chosen, shape=x.shape)


@operator("SwiGLU")
def swiglu(at: Call, gate: Item, value: Item) -> Item:
    """Swish of one times the other."""
    return at("mul", swish(at, gate), value)


@operator("Dropout")
def dropout(at: Call, x: Item, ratio: Item | None = None, training: Item | None = None) -> tuple[Item, Item]:
    """x as it is: dropping out is for training."""
    if (
        training is not None
        and at.one(training, "training_mode")
        and not (ratio is not None and at.one(ratio, "ratio") == 0)
    ):
        return _dropped(at, x, 0.5 if ratio is None else float(at.one(ratio, "ratio")))
    return x, at.constant(np.broadcast_to(np.ones((), bool), x.shape))


def _dropped(at: Call, x: Item, ratio: float) -> tuple[Item, Item]:
    if at.run.recording is not None:
        raise CaptureError(f"runs eager: {at.where} draws random numbers")
    keep = np.random.RandomState(at.integer("seed", 0)).uniform(0, 1, x.shape) >= ratio
    mask = at.constant(keep)
    return at("div", at("mul", x, at.cast(mask, x.element)), 1 - ratio), mask
