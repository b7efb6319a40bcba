"""Activations."""

from __future__ import annotations

from typing import Any

from ..dtype import DType
from ..nn import functional
from ..ops import activation
from ..tensor import Tensor, apply
from .arguments import dtype_of
from .table import aten, enter, in_place

ACTIVATIONS = (
    "celu", "gelu", "glu", "hardshrink", "hardsigmoid", "hardswish", "hardtanh", "leaky_relu", "mish", "prelu",
    "relu6", "selu", "silu", "softplus", "softshrink", "threshold",
)  # fmt: skip
for _name in ACTIVATIONS:
    enter(_name, getattr(functional, _name))
enter("log_sigmoid", functional.logsigmoid)


@aten("elu")
def _(self: Tensor, alpha: Any = 1, scale: Any = 1, input_scale: Any = 1) -> Any:
    return apply(activation.elu, self, alpha=alpha, scale=scale, input_scale=input_scale)


@aten("softmax", "_softmax", "special_softmax", "_safe_softmax")
def _(self: Tensor, dim: int, dtype: DType | int | bool | None = None) -> Tensor:
    return _typed(self, dtype).softmax(dim)


@aten("log_softmax", "_log_softmax")
def _(self: Tensor, dim: int, dtype: DType | int | bool | None = None) -> Tensor:
    return _typed(self, dtype).log_softmax(dim)


def _typed(self: Tensor, dtype: DType | int | bool | None) -> Tensor:
    """In another dtype; the inner forms tell by False that there is none."""
    wanted = None if isinstance(dtype, bool) else dtype_of(dtype)
    return self if wanted is None else self.to(wanted)


# Those whose form in place PyTorch has.
IN_PLACE = (
    "celu", "elu", "gelu", "hardsigmoid", "hardswish", "hardtanh", "leaky_relu", "mish", "relu6", "selu", "silu",
    "threshold",
)  # fmt: skip
for _name in IN_PLACE:
    enter(f"{_name}_", in_place(_name))
enter("relu_", functional.relu_)
