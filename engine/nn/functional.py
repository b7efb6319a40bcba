"""Layers as plain functions: what a module forwards to, with its parameters handed in. Source: torch.nn.functional."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np

from ..autograd import is_grad_enabled
from ..dtype import DType
from ..errors import ShapeError, UnsupportedOpError
from ..functions import linear as linear
from ..functions import one_hot as one_hot
from ..functions import where
from ..ops import activation, attention, convolution, indexing, normalization, pooling, shape, upsampling
from ..ops.primitive import Primitive
from ..random import dropout_mask
from ..tensor import Tensor, apply
from ..tracing import TRACING, values_of
from .loss import *  # noqa: F403

Size = int | Sequence[int]
OptionalSize = Size | None


def _many(value: Size, dims: int) -> tuple[int, ...]:
    """One number a dim."""
    values = (value,) if isinstance(value, int) else tuple(int(v) for v in value)
    if len(values) not in (1, dims):
        raise ShapeError(f"met {len(values)} numbers {values}; expected 1 or {dims}, one a dim")
    return values * dims if len(values) == 1 else values


def _one(primitive: Primitive, *operands: Any, **attributes: Any) -> Tensor:
    return cast(Tensor, apply(primitive, *operands, **attributes))


def _bent(primitive: Primitive, input: Tensor, inplace: bool, **attributes: Any) -> Tensor:
    """An activation, in place where that is asked for."""
    if not inplace:
        return _one(primitive, input, **attributes)
    return input._become(_one(primitive, input._before(), **attributes))


def _free(input: Tensor) -> bool:
    """Whether the input's memory may be written to without a word to its history."""
    unseen = not (input.requires_grad and is_grad_enabled()) and TRACING.watcher is None
    return input.array.flags.writeable and unseen


def _changed(input: Tensor) -> Tensor:
    """The input, whose memory was written to directly."""
    input.version[0] += 1
    return input


# Convolutions


def _windowed(dims: int, input: Tensor, run: Callable[[Tensor], Tensor]) -> Tensor:
    """Run on a batch; a single input without the batch's dim becomes a batch of one."""
    if input.array.ndim == dims + 1:
        return run(input.unsqueeze(0)).squeeze(0)
    if input.array.ndim != dims + 2:
        raise ShapeError(f"conv{dims}d: expected {dims + 2} dims (or {dims + 1} without a batch), met {input.shape}")
    return run(input)


def _conv(
    dims: int,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Size,
    padding: Size | str,
    dilation: Size,
    groups: int,
) -> Tensor:
    strides, dilations = _many(stride, dims), _many(dilation, dims)
    pads = same_padding(padding, weight.shape[2:], strides, dilations)
    attributes = {"stride": strides, "padding": pads, "dilation": dilations, "groups": groups}
    return _windowed(dims, input, lambda x: _one(convolution.conv, x, weight, bias, **attributes))


def same_padding(
    padding: Size | str, kernel: Sequence[int], stride: tuple[int, ...], dilation: tuple[int, ...]
) -> tuple[tuple[int, int], ...]:
    """Padding as (before, after) a dim; "same" keeps the size, with the odd one after."""
    if not isinstance(padding, str):
        return tuple((p, p) for p in _many(padding, len(kernel)))
    if padding == "valid":
        return ((0, 0),) * len(kernel)
    if padding != "same":
        raise UnsupportedOpError(f"padding {padding!r} is not there; expected numbers, 'same' or 'valid'")
    if set(stride) != {1}:
        raise ShapeError(f"padding 'same' needs a stride of 1, met {stride}")
    totals = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
    return tuple((total // 2, total - total // 2) for total in totals)


def conv1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Size = 1,
    padding: Size | str = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> Tensor:
    """Cross-correlation of input (N, C, L) with weight (O, C / groups, kL)."""
    return _conv(1, input, weight, bias, stride, padding, dilation, groups)


def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Size = 1,
    padding: Size | str = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> Tensor:
    """Cross-correlation of input (N, C, H, W) with weight (O, C / groups, kH, kW)."""
    return _conv(2, input, weight, bias, stride, padding, dilation, groups)


def conv3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Size = 1,
    padding: Size | str = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> Tensor:
    """Cross-correlation of input (N, C, D, H, W) with weight (O, C / groups, kD, kH, kW)."""
    return _conv(3, input, weight, bias, stride, padding, dilation, groups)


def _conv_transpose(
    dims: int,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Size,
    padding: Size,
    output_padding: Size,
    groups: int,
    dilation: Size,
) -> Tensor:
    attributes = {
        "stride": _many(stride, dims),
        "padding": tuple((p, p) for p in _many(padding, dims)),
        "output_padding": _many(output_padding, dims),
        "dilation": _many(dilation, dims),
        "groups": groups,
    }
    return _windowed(dims, input, lambda x: _one(convolution.conv_transpose, x, weight, bias, **attributes))


def conv_transpose1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Size = 1,
    padding: Size = 0,
    output_padding: Size = 0,
    groups: int = 1,
    dilation: Size = 1,
) -> Tensor:
    """The transpose of conv1d: input (N, C, L) spread out by weight (C, O / groups, kL)."""
    return _conv_transpose(1, input, weight, bias, stride, padding, output_padding, groups, dilation)


def conv_transpose2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Size = 1,
    padding: Size = 0,
    output_padding: Size = 0,
    groups: int = 1,
    dilation: Size = 1,
) -> Tensor:
    """The transpose of conv2d: input (N, C, H, W) spread out by weight (C, O / groups, kH, kW)."""
    return _conv_transpose(2, input, weight, bias, stride, padding, output_padding, groups, dilation)


