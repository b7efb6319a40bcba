"""Dropout of elements and of channels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...errors import ShapeError
from ...random import dropout_mask
from ...tensor import Tensor


def _dropped(input: Tensor, p: float, mask_shape: Sequence[int], inplace: bool) -> Tensor:
    if not 0 <= p <= 1:
        raise ShapeError(f"dropout: expected a probability between 0 and 1, met {p}")
    if p == 1:
        mask = np.zeros(tuple(mask_shape), input.array.dtype)
    else:
        mask = dropout_mask(mask_shape, 1 - p, input.array.dtype)
    return input.mul_(Tensor(mask)) if inplace else input * Tensor(mask)


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """In training, each element zero with probability p, else x / (1 - p)."""
    return _dropped(input, p, input.shape, inplace) if training and p else input


def _dropout_channels(dims: int, input: Tensor, p: float, training: bool, inplace: bool) -> Tensor:
    if not training or not p:
        return input
    lead = input.array.ndim - dims
    return _dropped(input, p, (*input.shape[:lead], *(1,) * dims), inplace)


def dropout1d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """In training, whole channels of (N, C, L) zero with probability p."""
    return _dropout_channels(1, input, p, training, inplace)


def dropout2d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """In training, whole channels of (N, C, H, W) zero with probability p."""
    return _dropout_channels(2, input, p, training, inplace)


def dropout3d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """In training, whole channels of (N, C, D, H, W) zero with probability p."""
    return _dropout_channels(3, input, p, training, inplace)


def alpha_dropout(input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False) -> Tensor:
    """In training, dropout that keeps the mean and variance of SELU's outputs."""
    if not training or not p:
        return input
    floor = -1.7580993408473766
    kept = dropout_mask(input.shape, 1 - p, input.array.dtype) > 0
    scale = ((1 - p) * (1 + p * floor**2)) ** -0.5
    shift = Tensor(np.where(kept, 0, floor).astype(input.array.dtype))
    out = (input * Tensor(kept.astype(input.array.dtype)) + shift) * scale - scale * p * floor
    return input.copy_(out) if inplace else out
