"""Activations, and softmax with its kin."""

from __future__ import annotations

from typing import cast

import numpy as np

from ...dtype import DType
from ...errors import ShapeError, UnsupportedOpError
from ...functions import where
from ...ops import activation
from ...tensor import Tensor
from .shared import bent, changed, is_free, one


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """max(x, 0)."""
    if inplace and is_free(input):
        np.maximum(input.array, input.array.dtype.type(0), out=input.array)
        return changed(input)
    return input.relu_() if inplace else input.relu()


def relu_(input: Tensor) -> Tensor:
    """max(x, 0) in place."""
    return relu(input, True)


def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """x between 0 and 6."""
    return hardtanh(input, 0.0, 6.0, inplace)


def hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Tensor:
    """x between two bounds."""
    if inplace and is_free(input):
        kind = input.array.dtype.type
        np.clip(input.array, kind(min_val), kind(max_val), out=input.array)
        return changed(input)
    return input.clamp_(min_val, max_val) if inplace else input.clamp(min_val, max_val)


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """x, or negative_slope · x below 0."""
    return bent(activation.leaky_relu, input, inplace, negative_slope=negative_slope)


def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """x, or weight · x below 0, with one weight for all or one a channel."""
    channels = input.shape[1] if input.array.ndim > 1 else 1
    if weight.shape[0] not in (1, channels):
        raise ShapeError(f"prelu: {weight.shape[0]} weights for input {input.shape}; expected 1 or {channels}")
    slope = weight.reshape(-1, *(1,) * max(0, input.array.ndim - 2))
    return input.clamp(min=0) + slope * input.clamp(max=0)


def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x, or alpha · (exp(x) - 1) below 0."""
    return bent(activation.elu, input, inplace, alpha=alpha)


def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """The scaled ELU that keeps mean 0 and variance 1."""
    return bent(activation.elu, input, inplace, alpha=1.6732632423543772, scale=1.0507009873554805)


def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x, or alpha · (exp(x / alpha) - 1) below 0."""
    return bent(activation.elu, input, inplace, alpha=alpha, input_scale=1 / alpha)


def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    """x · Φ(x), exact or approximated by "tanh"."""
    if approximate not in ("none", "tanh"):
        raise UnsupportedOpError(f"gelu: approximate {approximate!r} is not there; expected 'none' or 'tanh'")
    return one(activation.gelu, input, approximate=approximate)


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """x · sigmoid(x)."""
    return bent(activation.silu, input, inplace)


def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """x · tanh(softplus(x))."""
    return bent(activation.mish, input, inplace)


def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """x · hardsigmoid(x)."""
    return bent(activation.hardswish, input, inplace)


def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """x / 6 + 1/2 between 0 and 1."""
    return bent(activation.hardsigmoid, input, inplace)


def sigmoid(input: Tensor) -> Tensor:
    """1 / (1 + exp(-x))."""
    return input.sigmoid()


def tanh(input: Tensor) -> Tensor:
    """The hyperbolic tangent."""
    return input.tanh()


def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """log(1 + exp(beta · x)) / beta; x itself where beta · x is above the threshold."""
    return one(activation.softplus, input, beta=beta, threshold=threshold)


def softsign(input: Tensor) -> Tensor:
    """x / (1 + |x|)."""
    return input / (input.abs() + 1)


def tanhshrink(input: Tensor) -> Tensor:
    """x - tanh(x)."""
    return input - input.tanh()


def hardshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """x, or 0 within lambd of it."""
    return cast(Tensor, where(input.abs() > lambd, input, 0.0))


def softshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """x moved towards 0 by lambd, at most to it."""
    return input - input.clamp(-lambd, lambd)


def logsigmoid(input: Tensor) -> Tensor:
    """log(sigmoid(x))."""
    return one(activation.logsigmoid, input)


def threshold(input: Tensor, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """x where it is above the threshold, else value."""
    source = input._before() if inplace else input
    out: Tensor = where(source > threshold, source, value)
    return input._become(out) if inplace else out


def glu(input: Tensor, dim: int = -1) -> Tensor:
    """The first half along a dim times the sigmoid of the second."""
    if input.shape[dim] % 2:
        raise ShapeError(f"glu: size {input.shape[dim]} of dim {dim} of {input.shape} cannot be halved")
    first, second = input.chunk(2, dim)
    return first * second.sigmoid()


def softmax(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: DType | None = None) -> Tensor:
    """exp(x) over its sum along a dim."""
    return input.softmax(_implicit(input, dim), dtype)


def log_softmax(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: DType | None = None) -> Tensor:
    """The logarithm of softmax."""
    return input.log_softmax(_implicit(input, dim), dtype)


def softmin(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: DType | None = None) -> Tensor:
    """softmax(-x)."""
    return (-input).softmax(_implicit(input, dim), dtype)


def _implicit(input: Tensor, dim: int | None) -> int:
    """The dim that PyTorch takes when none is given."""
    if dim is None:
        return 0 if input.array.ndim in (0, 1, 3) else 1
    return dim
