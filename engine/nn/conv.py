"""Convolution layers and their transposes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from ..device import require_cpu
from ..dtype import DType
from ..errors import EngineError
from ..tensor import Tensor
from . import functional as F
from . import init
from .module import Module
from .parameter import Parameter

Size = int | Sequence[int]
_PAD_MODES = ("zeros", "reflect", "replicate", "circular")


def _many(value: Size, dims: int) -> tuple[int, ...]:
    return (value,) * dims if isinstance(value, int) else tuple(value)


class _Conv(Module):
    """What all convolutions keep."""

    dims: int
    transposed = False

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size,
        padding: Size | str,
        output_padding: Size,
        dilation: Size,
        groups: int,
        bias: bool,
        padding_mode: str,
        device: Any,
        dtype: DType | None,
    ) -> None:
        super().__init__()
        require_cpu(device)
        if groups < 1 or in_channels % groups or out_channels % groups:
            raise EngineError(
                f"{type(self).__name__}: {in_channels} channels in and {out_channels} out "
                f"cannot be divided into {groups} groups"
            )
        if padding_mode not in _PAD_MODES:
            raise EngineError(f"padding_mode {padding_mode!r} is not there; expected one of {', '.join(_PAD_MODES)}")
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size, self.stride = _many(kernel_size, self.dims), _many(stride, self.dims)
        self.padding = padding if isinstance(padding, str) else _many(padding, self.dims)
        self.output_padding, self.dilation = _many(output_padding, self.dims), _many(dilation, self.dims)
        self.padding_mode = padding_mode
        first, second = (in_channels, out_channels) if self.transposed else (out_channels, in_channels)
        self.weight = Parameter.blank((first, second // groups, *self.kernel_size), dtype)
        self.register_parameter("bias", Parameter.blank((out_channels,), dtype) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the initial values anew."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        fan_in = self.weight.shape[1] * math.prod(self.kernel_size)
        if self.bias is not None and fan_in:
            init.uniform_(self.bias, -1 / math.sqrt(fan_in), 1 / math.sqrt(fan_in))

    def extra_repr(self) -> str:
        """What differs from the defaults, as torch prints it."""
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        zero, one = (0,) * self.dims, (1,) * self.dims
        given = {
            "padding": self.padding if self.padding != zero else None,
            "dilation": self.dilation if self.dilation != one else None,
            "output_padding": self.output_padding if self.output_padding != zero else None,
            "groups": self.groups if self.groups != 1 else None,
            "bias": None if self.bias is not None else False,
        }
        text += "".join(f", {name}={value}" for name, value in given.items() if value is not None)
        return text if self.padding_mode == "zeros" else f"{text}, padding_mode={self.padding_mode}"


class _Straight(_Conv):
    """A convolution, not a transpose."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size | str = 0,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: DType | None = None,
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            0,
            dilation,
            groups,
            bias,
            padding_mode,
            device,
            dtype,
        )

    def _run(self, conv: Callable[..., Tensor], input: Tensor) -> Tensor:
        if self.padding_mode == "zeros":
            return conv(input, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)
        pairs = F.same_padding(self.padding, self.kernel_size, self.stride, self.dilation)
        padded = F.pad(input, [n for pair in reversed(pairs) for n in pair], self.padding_mode)
        return conv(padded, self.weight, self.bias, self.stride, 0, self.dilation, self.groups)


class Conv1d(_Straight):
    """Cross-correlation over (N, C, L). Source: torch.nn.Conv1d."""

    dims = 1

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, L) → (N, O, L′)."""
        return self._run(F.conv1d, input)


class Conv2d(_Straight):
    """Cross-correlation over (N, C, H, W). Source: torch.nn.Conv2d."""

    dims = 2

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) → (N, O, H′, W′)."""
        return self._run(F.conv2d, input)


class Conv3d(_Straight):
    """Cross-correlation over (N, C, D, H, W). Source: torch.nn.Conv3d."""

    dims = 3

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, D, H, W) → (N, O, D′, H′, W′)."""
        return self._run(F.conv3d, input)


class _Transposed(_Conv):
    """The transpose of a convolution."""

    transposed = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size = 0,
        output_padding: Size = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Size = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: DType | None = None,
    ) -> None:
        if padding_mode != "zeros":
            raise EngineError(f"{type(self).__name__}: padding_mode {padding_mode!r}; expected 'zeros'")
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, output_padding, dilation, groups, bias,
            padding_mode, device, dtype,
        )  # fmt: skip

    def _run(self, conv: Callable[..., Tensor], input: Tensor, output_size: Sequence[int] | None) -> Tensor:
        extra = self.output_padding if output_size is None else self._extra(input, output_size)
        return conv(input, self.weight, self.bias, self.stride, self.padding, extra, self.groups, self.dilation)

    def _extra(self, input: Tensor, output_size: Sequence[int]) -> tuple[int, ...]:
        """The output_padding that gives an output of that size."""
        extra = []
        for dim, wanted in enumerate(tuple(output_size)[-self.dims :]):
            span = self.dilation[dim] * (self.kernel_size[dim] - 1) + 1
            least = (input.shape[dim - self.dims] - 1) * self.stride[dim] - 2 * int(self.padding[dim]) + span
            if not 0 <= wanted - least < max(self.stride[dim], self.dilation[dim]):
                last = least + self.stride[dim] - 1
                raise EngineError(f"output_size {wanted} of dim {dim} cannot be; expected {least} to {last}")
            extra.append(wanted - least)
        return tuple(extra)


class ConvTranspose1d(_Transposed):
    """The transpose of Conv1d. Source: torch.nn.ConvTranspose1d."""

    dims = 1

    def forward(self, input: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        """(N, C, L) → (N, O, L′)."""
        return self._run(F.conv_transpose1d, input, output_size)


class ConvTranspose2d(_Transposed):
    """The transpose of Conv2d. Source: torch.nn.ConvTranspose2d."""

    dims = 2

    def forward(self, input: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        """(N, C, H, W) → (N, O, H′, W′)."""
        return self._run(F.conv_transpose2d, input, output_size)


class ConvTranspose3d(_Transposed):
    """The transpose of Conv3d. Source: torch.nn.ConvTranspose3d."""

    dims = 3

    def forward(self, input: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        """(N, C, D, H, W) → (N, O, D′, H′, W′)."""
        return self._run(F.conv_transpose3d, input, output_size)
