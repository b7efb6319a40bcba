"""Normalisations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..nn import functional
from ..tensor import Tensor
from .arguments import sizes
from .table import aten

Maybe = Tensor | None
Ints = int | Sequence[int]


@aten("batch_norm")
def batch_norm(
    input: Tensor, weight: Maybe, bias: Maybe, running_mean: Maybe, running_var: Maybe, training: bool,
    momentum: float, eps: float, cudnn_enabled: bool = False,
) -> Tensor:  # fmt: skip
    """With statistics of the batch in training, and where none are kept."""
    own = training or running_mean is None
    return functional.batch_norm(input, running_mean, running_var, weight, bias, own, momentum, eps)


@aten("_native_batch_norm_legit_no_training")
def _(
    input: Tensor, weight: Maybe, bias: Maybe, running_mean: Tensor, running_var: Tensor, momentum: float, eps: float
) -> tuple[Any, ...]:
    empty = running_mean[:0]
    return batch_norm(input, weight, bias, running_mean, running_var, False, momentum, eps), empty, empty


@aten("instance_norm")
def _(
    input: Tensor, weight: Maybe, bias: Maybe, running_mean: Maybe, running_var: Maybe, use_input_stats: bool,
    momentum: float, eps: float, cudnn_enabled: bool = False,
) -> Tensor:  # fmt: skip
    return functional.instance_norm(input, running_mean, running_var, weight, bias, use_input_stats, momentum, eps)


@aten("layer_norm")
def layer_norm(
    input: Tensor, normalized_shape: Sequence[int], weight: Maybe = None, bias: Maybe = None, eps: float = 1e-05,
    cudnn_enable: bool = True,
) -> Tensor:  # fmt: skip
    """Over the last dims."""
    return functional.layer_norm(input, sizes(normalized_shape), weight, bias, eps)


@aten("native_layer_norm")
def _(input: Tensor, normalized_shape: Sequence[int], weight: Maybe, bias: Maybe, eps: float) -> tuple[Any, ...]:
    return layer_norm(input, normalized_shape, weight, bias, eps), None, None


@aten("native_group_norm")
def _(input: Tensor, weight: Maybe, bias: Maybe, N: int, C: int, HxW: int, group: int, eps: float) -> tuple[Any, ...]:
    return functional.group_norm(input, group, weight, bias, eps), None, None


@aten("rms_norm")
def _(input: Tensor, normalized_shape: Sequence[int], weight: Maybe = None, eps: float | None = None) -> Tensor:
    return functional.rms_norm(input, sizes(normalized_shape), weight, eps)


@aten("group_norm")
def _(
    input: Tensor, num_groups: int, weight: Maybe = None, bias: Maybe = None, eps: float = 1e-05,
    cudnn_enabled: bool = True,
) -> Tensor:  # fmt: skip
    return functional.group_norm(input, num_groups, weight, bias, eps)
