"""Convolutions, and their transposes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..nn import functional
from ..tensor import Tensor
from .arguments import sizes
from .table import aten, enter

Maybe = Tensor | None
Ints = int | Sequence[int]


def _pads(padding: Any) -> Any:
    return padding if isinstance(padding, str) else sizes(padding)


def _convolved(dims: int) -> Any:
    function = getattr(functional, f"conv{dims}d")

    def conv(
        input: Tensor, weight: Tensor, bias: Maybe = None, stride: Ints = 1, padding: Ints | str = 0,
        dilation: Ints = 1, groups: int = 1,
    ) -> Any:  # fmt: skip
        return function(input, weight, bias, sizes(stride), _pads(padding), sizes(dilation), groups)

    return conv


def _deconvolved(dims: int) -> Any:
    function = getattr(functional, f"conv_transpose{dims}d")

    def conv_transpose(
        input: Tensor, weight: Tensor, bias: Maybe = None, stride: Ints = 1, padding: Ints = 0,
        output_padding: Ints = 0, groups: int = 1, dilation: Ints = 1,
    ) -> Any:  # fmt: skip
        return function(
            input, weight, bias, sizes(stride), sizes(padding), sizes(output_padding), groups, sizes(dilation)
        )

    return conv_transpose


_CONV = {dims: _convolved(dims) for dims in (1, 2, 3)}
_CONV_TRANSPOSE = {dims: _deconvolved(dims) for dims in (1, 2, 3)}
for _dims in (1, 2, 3):
    enter(f"conv{_dims}d", _CONV[_dims])
enter("conv_transpose1d", _CONV_TRANSPOSE[1])
enter("conv_transpose2d", _CONV_TRANSPOSE[2])
enter("conv_transpose3d", _CONV_TRANSPOSE[3])


@aten("_convolution", "convolution")
def _(
    input: Tensor, weight: Tensor, bias: Maybe, stride: Ints, padding: Ints, dilation: Ints, transposed: bool,
    output_padding: Ints, groups: int, *backends: bool,
) -> Any:  # fmt: skip
    dims = weight.array.ndim - 2
    if transposed:
        return _CONV_TRANSPOSE[dims](input, weight, bias, stride, padding, output_padding, groups, dilation)
    return _CONV[dims](input, weight, bias, stride, padding, dilation, groups)


@aten("_convolution_mode")
def _(input: Tensor, weight: Tensor, bias: Maybe, stride: Ints, padding: str, dilation: Ints, groups: int) -> Any:
    return _CONV[weight.array.ndim - 2](input, weight, bias, stride, padding, dilation, groups)
