"""Padding, resizing, and channels turned into pixels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

from ...errors import ShapeError
from ...ops import shape, upsampling
from ...tensor import Tensor
from .shared import OptionalSize, many, one

SMOOTH = ("bilinear", "bicubic", "lanczos")
"""The modes of resizing that can take every pixel into account."""


def pad(input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Tensor:
    """Room before and after the last dims: (left, right, top, bottom, …), the last dim first."""
    if len(pad) % 2 or len(pad) > 2 * input.array.ndim:
        raise ShapeError(f"pad: {tuple(pad)} for input {input.shape}; expected 2 numbers a dim, for its last dims")
    pairs = [(int(pad[i]), int(pad[i + 1])) for i in range(0, len(pad), 2)]
    widths = ((0, 0),) * (input.array.ndim - len(pairs)) + tuple(reversed(pairs))
    return one(shape.pad, input, widths=widths, mode=mode, value=value or 0.0)


def interpolate(
    input: Tensor,
    size: OptionalSize = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Tensor:
    """Input (N, C, …) resized: nearest, nearest-exact, linear, bilinear, trilinear, bicubic or area.

    With `antialias`, for (N, C, H, W) alone: bilinear, bicubic or lanczos. All pixels count where fewer are made.
    """
    dims = input.array.ndim - 2
    if antialias and (dims != 2 or mode not in SMOOTH):
        raise ShapeError(f"interpolate: antialias=True takes (N, C, H, W) and {', '.join(SMOOTH)}; met {mode}")
    if (size is None) == (scale_factor is None):
        raise ShapeError("interpolate: expected either size or scale_factor")
    scales: tuple[float | None, ...] | None = None
    if size is not None:
        sizes = many(size, dims)
    else:
        factors = (
            tuple(scale_factor) if isinstance(scale_factor, (tuple, list)) else (cast(float, scale_factor),) * dims
        )
        sizes = tuple(math.floor(n * f) for n, f in zip(input.shape[2:], factors, strict=True))
        scales = None if recompute_scale_factor or mode == "area" else factors
    kind = {"bilinear": "linear", "trilinear": "linear", "bicubic": "cubic"}.get(mode, mode)
    kind = f"antialias-{kind}" if antialias else kind
    attributes = {"size": sizes, "mode": kind, "align_corners": bool(align_corners), "scales": scales}
    return one(upsampling.interpolate, input, **attributes)


def upsample(
    input: Tensor,
    size: OptionalSize = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
) -> Tensor:
    """interpolate() under its old name."""
    return interpolate(input, size, scale_factor, mode, align_corners)


def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """(…, C · f², H, W) → (…, C, H · f, W · f)."""
    if input.array.ndim < 3 or input.shape[-3] % upscale_factor**2:
        raise ShapeError(f"pixel_shuffle: input {input.shape}; expected channels in multiples of {upscale_factor**2}")
    return one(upsampling.pixel_shuffle, input, factor=upscale_factor)


def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    """(…, C, H · f, W · f) → (…, C · f², H, W)."""
    if input.array.ndim < 3 or any(n % downscale_factor for n in input.shape[-2:]):
        raise ShapeError(f"pixel_unshuffle: input {input.shape}; expected sizes in multiples of {downscale_factor}")
    return one(upsampling.pixel_unshuffle, input, factor=downscale_factor)


def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """input1ᵀ · weight[o] · input2 + bias, for each output o."""
    products = (input1.unsqueeze(-2).unsqueeze(-2) @ weight).squeeze(-2) * input2.unsqueeze(-2)
    out = products.sum(-1)
    return out if bias is None else out + bias


def channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """The channels of input (N, C, …) dealt out over the groups in turn."""
    n, c, *rest = input.shape
    return input.reshape(n, groups, c // groups, *rest).transpose(1, 2).reshape(n, c, *rest)
