"""Pools, and resizing by other rules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..nn import functional
from ..tensor import Tensor
from .arguments import sizes
from .table import enter

Maybe = Tensor | None
Ints = int | Sequence[int]


def _max_pooled(dims: int, with_indices: bool) -> Any:
    function = getattr(functional, f"max_pool{dims}d")

    def max_pool(
        self: Tensor, kernel_size: Ints, stride: Ints = (), padding: Ints = 0, dilation: Ints = 1,
        ceil_mode: bool = False,
    ) -> Any:  # fmt: skip
        return function(
            self, sizes(kernel_size), sizes(stride), sizes(padding), sizes(dilation), ceil_mode, with_indices
        )

    return max_pool


def _avg_pooled(dims: int) -> Any:
    function = getattr(functional, f"avg_pool{dims}d")

    def avg_pool(
        self: Tensor, kernel_size: Ints, stride: Ints = (), padding: Ints = 0, ceil_mode: bool = False,
        count_include_pad: bool = True, divisor_override: int | None = None,
    ) -> Any:  # fmt: skip
        options = {} if dims == 1 else {"divisor_override": divisor_override}
        return function(
            self, sizes(kernel_size), sizes(stride), sizes(padding), ceil_mode, count_include_pad, **options
        )

    return avg_pool


def _adaptive(function: Any, with_indices: bool | None = None) -> Any:
    def adaptive(self: Tensor, output_size: Any) -> Any:
        wanted = output_size if isinstance(output_size, int) else tuple(output_size)
        return function(self, wanted) if with_indices is None else function(self, wanted, with_indices)

    return adaptive


for _dims in (1, 2, 3):
    enter(f"max_pool{_dims}d", _max_pooled(_dims, False))
    enter(f"max_pool{_dims}d_with_indices", _max_pooled(_dims, True))
    enter(f"avg_pool{_dims}d", _avg_pooled(_dims))
    enter(f"adaptive_max_pool{_dims}d", _adaptive(getattr(functional, f"adaptive_max_pool{_dims}d"), True))
    enter(f"adaptive_avg_pool{_dims}d", _adaptive(getattr(functional, f"adaptive_avg_pool{_dims}d")))
enter("_adaptive_avg_pool2d", _adaptive(functional.adaptive_avg_pool2d))
enter("_adaptive_avg_pool3d", _adaptive(functional.adaptive_avg_pool3d))


# Resizing


def _resized(mode: str, aligned: bool, antialias: bool = False) -> Any:
    """(size, align_corners, scales…) and the older (size, align_corners, [scales]); nearest has no align_corners."""

    def resized(input: Tensor, output_size: Any, *rest: Any, scale_factors: Any = None) -> Tensor:
        given = list(rest)
        corners = bool(given.pop(0)) if aligned else None
        factors = given[0] if given and isinstance(given[0], (list, tuple)) else scale_factors or given
        scales = [f for f in factors if f is not None]
        if output_size is None:
            return functional.interpolate(input, None, tuple(scales), mode, corners, antialias=antialias)
        wanted = sizes(output_size)
        if len(scales) == len(wanted):
            return functional.interpolate(input, None, tuple(scales), mode, corners, antialias=antialias)
        return functional.interpolate(input, wanted, None, mode, corners, antialias=antialias)

    return resized


for _name, _mode, _has_corners in (
    ("upsample_nearest1d", "nearest", False), ("upsample_nearest2d", "nearest", False),
    ("upsample_nearest3d", "nearest", False), ("_upsample_nearest_exact1d", "nearest-exact", False),
    ("_upsample_nearest_exact2d", "nearest-exact", False), ("_upsample_nearest_exact3d", "nearest-exact", False),
    ("upsample_linear1d", "linear", True), ("upsample_bilinear2d", "bilinear", True),
    ("upsample_trilinear3d", "trilinear", True), ("upsample_bicubic2d", "bicubic", True),
):  # fmt: skip
    enter(_name, _resized(_mode, _has_corners))
for _mode in ("bilinear", "bicubic", "lanczos"):
    enter(f"_upsample_{_mode}2d_aa", _resized(_mode, True, True))

enter("pixel_shuffle", functional.pixel_shuffle)
enter("pixel_unshuffle", functional.pixel_unshuffle)
enter("channel_shuffle", functional.channel_shuffle)
