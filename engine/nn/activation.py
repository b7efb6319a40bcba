"""Activation layers."""

from __future__ import annotations

from typing import Any

from ..device import require_cpu
from ..dtype import DType
from ..tensor import Tensor
from . import functional as F
from . import init
from .module import Module
from .parameter import Parameter


class _InPlace(Module):
    """An activation without numbers of its own that may work in place."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def extra_repr(self) -> str:
        """Whether it works in place."""
        return "inplace=True" if self.inplace else ""


def _and_inplace(text: str, inplace: bool) -> str:
    return f"{text}, inplace=True" if inplace else text


class ReLU(_InPlace):
    """max(x, 0). Source: torch.nn.ReLU."""

    def forward(self, input: Tensor) -> Tensor:
        """Element by element."""
        return F.relu(input, self.inplace)


class ReLU6(_InPlace):
    """x between 0 and 6. Source: torch.nn.ReLU6."""

    def forward(self, input: Tensor) -> Tensor:
        """Element by element."""
        return F.relu6(input, self.inplace)


class SELU(_InPlace):
    """The scaled ELU that keeps mean 0 and variance 1. Source: torch.nn.SELU."""

    def forward(self, input: Tensor) -> Tensor:
        """Element by element."""
        return F.selu(input, self.inplace)


class SiLU(_InPlace):
    """x · sigmoid(x). Source: torch.nn.SiLU."""

    def forward(self, input: Tensor) -> Tensor:
        """Element by element."""
        return F.silu(input, self.inplace)


class Mish(_InPlace):
    """x · tanh(softplus(x)). Source: torch.nn.Mish."""

    def forward(self, input: Tensor) -> Tensor:
        """Element by element."""
        return F.mish(input, self.inplace)


class Hardswish(_InPlace):
    """x · hardsigmoid(x). Source: torch.nn.Hardswish."""

    def forward(self, input: Tensor) -> Tensor:
        """Element by element."""
        return F.hardswish(input, self.inplace)


class Hardsigmoid(_InPlace):
    """x / 6 + 1/2 between 0 and 1. Source: torch.nn.Hardsigmoid."""

    def forward(self, input: Tensor) -> Tensor:
        """Element by element."""
        return F.hardsigmoid(input, self.inplace)


class Hardtanh(Module):
    """x between two bounds. Source: torch.nn.Hardtanh."""

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self.min_val, self.max_val, self.inplace = min_val, max_val, inplace

    def forward(self, input: Tensor) -> Tensor:
        """Element by element."""
        return F.hardtanh(input, self.min_val, self.max_val, self.inplace)

    def extra_repr(self) -> str:
        """The bounds."""
        return _and_inplace(f"min_val={self.min_val}, max_val={self.max_val}", self.inplace)


class LeakyReLU(Module):
    """x, or negative_slope · x below 0. Source: torch.nn.LeakyReLU."""

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        super().__init__()
        self.negative_slope, self.inplace = negative_slope, inplace

    def forward(self, input: Tensor) -> Tensor:
        """Element by element."""
        return F.leaky_relu(input, self.negative_slope, self.inplace)

    def extra_repr(self) -> str:
        """The slope."""
        return _and_inplace(f"negative_slope={self.negative_slope}", self.inplace)


class PReLU(Module):
    """x, or a trained weight times x below 0. Source: torch.nn.PReLU."""

    def __init__(
        self, num_parameters: int = 1, init: float = 0.25, device: Any = None, dtype: DType | None = None
    ) -> None:
        super().__init__()
        require_cpu(device)
        self.num_parameters, self.init = num_parameters, init
        self.weight = Parameter.blank((num_parameters,), dtype)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set every weight to the initial value."""
        init.constant_(self.weight, self.init)

    def forward(self, input: Tensor) -> Tensor:
        """Element by element."""
        return F.prelu(input, self.weight)

    def extra_repr(self) -> str:
        """The number of weights."""
        return f"num_parameters={self.num_parameters}"


class _Alpha(Module):
    """An activation with a number `alpha`."""

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self.alpha, self.inplace = alpha, inplace

    def extra_repr(self) -> str:
        """The number."""
        return _and_inplace(f"alpha={self.alpha}", self.inplace)


class ELU(_Alpha):
    """x, or alpha · (exp(x) - 1) below 0. Source: torch.nn.ELU."""

    def forward(self, input: Tensor) -> Tensor:
        """Element by element."""
        return F.elu(input, self.alpha, self.inplace)


class CELU(_Alpha):
    """x, or alpha · (exp(x / alpha) - 1) below 0. Source: torch.nn.CELU."""

    def forward(self, input: Tensor) -> Tensor:
        """Element by element."""
        return F.celu(input, self.alpha, self.inplace)


