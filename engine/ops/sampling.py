"""The primitive that samples images at any places."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator

import numpy as np

from ..dtype import Array
from ..errors import DtypeError, ShapeError
from .primitive import primitive

_MODES = {"nearest": (0,), "bilinear": (0, 1), "bicubic": (-1, 0, 1, 2)}
_BORDERS = ("zeros", "border", "reflection")


@primitive
def grid_sample(
    x: Array, grid: Array, *, mode: str = "bilinear", padding_mode: str = "zeros", align_corners: bool = False
) -> Array:
    """x at the places of a grid, whose coordinates go from -1 at one side to 1 at the other.

    Shapes: x (N, C, H, W), grid (N, H′, W′, 2), its last dim being (x, y) → (N, C, H′, W′); likewise with three dims.
    What lies outside is 0 ("zeros"), the outermost ("border"), or mirrored ("reflection").
    Source: torch.nn.functional.grid_sample; ONNX GridSample-20.
    """
    _check(x, grid, mode, padding_mode)
    flat = x.reshape(*x.shape[:2], -1)
    out = np.zeros((*x.shape[:2], math.prod(grid.shape[1:-1])), x.dtype)
    for index, weight, _ in _taps(x.shape[2:], grid, mode, padding_mode, align_corners):
        out += np.take_along_axis(flat, index, 2) * weight.astype(x.dtype)
    return out.reshape(*x.shape[:2], *grid.shape[1:-1])


@grid_sample.gradient
def _(
    g: Array, _out: None, x: Array, grid: Array, *, mode: str = "bilinear", padding_mode: str = "zeros",
    align_corners: bool = False,
) -> tuple[Array, Array]:  # fmt: skip
    flat, rows = x.reshape(*x.shape[:2], -1), g.reshape(*g.shape[:2], -1)
    over_x, over_grid = np.zeros_like(flat), np.zeros_like(grid)
    images = np.arange(len(x))[:, None, None], np.arange(x.shape[1])[:, None]
    for index, weight, slopes in _taps(x.shape[2:], grid, mode, padding_mode, align_corners):
        np.add.at(over_x, (*images, index), rows * weight)
        along = (np.take_along_axis(flat, index, 2) * rows).sum(1)
        for d, slope in enumerate(slopes):
            over_grid[..., -1 - d] += (along * slope[:, 0]).reshape(grid.shape[:-1])
    return over_x.reshape(x.shape), over_grid


def _taps(
    sizes: tuple[int, ...], grid: Array, mode: str, border: str, align: bool
) -> Iterator[tuple[Array, Array, list[Array]]]:
    """Each pixel that counts for a place: where it is, its weight, and how this grows with each coordinate."""
    dims = range(len(sizes))
    places, growth = [], []
    for d, size in enumerate(sizes):
        place, step = _at(grid[..., -1 - d], size, align), (size - 1 if align else size) / 2
        # Bicubic taps are brought inside one by one.
        place, sign = (place, np.ones_like(place)) if mode == "bicubic" else _inside(place, size, border, align)
        places.append(place)
        growth.append(sign * step)
    first = [np.round(p) if mode == "nearest" else np.floor(p) for p in places]
    for taps in itertools.product(_MODES[mode], repeat=len(sizes)):
        index, seen = np.zeros(grid.shape[:-1], np.int64), np.ones(grid.shape[:-1], bool)
        weights, slopes = [], []
        for d in dims:
            distance = places[d] - (first[d] + taps[d])
            weights.append(_WEIGHTS[mode](distance))
            slopes.append(_SLOPES[mode](distance, taps[d]) * growth[d])
            point = first[d] + taps[d]
            if mode == "bicubic":
                point = np.round(_inside(point, sizes[d], border, align)[0])
            seen &= (point >= 0) & (point <= sizes[d] - 1)
            index = index * sizes[d] + np.clip(np.nan_to_num(point), 0, sizes[d] - 1).astype(np.int64)
        weight = np.where(seen, math.prod(weights), 0)
        over = [np.where(seen, math.prod([slopes[d], *weights[:d], *weights[d + 1 :]]), 0) for d in dims]
        shape = (len(grid), 1, -1)
        yield index.reshape(shape), weight.reshape(shape), [o.reshape(shape) for o in over]


def _check(x: Array, grid: Array, mode: str, padding_mode: str) -> None:
    if x.ndim not in (4, 5) or grid.ndim != x.ndim or grid.shape[0] != x.shape[0] or grid.shape[-1] != x.ndim - 2:
        raise ShapeError(f"grid_sample: input {x.shape} by a grid of {grid.shape}; expected (N, …, {x.ndim - 2})")
    if not x.size and x.shape[0] * x.shape[1]:
        raise ShapeError(f"grid_sample: input {x.shape} has no pixels")
    if mode not in _MODES or padding_mode not in _BORDERS:
        raise ShapeError(f"grid_sample: mode {mode!r} and padding_mode {padding_mode!r} are not there")
    if x.dtype.kind != "f" or grid.dtype.kind != "f":
        raise DtypeError(f"grid_sample: input {x.dtype} by a grid of {grid.dtype}; expected floats")


def _at(coordinate: Array, size: int, align: bool) -> Array:
    """Coordinates from -1 to 1 as places among the pixels."""
    return (coordinate + 1) / 2 * (size - 1) if align else ((coordinate + 1) * size - 1) / 2


def _inside(place: Array, size: int, border: str, align: bool) -> tuple[Array, Array]:
    """Places brought inside the image, and how they still follow: 1, -1 where mirrored, 0 at the edge."""
    sign = np.ones_like(place)
    if border == "zeros":
        return place, sign
    if border == "reflection":
        low, span = (0.0, size - 1) if align else (-0.5, size)
        if not span:
            return np.zeros_like(place), np.zeros_like(place)
        turns = np.abs(place - low)
        rest, even = np.fmod(turns, span), np.floor(turns / span) % 2 == 0
        sign = np.where(even, 1, -1) * np.where(place < low, -1, 1).astype(place.dtype)
        place = np.where(even, rest + low, span - rest + low)
    return np.clip(place, 0, size - 1), np.where((place > 0) & (place < size - 1), sign, 0)


def _cubic(t: Array, a: float = -0.75) -> Array:
    """Keys' kernel."""
    d = np.abs(t)
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = a * (((d - 5) * d + 8) * d - 4)
    return np.where(d <= 1, near, np.where(d < 2, far, 0))


def _cubic_slope(t: Array, _tap: int, a: float = -0.75) -> Array:
    d = np.abs(t)
    near, far = (3 * (a + 2) * d - 2 * (a + 3)) * d, a * ((3 * d - 10) * d + 8)
    return np.sign(t) * np.where(d <= 1, near, np.where(d < 2, far, 0))


_WEIGHTS: dict[str, Callable[[Array], Array]] = {
    "nearest": np.ones_like,
    "bilinear": lambda t: 1 - np.abs(t),
    "bicubic": _cubic,
}
_SLOPES: dict[str, Callable[[Array, int], Array]] = {
    "nearest": lambda t, _: np.zeros_like(t),
    "bilinear": lambda t, tap: np.full_like(t, 1 if tap else -1),
    "bicubic": _cubic_slope,
}
