"""Normalisations by batch, channel, group and row."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ...errors import ShapeError
from ...ops import normalization
from ...tensor import Tensor, apply
from .distance import norm_along
from .shared import changed, one


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
        return one(normalization.batch_norm, input, weight, bias, running_mean, running_var, eps=eps)
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
    changed(running)


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
    return one(normalization.group_norm, input, weight, bias, groups=input.shape[1], eps=eps)


def layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Input normalised over its last dims, which are `normalized_shape`."""
    _check_ends("layer_norm", input, normalized_shape)
    return one(normalization.layer_norm, input, weight, bias, dims=len(normalized_shape), eps=eps)


def rms_norm(
    input: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None, eps: float | None = None
) -> Tensor:
    """Input over the root of its mean square over its last dims, which are `normalized_shape`."""
    _check_ends("rms_norm", input, normalized_shape)
    return one(normalization.rms_norm, input, weight, dims=len(normalized_shape), eps=eps)


def _check_ends(name: str, input: Tensor, normalized_shape: Sequence[int]) -> None:
    if tuple(input.shape[-len(normalized_shape) :]) != tuple(normalized_shape):
        raise ShapeError(f"{name}: input {input.shape} does not end in the normalized shape {tuple(normalized_shape)}")


def group_norm(
    input: Tensor, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5
) -> Tensor:
    """Input (N, C, …) normalised over each group of channels."""
    return one(normalization.group_norm, input, weight, bias, groups=num_groups, eps=eps)


def local_response_norm(input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Tensor:
    """Input (N, C, …) over a power of the squares of `size` neighbouring channels."""
    return one(normalization.local_response_norm, input, size=size, alpha=alpha, beta=beta, k=k)


def normalize(input: Tensor, p: float = 2.0, dim: int = 1, eps: float = 1e-12) -> Tensor:
    """Input over its p-norm along a dim."""
    return input / norm_along(input, p, dim, True).clamp(min=eps)