class GELU(Module):
    """x · Φ(x), exact or approximated by "tanh". Source: torch.nn.GELU."""

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        self.approximate = approximate

    def forward(self, input: Tensor) -> Tensor:
        """Element by element."""
        return F.gelu(input, self.approximate)

    def extra_repr(self) -> str:
        """The approximation."""
        return f"approximate={self.approximate!r}"


class _Plain(Module):
    """An activation without options; as PyTorch's, it takes and forgets any."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()


class Sigmoid(_Plain):
    """1 / (1 + exp(-x)). Source: torch.nn.Sigmoid."""

    def forward(self, input: Tensor) -> Tensor:
        """Element by element."""
        return F.sigmoid(input)


class Tanh(_Plain):
    """The hyperbolic tangent. Source: torch.nn.Tanh."""

    def forward(self, input: Tensor) -> Tensor:
        """Element by element."""
        return F.tanh(input)


class Softsign(_Plain):
    """x / (1 + |x|). Source: torch.nn.Softsign."""

    def forward(self, input: Tensor) -> Tensor:
        """Element by element."""
        return F.softsign(input)


class Tanhshrink(_Plain):
    """x - tanh(x). Source: torch.nn.Tanhshrink."""

    def forward(self, input: Tensor) -> Tensor:
        """Element by element."""
        return F.tanhshrink(input)


class LogSigmoid(_Plain):
    """log(sigmoid(x)). Source: torch.nn.LogSigmoid."""

    def forward(self, input: Tensor) -> Tensor:
        """Element by element."""
        return F.logsigmoid(input)


class Softmax2d(_Plain):
    """Softmax over the channels of (N, C, H, W). Source: torch.nn.Softmax2d."""

    def forward(self, input: Tensor) -> Tensor:
        """At each place."""
        return F.softmax(input, -3)


class Softplus(Module):
    """log(1 + exp(beta · x)) / beta. Source: torch.nn.Softplus."""

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        super().__init__()
        self.beta, self.threshold = beta, threshold

    def forward(self, input: Tensor) -> Tensor:
        """Element by element."""
        return F.softplus(input, self.beta, self.threshold)

    def extra_repr(self) -> str:
        """The numbers."""
        return f"beta={self.beta}, threshold={self.threshold}"


class Threshold(Module):
    """x where it is above the threshold, else value. Source: torch.nn.Threshold."""

    def __init__(self, threshold: float, value: float, inplace: bool = False) -> None:
        super().__init__()
        self.threshold, self.value, self.inplace = threshold, value, inplace

    def forward(self, input: Tensor) -> Tensor:
        """Element by element."""
        return F.threshold(input, self.threshold, self.value, self.inplace)

    def extra_repr(self) -> str:
        """The numbers."""
        return _and_inplace(f"threshold={self.threshold}, value={self.value}", self.inplace)


class _Shrink(Module):
    """An activation with a number `lambd`."""

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = lambd

    def extra_repr(self) -> str:
        """The number."""
        return str(self.lambd)


class Hardshrink(_Shrink):
    """x, or 0 within lambd of it. Source: torch.nn.Hardshrink."""

    def forward(self, input: Tensor) -> Tensor:
        """Element by element."""
        return F.hardshrink(input, self.lambd)


class Softshrink(_Shrink):
    """x moved towards 0 by lambd, at most to it. Source: torch.nn.Softshrink."""

    def forward(self, input: Tensor) -> Tensor:
        """Element by element."""
        return F.softshrink(input, self.lambd)


class _Along(Module):
    """An activation along one dim."""

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def extra_repr(self) -> str:
        """The dim."""
        return f"dim={self.dim}"


class Softmax(_Along):
    """exp(x) over its sum along a dim. Source: torch.nn.Softmax."""

    def forward(self, input: Tensor) -> Tensor:
        """Along the dim."""
        return F.softmax(input, self.dim)


class LogSoftmax(_Along):
    """The logarithm of softmax. Source: torch.nn.LogSoftmax."""

    def forward(self, input: Tensor) -> Tensor:
        """Along the dim."""
        return F.log_softmax(input, self.dim)


class Softmin(_Along):
    """softmax(-x). Source: torch.nn.Softmin."""

    def forward(self, input: Tensor) -> Tensor:
        """Along the dim."""
        return F.softmin(input, self.dim)


class GLU(Module):
    """The first half along a dim times the sigmoid of the second. Source: torch.nn.GLU."""

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        """Half the size along the dim."""
        return F.glu(input, self.dim)

    def extra_repr(self) -> str:
        """The dim."""
        return f"dim={self.dim}"
