"""Layers that make room around their input."""

from __future__ import annotations

from collections.abc import Sequence

from ..tensor import Tensor
from . import functional as F
from .module import Module

Widths = int | Sequence[int]


class _Pad(Module):
    """Room of some widths: (left, right, top, bottom, …), or one number for all."""

    dims: int
    mode = "constant"
    value = 0.0

    def __init__(self, padding: Widths) -> None:
        super().__init__()
        self.padding = (padding,) * (2 * self.dims) if isinstance(padding, int) else tuple(padding)

    def forward(self, input: Tensor) -> Tensor:
        """The input with room around it."""
        return F.pad(input, self.padding, self.mode, self.value)

    def extra_repr(self) -> str:
        """The widths."""
        return str(self.padding)


class ZeroPad1d(_Pad):
    """Zeros around (N, C, L). Source: torch.nn.ZeroPad1d."""

    dims = 1


class ZeroPad2d(_Pad):
    """Zeros around (N, C, H, W). Source: torch.nn.ZeroPad2d."""

    dims = 2


class ZeroPad3d(_Pad):
    """Zeros around (N, C, D, H, W). Source: torch.nn.ZeroPad3d."""

    dims = 3


class _ConstantPad(_Pad):
    """A value of one's own around the input."""

    def __init__(self, padding: Widths, value: float) -> None:
        super().__init__(padding)
        self.value = value

    def extra_repr(self) -> str:
        """The widths and the value."""
        return f"padding={self.padding}, value={self.value}"


class ConstantPad1d(_ConstantPad):
    """A value around (N, C, L). Source: torch.nn.ConstantPad1d."""

    dims = 1


class ConstantPad2d(_ConstantPad):
    """A value around (N, C, H, W). Source: torch.nn.ConstantPad2d."""

    dims = 2


class ConstantPad3d(_ConstantPad):
    """A value around (N, C, D, H, W). Source: torch.nn.ConstantPad3d."""

    dims = 3


class ReflectionPad1d(_Pad):
    """The mirrored input around (N, C, L). Source: torch.nn.ReflectionPad1d."""

    dims, mode = 1, "reflect"


class ReflectionPad2d(_Pad):
    """The mirrored input around (N, C, H, W). Source: torch.nn.ReflectionPad2d."""

    dims, mode = 2, "reflect"


class ReflectionPad3d(_Pad):
    """The mirrored input around (N, C, D, H, W). Source: torch.nn.ReflectionPad3d."""

    dims, mode = 3, "reflect"


class ReplicationPad1d(_Pad):
    """The outermost values around (N, C, L). Source: torch.nn.ReplicationPad1d."""

    dims, mode = 1, "replicate"


class ReplicationPad2d(_Pad):
    """The outermost values around (N, C, H, W). Source: torch.nn.ReplicationPad2d."""

    dims, mode = 2, "replicate"


class ReplicationPad3d(_Pad):
    """The outermost values around (N, C, D, H, W). Source: torch.nn.ReplicationPad3d."""

    dims, mode = 3, "replicate"


class CircularPad1d(_Pad):
    """The opposite side around (N, C, L). Source: torch.nn.CircularPad1d."""

    dims, mode = 1, "circular"


class CircularPad2d(_Pad):
    """The opposite side around (N, C, H, W). Source: torch.nn.CircularPad2d."""

    dims, mode = 2, "circular"


class CircularPad3d(_Pad):
    """The opposite side around (N, C, D, H, W). Source: torch.nn.CircularPad3d."""

    dims, mode = 3, "circular"
