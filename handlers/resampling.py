"""Resizing arrays of pixels by a separable filter, as torch does it for tensors: one weight matrix a side."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def _triangle(x: Array) -> Array:
    weight: Array = np.clip(1 - np.abs(x), 0, None)
    return weight


def _cubic(a: float) -> Callable[[Array], Array]:
    def kernel(x: Array) -> Array:
        d = np.abs(x)
        near = ((a + 2) * d - (a + 3)) * d * d + 1
        far = ((d - 5) * d + 8) * d * a - 4 * a
        return np.where(d < 1, near, np.where(d < 2, far, 0))

    return kernel


# (kernel with antialiasing, kernel without, half width); torch's cubic is a = -0.5 with antialiasing and -0.75 without
_FILTERS: dict[str, tuple[Callable[[Array], Array], Callable[[Array], Array], int]] = {
    "bilinear": (_triangle, _triangle, 1),
    "bicubic": (_cubic(-0.5), _cubic(-0.75), 2),
}


def resample(pixels: Array, size: tuple[int, int], mode: str, antialias: bool) -> Array:
    """The last two axes of `pixels` at `size` (height, width), in the same dtype; 8-bit values are rounded.

    Raises: ValueError for a mode other than nearest, nearest-exact, bilinear and bicubic.
    """
    if mode in ("nearest", "nearest-exact"):
        rows, columns = (_nearest(old, new, mode) for old, new in zip(pixels.shape[-2:], size, strict=True))
        return pixels[..., rows[:, None], columns]
    if mode not in _FILTERS:
        raise ValueError(f"tensors are resized by nearest, nearest-exact, bilinear or bicubic, not by {mode}")
    down, across = (_weights(old, new, mode, antialias) for old, new in zip(pixels.shape[-2:], size, strict=True))
    result = down @ (pixels.astype(np.float64) @ across.T)
    if np.issubdtype(pixels.dtype, np.integer):
        limits = np.iinfo(pixels.dtype)
        result = np.clip(np.rint(result), limits.min, limits.max)
    return result.astype(pixels.dtype)


def _nearest(old: int, new: int, mode: str) -> npt.NDArray[np.intp]:
    shift = 0.5 if mode == "nearest-exact" else 0.0
    return np.minimum(((np.arange(new) + shift) * (old / new)).astype(np.intp), old - 1)


def _weights(old: int, new: int, mode: str, antialias: bool) -> Array:
    """(new, old): how much each old pixel counts for each new one."""
    smooth, sharp, half_width = _FILTERS[mode]
    scale = old / new
    stretch = max(scale, 1.0) if antialias else 1.0
    centres = (np.arange(new) + 0.5) * scale - 0.5
    if antialias:
        weights = smooth((np.arange(old) - centres[:, None]) / stretch)
    else:
        weights = _clamped(sharp, centres, old, half_width)
    weights /= weights.sum(axis=1, keepdims=True)
    return weights


def _clamped(kernel: Callable[[Array], Array], centres: Array, old: int, half_width: int) -> Array:
    """Weights where pixels beyond the edge are the edge's own."""
    weights = np.zeros((len(centres), old))
    first = np.floor(centres).astype(np.intp) - half_width + 1
    for tap in range(2 * half_width):
        at = first + tap
        np.add.at(weights, (np.arange(len(centres)), np.clip(at, 0, old - 1)), kernel(at - centres))
    return weights
