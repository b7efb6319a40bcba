"""Convolutions and transposed convolutions of one to three dims."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ...errors import ShapeError, UnsupportedOpError
from ...ops import convolution
from ...tensor import Tensor
from .shared import Size, many, one


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
    strides, dilations = many(stride, dims), many(dilation, dims)
    pads = same_padding(padding, weight.shape[2:], strides, dilations)
    attributes = {"stride": strides, "padding": pads, "dilation": dilations, "groups": groups}
    return _windowed(dims, input, lambda x: one(convolution.conv, x, weight, bias, **attributes))


def same_padding(
    padding: Size | str, kernel: Sequence[int], stride: tuple[int, ...], dilation: tuple[int, ...]
) -> tuple[tuple[int, int], ...]:
    """Padding as (before, after) a dim; "same" keeps the size, with the odd one after."""
    if not isinstance(padding, str):
        return tuple((p, p) for p in many(padding, len(kernel)))
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
        "stride": many(stride, dims),
        "padding": tuple((p, p) for p in many(padding, dims)),
        "output_padding": many(output_padding, dims),
        "dilation": many(dilation, dims),
        "groups": groups,
    }
    return _windowed(dims, input, lambda x: one(convolution.conv_transpose, x, weight, bias, **attributes))


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
