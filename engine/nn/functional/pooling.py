"""Pools of windows, of given and of adaptive sizes."""

from __future__ import annotations

import math
from typing import Any

from ...errors import ShapeError
from ...ops import pooling, upsampling
from ...tensor import Tensor
from .shared import OptionalSize, Size, many, one


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
        "kernel": many(kernel_size, dims),
        "stride": many(stride or kernel_size, dims),
        "padding": tuple((p, p) for p in many(padding, dims)),
        "dilation": many(dilation, dims),
        "ceil_mode": ceil_mode,
    }
    values = one(pooling.max_pool, input, **attributes)
    return (values, one(pooling.max_pool_indices, input.detach(), **attributes)) if return_indices else values


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
    return one(
        pooling.avg_pool,
        input,
        kernel=many(kernel_size, dims),
        stride=many(stride or kernel_size, dims),
        padding=tuple((p, p) for p in many(padding, dims)),
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
    return one(upsampling.interpolate, input, size=sizes, mode="area")


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
    values = one(pooling.adaptive_max_pool, input, size=sizes)
    return (values, one(pooling.adaptive_max_pool_indices, input.detach(), size=sizes)) if return_indices else values


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
    kernel = many(kernel_size, 2)
    means = avg_pool2d(input.pow(norm_type), kernel, stride, 0, ceil_mode)
    return (means.relu() * math.prod(kernel)).pow(1 / norm_type)