def conv_transpose3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Size = 1,
    padding: Size = 0,
    output_padding: Size = 0,
    groups: int = 1,
    dilation: Size = 1,
) -> Tensor:
    """The transpose of conv3d: input (N, C, D, H, W) spread out by weight (C, O / groups, kD, kH, kW)."""
    return _conv_transpose(3, input, weight, bias, stride, padding, output_padding, groups, dilation)


# Pools


def _max_pool(
    dims: int,
    input: Tensor,
    kernel_size: Size,
    stride: OptionalSize,
    padding: Size,
    dilation: Size,
    ceil_mode: bool,
    return_indices: bool,
) -> Any:
    attributes = {
        "kernel": _many(kernel_size, dims),
        "stride": _many(stride or kernel_size, dims),
        "padding": tuple((p, p) for p in _many(padding, dims)),
        "dilation": _many(dilation, dims),
        "ceil_mode": ceil_mode,
    }
    values = _one(pooling.max_pool, input, **attributes)
    return (values, _one(pooling.max_pool_indices, input.detach(), **attributes)) if return_indices else values


def max_pool1d(
    input: Tensor,
    kernel_size: Size,
    stride: OptionalSize = None,
    padding: Size = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest value of each window of (…, L), and where it was if asked."""
    return _max_pool(1, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool2d(
    input: Tensor,
    kernel_size: Size,
    stride: OptionalSize = None,
    padding: Size = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest value of each window of (…, H, W), and where it was if asked."""
    return _max_pool(2, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool3d(
    input: Tensor,
    kernel_size: Size,
    stride: OptionalSize = None,
    padding: Size = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest value of each window of (…, D, H, W), and where it was if asked."""
    return _max_pool(3, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def _avg_pool(
    dims: int,
    input: Tensor,
    kernel_size: Size,
    stride: OptionalSize,
    padding: Size,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor: int | None,
) -> Tensor:
    return _one(
        pooling.avg_pool,
        input,
        kernel=_many(kernel_size, dims),
        stride=_many(stride or kernel_size, dims),
        padding=tuple((p, p) for p in _many(padding, dims)),
        ceil_mode=ceil_mode,
        count_include_pad=count_include_pad,
        divisor=divisor,
    )


def avg_pool1d(
    input: Tensor,
    kernel_size: Size,
    stride: OptionalSize = None,
    padding: Size = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """The mean of each window of (…, L)."""
    return _avg_pool(1, input, kernel_size, stride, padding, ceil_mode, count_include_pad, None)


def avg_pool2d(
    input: Tensor,
    kernel_size: Size,
    stride: OptionalSize = None,
    padding: Size = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The mean of each window of (…, H, W), or its sum over `divisor_override`."""
    return _avg_pool(2, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


def avg_pool3d(
    input: Tensor,
    kernel_size: Size,
    stride: OptionalSize = None,
    padding: Size = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The mean of each window of (…, D, H, W), or its sum over `divisor_override`."""
    return _avg_pool(3, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


def _adaptive_sizes(input: Tensor, output_size: Any, dims: int) -> tuple[int, ...]:
    """One size a dim; None keeps the input's."""
    wanted = tuple(output_size) if isinstance(output_size, (tuple, list)) else (output_size,) * dims
    if len(wanted) != dims or len(input.shape) <= dims:
        raise ShapeError(
            f"adaptive pool: input {input.shape} to {wanted}; expected {dims} sizes and more dims of input"
        )
    return tuple(have if size is None else size for size, have in zip(wanted, input.shape[-dims:], strict=True))


def _adaptive_avg_pool(dims: int, input: Tensor, output_size: Any) -> Tensor:
    sizes = _adaptive_sizes(input, output_size, dims)
    if set(sizes) == {1}:
        return input.mean(tuple(range(-dims, 0)), True)
    return _one(upsampling.interpolate, input, size=sizes, mode="area")


def adaptive_avg_pool1d(input: Tensor, output_size: Any) -> Tensor:
    """The means of `output_size` parts of (…, L)."""
    return _adaptive_avg_pool(1, input, output_size)


def adaptive_avg_pool2d(input: Tensor, output_size: Any) -> Tensor:
    """The means of `output_size` parts of (…, H, W); None keeps a size."""
    return _adaptive_avg_pool(2, input, output_size)


def adaptive_avg_pool3d(input: Tensor, output_size: Any) -> Tensor:
    """The means of `output_size` parts of (…, D, H, W); None keeps a size."""
    return _adaptive_avg_pool(3, input, output_size)


def _adaptive_max_pool(dims: int, input: Tensor, output_size: Any, return_indices: bool) -> Any:
    sizes = _adaptive_sizes(input, output_size, dims)
    values = _one(pooling.adaptive_max_pool, input, size=sizes)
    return (values, _one(pooling.adaptive_max_pool_indices, input.detach(), size=sizes)) if return_indices else values


def adaptive_max_pool1d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """The largest values of `output_size` parts of (…, L)."""
    return _adaptive_max_pool(1, input, output_size, return_indices)


def adaptive_max_pool2d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """The largest values of `output_size` parts of (…, H, W); None keeps a size."""
    return _adaptive_max_pool(2, input, output_size, return_indices)


def adaptive_max_pool3d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """The largest values of `output_size` parts of (…, D, H, W); None keeps a size."""
    return _adaptive_max_pool(3, input, output_size, return_indices)


def lp_pool2d(
    input: Tensor, norm_type: float, kernel_size: Size, stride: OptionalSize = None, ceil_mode: bool = False
) -> Tensor:
    """The norm of each window of (…, H, W)."""
    kernel = _many(kernel_size, 2)
    means = avg_pool2d(input.pow(norm_type), kernel, stride, 0, ceil_mode)
    return (means.relu() * math.prod(kernel)).pow(1 / norm_type)


# Normalisations


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Input (N, C, …) normalised by running statistics, or in training by its own, which then move the running ones."""
    if not training:
        if running_mean is None or running_var is None:
            raise ShapeError("batch_norm: running statistics are needed outside training")
        return _one(normalization.batch_norm, input, weight, bias, running_mean, running_var, eps=eps)
    count = math.prod(input.shape) // max(1, input.shape[1])
    if count < 2:
        raise ShapeError(f"batch_norm: training needs more than 1 value a channel, met input {input.shape}")
    out, mean, variance = apply(normalization.batch_norm_of_batch, input, weight, bias, eps=eps)
    if running_mean is not None and running_var is not None:
        _move(running_mean, mean.array, momentum)
        _move(running_var, variance.array * (count / (count - 1)), momentum)
    return out


def _move(running: Tensor, value: Any, momentum: float) -> None:
    running.array[...] = (1 - momentum) * running.array + momentum * value
    _changed(running)


def instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Input (N, C, …) with each channel of each item normalised by itself, or by running statistics."""
    if not use_input_stats:
        return batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    if math.prod(input.shape[2:]) < 2:
        raise ShapeError(f"instance_norm: expected more than 1 value a channel, met input {input.shape}")
    if running_mean is not None and running_var is not None:
        axes = tuple(range(2, input.array.ndim))
        _move(running_mean, input.array.mean(axis=axes).mean(axis=0), momentum)
        _move(running_var, input.array.var(axis=axes, ddof=1).mean(axis=0), momentum)
    return _one(normalization.group_norm, input, weight, bias, groups=input.shape[1], eps=eps)


def layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Input normalised over its last dims, which are `normalized_shape`."""
    _check_ends("layer_norm", input, normalized_shape)
    return _one(normalization.layer_norm, input, weight, bias, dims=len(normalized_shape), eps=eps)


def rms_norm(
    input: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None, eps: float | None = None
) -> Tensor:
    """Input over the root of its mean square over its last dims, which are `normalized_shape`."""
    _check_ends("rms_norm", input, normalized_shape)
    return _one(normalization.rms_norm, input, weight, dims=len(normalized_shape), eps=eps)


def _check_ends(name: str, input: Tensor, normalized_shape: Sequence[int]) -> None:
    if tuple(input.shape[-len(normalized_shape) :]) != tuple(normalized_shape):
        raise ShapeError(f"{name}: input {input.shape} does not end in the normalized shape {tuple(normalized_shape)}")


def group_norm(
    input: Tensor, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5
) -> Tensor:
    """Input (N, C, …) normalised over each group of channels."""
    return _one(normalization.group_norm, input, weight, bias, groups=num_groups, eps=eps)


def local_response_norm(input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Tensor:
    """Input (N, C, …) over a power of the squares of `size` neighbouring channels."""
    return _one(normalization.local_response_norm, input, size=size, alpha=alpha, beta=beta, k=k)


def normalize(input: Tensor, p: float = 2.0, dim: int = 1, eps: float = 1e-12) -> Tensor:
    """Input over its p-norm along a dim."""
    return input / _norm(input, p, dim, True).clamp(min=eps)


def _norm(input: Tensor, p: float, dim: int, keepdim: bool) -> Tensor:
    if p == 2:
        return (input * input).sum(dim, keepdim).sqrt()
    return input.abs().pow(p).sum(dim, keepdim).pow(1 / p)


def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """The cosine of the angle between vectors along a dim."""
    lengths = [_norm(x, 2, dim, False).clamp(min=eps) for x in (x1, x2)]
    return (x1 * x2).sum(dim) / (lengths[0] * lengths[1])


def pairwise_distance(x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Tensor:
    """The p-norm of x1 - x2 + eps along the last dim."""
    return _norm(x1 - x2 + eps, p, -1, keepdim)


# Activations


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """max(x, 0)."""
    if inplace and _free(input):
        np.maximum(input.array, input.array.dtype.type(0), out=input.array)
        return _changed(input)
    return input.relu_() if inplace else input.relu()


def relu_(input: Tensor) -> Tensor:
    """max(x, 0) in place."""
    return relu(input, True)


def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """x between 0 and 6."""
    return hardtanh(input, 0.0, 6.0, inplace)


def hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Tensor:
    """x between two bounds."""
    if inplace and _free(input):
        kind = input.array.dtype.type
        np.clip(input.array, kind(min_val), kind(max_val), out=input.array)
        return _changed(input)
    return input.clamp_(min_val, max_val) if inplace else input.clamp(min_val, max_val)


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """x, or negative_slope · x below 0."""
    return _bent(activation.leaky_relu, input, inplace, negative_slope=negative_slope)


def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """x, or weight · x below 0, with one weight for all or one a channel."""
    channels = input.shape[1] if input.array.ndim > 1 else 1
    if weight.shape[0] not in (1, channels):
        raise ShapeError(f"prelu: {weight.shape[0]} weights for input {input.shape}; expected 1 or {channels}")
    slope = weight.reshape(-1, *(1,) * max(0, input.array.ndim - 2))
    return input.clamp(min=0) + slope * input.clamp(max=0)


def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x, or alpha · (exp(x) - 1) below 0."""
    return _bent(activation.elu, input, inplace, alpha=alpha)


def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """The scaled ELU that keeps mean 0 and variance 1."""
    return _bent(activation.elu, input, inplace, alpha=1.6732632423543772, scale=1.0507009873554805)


def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x, or alpha · (exp(x / alpha) - 1) below 0."""
    return _bent(activation.elu, input, inplace, alpha=alpha, input_scale=1 / alpha)


def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    """x · Φ(x), exact or approximated by "tanh"."""
    if approximate not in ("none", "tanh"):
        raise UnsupportedOpError(f"gelu: approximate {approximate!r} is not there; expected 'none' or 'tanh'")
    return _one(activation.gelu, input, approximate=approximate)


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """x · sigmoid(x)."""
    return _bent(activation.silu, input, inplace)


def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """x · tanh(softplus(x))."""
    return _bent(activation.mish, input, inplace)


def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """x · hardsigmoid(x)."""
    return _bent(activation.hardswish, input, inplace)


def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """x / 6 + 1/2 between 0 and 1."""
    return _bent(activation.hardsigmoid, input, inplace)


def sigmoid(input: Tensor) -> Tensor:
    """1 / (1 + exp(-x))."""
    return input.sigmoid()


def tanh(input: Tensor) -> Tensor:
    """The hyperbolic tangent."""
    return input.tanh()


def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """log(1 + exp(beta · x)) / beta; x itself where beta · x is above the threshold."""
    return _one(activation.softplus, input, beta=beta, threshold=threshold)


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
    return _one(activation.logsigmoid, input)


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


# Dropout


def _dropped(input: Tensor, p: float, mask_shape: Sequence[int], inplace: bool) -> Tensor:
    if not 0 <= p <= 1:
        raise ShapeError(f"dropout: expected a probability between 0 and 1, met {p}")
    if p == 1:
        mask = np.zeros(tuple(mask_shape), input.array.dtype)
    else:
        mask = dropout_mask(mask_shape, 1 - p, input.array.dtype)
    return input.mul_(Tensor(mask)) if inplace else input * Tensor(mask)


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """In training, each element zero with probability p, else x / (1 - p)."""
    return _dropped(input, p, input.shape, inplace) if training and p else input


def _dropout_channels(dims: int, input: Tensor, p: float, training: bool, inplace: bool) -> Tensor:
    if not training or not p:
        return input
    lead = input.array.ndim - dims
    return _dropped(input, p, (*input.shape[:lead], *(1,) * dims), inplace)


def dropout1d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """In training, whole channels of (N, C, L) zero with probability p."""
    return _dropout_channels(1, input, p, training, inplace)


def dropout2d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """In training, whole channels of (N, C, H, W) zero with probability p."""
    return _dropout_channels(2, input, p, training, inplace)


def dropout3d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """In training, whole channels of (N, C, D, H, W) zero with probability p."""
    return _dropout_channels(3, input, p, training, inplace)


def alpha_dropout(input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False) -> Tensor:
    """In training, dropout that keeps the mean and variance of SELU's outputs."""
    if not training or not p:
        return input
    floor = -1.7580993408473766
    kept = dropout_mask(input.shape, 1 - p, input.array.dtype) > 0
    scale = ((1 - p) * (1 + p * floor**2)) ** -0.5
    shift = Tensor(np.where(kept, 0, floor).astype(input.array.dtype))
    out = (input * Tensor(kept.astype(input.array.dtype)) + shift) * scale - scale * p * floor
    return input.copy_(out) if inplace else out


# Tables, padding and sizes


def embedding(input: Tensor, weight: Tensor, padding_idx: int | None = None) -> Tensor:
    """The rows of a table that the indices name; the row `padding_idx` gets no gradient."""
    rows = weight.shape[0]
    return _one(indexing.embedding, weight, input, padding_idx=None if padding_idx is None else padding_idx % rows)


def embedding_bag(
    input: Tensor,
    weight: Tensor,
    offsets: Tensor | None = None,
    mode: str = "mean",
    per_sample_weights: Tensor | None = None,
    padding_idx: int | None = None,
) -> Tensor:
    """The sum, mean or maximum of bags of rows: the rows of a 2-d input, or the parts of a 1-d one between offsets."""
    if mode not in ("sum", "mean", "max"):
        raise UnsupportedOpError(f"embedding_bag: mode {mode!r} is not there; expected 'sum', 'mean' or 'max'")
    if input.array.ndim == 2:
        starts = np.arange(input.shape[0]) * input.shape[1]
    elif offsets is not None:
        starts = values_of(offsets, "embedding_bag() with offsets")
    else:
        raise ShapeError(f"embedding_bag: input {input.shape} needs offsets; a 2-d one does not")
    rows = embedding(input.reshape(-1), weight, padding_idx)
    if per_sample_weights is not None:
        rows = rows * per_sample_weights.reshape(-1, 1)
    stops = np.append(starts[1:], rows.shape[0])
    counted = np.ones(rows.shape[0], bool)
    if padding_idx is not None:
        counted = values_of(input, "embedding_bag() with padding_idx").ravel() != padding_idx
    bags = [np.flatnonzero(counted[a:b]) + a for a, b in zip(starts, stops, strict=True)]
    if mode == "max":
        empty = Tensor(np.zeros(weight.shape[1], weight.array.dtype))
        return _stacked([rows[Tensor(bag)].amax(0) if bag.size else empty for bag in bags])
    member = np.zeros((len(bags), rows.shape[0]), weight.array.dtype)
    for row, bag in zip(member, bags, strict=True):
        row[bag] = 1 / max(1, bag.size) if mode == "mean" else 1
    return Tensor(member) @ rows


def _stacked(tensors: Sequence[Tensor]) -> Tensor:
    return _one(shape.stack, *tensors, dim=0)


def pad(input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Tensor:
    """Room before and after the last dims: (left, right, top, bottom, …), the last dim first."""
    if len(pad) % 2 or len(pad) > 2 * input.array.ndim:
        raise ShapeError(f"pad: {tuple(pad)} for input {input.shape}; expected 2 numbers a dim, for its last dims")
    pairs = [(int(pad[i]), int(pad[i + 1])) for i in range(0, len(pad), 2)]
    widths = ((0, 0),) * (input.array.ndim - len(pairs)) + tuple(reversed(pairs))
    return _one(shape.pad, input, widths=widths, mode=mode, value=value or 0.0)


def interpolate(
    input: Tensor,
    size: OptionalSize = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Tensor:
    """Input (N, C, …) resized: nearest, nearest-exact, linear, bilinear, trilinear, bicubic or area."""
    if antialias:
        raise UnsupportedOpError("interpolate: antialias=True is not there; resize the image before it is a tensor")
    dims = input.array.ndim - 2
    if (size is None) == (scale_factor is None):
        raise ShapeError("interpolate: expected either size or scale_factor")
    scales: tuple[float | None, ...] | None = None
    if size is not None:
        sizes = _many(size, dims)
    else:
        factors = (
            tuple(scale_factor) if isinstance(scale_factor, (tuple, list)) else (cast(float, scale_factor),) * dims
        )
        sizes = tuple(math.floor(n * f) for n, f in zip(input.shape[2:], factors, strict=True))
        scales = None if recompute_scale_factor or mode == "area" else factors
    kind = {"bilinear": "linear", "trilinear": "linear", "bicubic": "cubic"}.get(mode, mode)
    attributes = {"size": sizes, "mode": kind, "align_corners": bool(align_corners), "scales": scales}
    return _one(upsampling.interpolate, input, **attributes)


def upsample(
    input: Tensor,
    size: OptionalSize = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
) -> Tensor:
    """interpolate() under its old name."""
    return interpolate(input, size, scale_factor, mode, align_corners)


def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """(…, C · f², H, W) → (…, C, H · f, W · f)."""
    if input.array.ndim < 3 or input.shape[-3] % upscale_factor**2:
        raise ShapeError(f"pixel_shuffle: input {input.shape}; expected channels in multiples of {upscale_factor**2}")
    return _one(upsampling.pixel_shuffle, input, factor=upscale_factor)


def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    """(…, C, H · f, W · f) → (…, C · f², H, W)."""
    if input.array.ndim < 3 or any(n % downscale_factor for n in input.shape[-2:]):
        raise ShapeError(f"pixel_unshuffle: input {input.shape}; expected sizes in multiples of {downscale_factor}")
    return _one(upsampling.pixel_unshuffle, input, factor=downscale_factor)


def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """input1ᵀ · weight[o] · input2 + bias, for each output o."""
    products = (input1.unsqueeze(-2).unsqueeze(-2) @ weight).squeeze(-2) * input2.unsqueeze(-2)
    out = products.sum(-1)
    return out if bias is None else out + bias


def channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """The channels of input (N, C, …) dealt out over the groups in turn."""
    n, c, *rest = input.shape
    return input.reshape(n, groups, c // groups, *rest).transpose(1, 2).reshape(n, c, *rest)


# Attention


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """softmax(query · keyᵀ · scale + mask) · value over the last two dims; True in a boolean mask is what is seen."""
    if enable_gqa:
        groups = query.shape[-3] // key.shape[-3]
        key, value = key.repeat_interleave(groups, -3), value.repeat_interleave(groups, -3)
    scale = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    if not dropout_p:
        primitive = attention.scaled_dot_product_attention
        return _one(primitive, query, key, value, attn_mask, scale=scale, causal=is_causal)
    identity = Tensor(np.eye(key.shape[-2], dtype=key.array.dtype))
    weights = _one(
        attention.scaled_dot_product_attention, query, key, identity, attn_mask, scale=scale, causal=is_causal
    )
    return dropout(weights, dropout_p) @ value
