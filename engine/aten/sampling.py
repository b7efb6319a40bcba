"""Sampling at the places of a grid, and windows of images as columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..functions import stack
from ..ops.sampling import grid_sample
from ..tensor import Tensor, apply
from .arguments import sizes
from .table import aten

_MODES = ("bilinear", "nearest", "bicubic")
_PADDINGS = ("zeros", "border", "reflection")


@aten("grid_sampler", "grid_sampler_2d", "grid_sampler_3d")
def _(input: Tensor, grid: Tensor, interpolation_mode: int, padding_mode: int, align_corners: bool) -> Any:
    mode, padding = _MODES[interpolation_mode], _PADDINGS[padding_mode]
    return apply(grid_sample, input, grid, mode=mode, padding_mode=padding, align_corners=align_corners)


@aten("affine_grid_generator")
def _(theta: Tensor, size: Sequence[int], align_corners: bool) -> Any:
    """The places (…, x, y, 1) of an image from -1 to 1, moved by a matrix for each item of the batch."""
    lines = []
    for count in reversed(sizes(size)[2:]):
        ends = 1.0 if align_corners else 1 - 1 / count
        lines.append(np.linspace(-ends, ends, count) if count > 1 else np.zeros(1))
    grids = np.meshgrid(*reversed(lines), indexing="ij")
    places = np.stack([*reversed(grids), np.ones_like(grids[0])], -1).astype(theta.array.dtype)
    flat = Tensor(places.reshape(1, -1, places.shape[-1]))
    return flat.matmul(theta.transpose(1, 2)).reshape(size[0], *places.shape[:-1], places.shape[-1] - 1)


@aten("im2col")
def _(
    self: Tensor, kernel_size: Sequence[int], dilation: Sequence[int], padding: Sequence[int], stride: Sequence[int]
) -> Any:
    """The windows of (N, C, H, W) as columns: (N, C · kH · kW, windows)."""
    (kh, kw), (dh, dw), (ph, pw), (sh, sw) = kernel_size, dilation, padding, stride
    x: Any = self if self.dim() == 4 else self.unsqueeze(0)
    padded = x.new_zeros([*x.shape[:2], x.shape[2] + 2 * ph, x.shape[3] + 2 * pw])
    padded[:, :, ph : ph + x.shape[2], pw : pw + x.shape[3]] = x
    high = (padded.shape[2] - dh * (kh - 1) - 1) // sh + 1
    wide = (padded.shape[3] - dw * (kw - 1) - 1) // sw + 1
    parts = [
        padded[:, :, i * dh : i * dh + sh * (high - 1) + 1 : sh, j * dw : j * dw + sw * (wide - 1) + 1 : sw]
        for i in range(kh)
        for j in range(kw)
    ]
    columns = stack(parts, 2).reshape(x.shape[0], -1, high * wide)
    return columns if self.dim() == 4 else columns.squeeze(0)
