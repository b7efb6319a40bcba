"""Primitives that graphs are lowered to: channels last, weights ready to multiply, and what follows folded in.

Images are (N, H, W, C). These kernels are the plain meaning of the operations; executors have faster ones. They have
no gradients: a graph is lowered to be run, not trained.

`activation` is a name, with its numbers after colons: "relu", "leaky_relu:0.1", "clamp:-1:1"; "" is none.
`padding` is (top, left, bottom, right).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..dtype import Array
from ..errors import ShapeError, UnsupportedOpError
from . import activation as bent
from . import unary
from .convolution import conv
from .elementwise import clamp
from .primitive import primitive

Sides = tuple[int, int, int, int]
Pair = tuple[int, int]

ACTIVATIONS: dict[str, Callable[..., Any]] = {
    "": lambda x: x,
    "relu": bent.relu.kernel,
    "relu6": lambda x: clamp.kernel(x, min=0, max=6),
    "clamp": lambda x, low, high: clamp.kernel(x, min=low, max=high),
    "leaky_relu": lambda x, slope: bent.leaky_relu.kernel(x, negative_slope=slope),
    "elu": lambda x, alpha: bent.elu.kernel(x, alpha=alpha),
    "gelu": bent.gelu.kernel,
    "gelu_tanh": lambda x: bent.gelu.kernel(x, approximate="tanh"),
    "silu": bent.silu.kernel,
    "mish": bent.mish.kernel,
    "hardsigmoid": bent.hardsigmoid.kernel,
    "hardswish": bent.hardswish.kernel,
    "sigmoid": unary.sigmoid.kernel,
    "tanh": unary.tanh.kernel,
}


def activation_of(text: str) -> tuple[str, tuple[float, ...]]:
    """The name of an activation and its numbers; UnsupportedOpError where there is none of that name."""
    name, *numbers = text.split(":")
    if name not in ACTIVATIONS:
        raise UnsupportedOpError(
            f"activation {text!r} is not there; expected one of {', '.join(filter(None, ACTIVATIONS))}"
        )
    return name, tuple(map(float, numbers))


def activate(x: Array, text: str) -> Array:
    """x through the activation of that name."""
    name, numbers = activation_of(text)
    return np.asarray(ACTIVATIONS[name](x, *numbers))


@primitive
def conv_nhwc(
    x: Array, weight: Array, bias: Array, residual: Array | None = None, low: Array | None = None,
    high: Array | None = None, *, stride: Pair, padding: Sides, dilation: Pair, groups: int, activation: str = "",
) -> Array:  # fmt: skip
    """activation(conv(x) + bias + residual), x first kept between `low` and `high` of each channel where given.

    Shapes: x (N, H, W, C), weight (kH, kW, C / groups, O), bias (O), residual as the result, low and high (C).
    """
    top, left, bottom, right = padding
    x = _kept_between(x, low, high)
    out = conv.kernel(
        x.transpose(0, 3, 1, 2), weight.transpose(3, 2, 0, 1), bias,
        stride=stride, padding=((top, bottom), (left, right)), dilation=dilation, groups=groups,
    ).transpose(0, 2, 3, 1)  # fmt: skip
    return _finished(out, residual, activation)


@primitive
def gemm(x: Array, weight: Array, bias: Array, residual: Array | None = None, *, activation: str = "") -> Array:
    """activation(x @ weight + bias + residual). Shapes: x (…, K), weight (K, O), bias (O), residual as the result."""
    if x.shape[-1:] != weight.shape[:1]:
        raise ShapeError(f"gemm: {x.shape} by {weight.shape}: expected {weight.shape[0]} features in")
    out = np.matmul(x.reshape(-1, x.shape[-1]), weight).reshape(*x.shape[:-1], weight.shape[1])
    return _finished(out + bias, residual, activation)


@primitive
def affine_nhwc(x: Array, scale: Array, shift: Array, *, activation: str = "") -> Array:
    """activation(x · scale + shift), one of each for every channel, which is the last dim."""
    return activate(x * scale + shift, activation)


@primitive
def add_act(a: Array, b: Array, *, activation: str = "") -> Array:
    """activation(a + b)."""
    return activate(a + b, activation)


@primitive
def max_pool_nhwc(x: Array, *, kernel: Pair, stride: Pair, padding: Sides, dilation: Pair = (1, 1)) -> Array:
    """The largest value of each window. What ceil_mode adds is part of the padding below and on the right."""
    lowest = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
    return np.asarray(_windows(x, kernel, stride, padding, dilation, lowest).max(axis=(-2, -1)))


@primitive
def avg_pool_nhwc(
    x: Array, *, kernel: Pair, stride: Pair, padding: Sides, count_include_pad: bool = False, divisor: int | None = None
) -> Array:
    """The mean of each window, of what lies inside or with `count_include_pad` of all; or the sum over `divisor`."""
    total = _windows(x, kernel, stride, padding, (1, 1), 0).sum(axis=(-2, -1))
    if divisor is not None or count_include_pad:
        return np.asarray(total / x.dtype.type(divisor or kernel[0] * kernel[1]))
    inside = np.ones((1, *x.shape[1:3], 1), x.dtype)
    return np.asarray(total / _windows(inside, kernel, stride, padding, (1, 1), 0).sum(axis=(-2, -1)))


@primitive
def mean_nhwc(x: Array) -> Array:
    """The mean of each channel of an image. Shapes: (N, H, W, C) → (N, C)."""
    return np.asarray(x.mean(axis=(1, 2), dtype=x.dtype))


def _kept_between(x: Array, low: Array | None, high: Array | None) -> Array:
    x = x if low is None else np.maximum(x, low)
    return x if high is None else np.minimum(x, high)


def _finished(out: Array, residual: Array | None, activation: str) -> Array:
    if residual is not None:
        if residual.shape != out.shape:
            raise ShapeError(f"a residual of {residual.shape} does not fit a result of {out.shape}")
        out = out + residual
    return activate(out, activation)


def _windows(x: Array, kernel: Pair, stride: Pair, padding: Sides, dilation: Pair, fill: float) -> Array:
    """(N, H′, W′, C, kH, kW)."""
    top, left, bottom, right = padding
    padded = np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=fill)
    span = tuple(d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True))
    every = np.lib.stride_tricks.sliding_window_view(padded, span, (1, 2))
    return np.asarray(every[:, :: stride[0], :: stride[1], :, :: dilation[0], :: dilation[1]])
