"""Layers that drop values at random in training, and do nothing else."""

from __future__ import annotations

from ..errors import EngineError
from ..tensor import Tensor
from . import functional as F
from .module import Module


class _Dropout(Module):
    """What all of them keep."""

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise EngineError(f"{type(self).__name__}: expected a probability between 0 and 1, met {p}")
        self.p, self.inplace = p, inplace

    def extra_repr(self) -> str:
        """The probability."""
        return f"p={self.p}, inplace={self.inplace}"


class Dropout(_Dropout):
    """Each element zero with probability p. Source: torch.nn.Dropout."""

    def forward(self, input: Tensor) -> Tensor:
        """The input itself outside training."""
        return F.dropout(input, self.p, self.training, self.inplace)


class Dropout1d(_Dropout):
    """Whole channels of (N, C, L) zero with probability p. Source: torch.nn.Dropout1d."""

    def forward(self, input: Tensor) -> Tensor:
        """The input itself outside training."""
        return F.dropout1d(input, self.p, self.training, self.inplace)


class Dropout2d(_Dropout):
    """Whole channels of (N, C, H, W) zero with probability p. Source: torch.nn.Dropout2d."""

    def forward(self, input: Tensor) -> Tensor:
        """The input itself outside training."""
        return F.dropout2d(input, self.p, self.training, self.inplace)


class Dropout3d(_Dropout):
    """Whole channels of (N, C, D, H, W) zero with probability p. Source: torch.nn.Dropout3d."""

    def forward(self, input: Tensor) -> Tensor:
        """The input itself outside training."""
        return F.dropout3d(input, self.p, self.training, self.inplace)


class AlphaDropout(_Dropout):
    """Dropout that keeps the mean and variance of SELU's outputs. Source: torch.nn.AlphaDropout."""

    def forward(self, input: Tensor) -> Tensor:
        """The input itself outside training."""
        return F.alpha_dropout(input, self.p, self.training, self.inplace)
