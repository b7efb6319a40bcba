"""Resizing along the last dims: each dim is a small matrix, so that any linear rule has its gradient for nothing."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np

from ..dtype import Array
from ..errors import UnsupportedOpError
from .pooling import even_parts
from .primitive import primitive
from .windows import Ints

WORTH_PICKING = 100
"""Numbers in a row of a matrix, for each that is not 0, from which on picking these is faster than a product."""
Scales = tuple[float | None, ...]
Rule = Callable[[int, int, bool, float | None], Array]


@primitive
def interpolate(x: Array, *, size: Ints, mode: str, align_corners: bool = False, scales: Scales | None = None) -> Array:
    """x resized to `size` along its last dims; `scales` (out / in) replaces the ratio of the sizes where it is given.

    Modes: nearest, nearest-exact, linear, cubic, area; with antialias- before it, linear, cubic or lanczos, which take
    more inputs for an output where there are fewer of these. Source: torch.nn.functional.interpolate.
    """
    first = x.ndim - len(size)
    for dim, matrix in enumerate(matrices(x.shape[first:], size, mode, align_corners, scales)):
        if matrix is not None:
            x = _along(x, matrix, first + dim, mode.startswith("nearest"))
    return x


@interpolate.gradient
def _(
    g: Array, _out: None, _x: None, *, size: Ints, mode: str, align_corners: bool = False,
    scales: Scales | None = None, shapes: tuple[Ints],
) -> tuple[Array]:  # fmt: skip
    first = g.ndim - len(size)
    for dim, matrix in enumerate(matrices(shapes[0][first:], size, mode, align_corners, scales)):
        if matrix is not None:
            g = _along(g, matrix.T, first + dim)
    return (g,)


def _along(x: Array, matrix: Array, axis: int, single: bool = False) -> Array:
    """matrix @ x along an axis, or a choice of x where each row has a single 1."""
    if single:
        return np.asarray(np.take(x, matrix.argmax(1), axis))
    taps = int(np.count_nonzero(matrix, axis=1).max(initial=0))
    if WORTH_PICKING * taps < matrix.shape[1]:
        return _picked_along(x, matrix, axis, taps)
    return np.moveaxis(np.tensordot(x, matrix.astype(x.dtype), (axis, 1)), -1, axis)


def _picked_along(x: Array, matrix: Array, axis: int, taps: int) -> Array:
    """The same where each row has but a few numbers that are not 0."""
    places = np.argsort(-np.abs(matrix), axis=1, kind="stable")[:, :taps]
    weights = np.take_along_axis(matrix, places, 1).astype(x.dtype)
    shape = (-1, *(1,) * (x.ndim - axis - 1))
    total = np.take(x, places[:, 0], axis) * weights[:, 0].reshape(shape)
    for tap in range(1, taps):
        part = np.take(x, places[:, tap], axis)
        part *= weights[:, tap].reshape(shape)
        total += part
    return np.asarray(total)


def matrices(sizes: Ints, outs: Ints, mode: str, align: bool, scales: Scales | None) -> list[Array | None]:
    """A matrix (out, in) a dim; None where nothing changes."""
    if mode not in _RULES:
        raise UnsupportedOpError(f"interpolate: mode {mode!r} is not there; expected one of {', '.join(_RULES)}")
    given = scales or (None,) * len(sizes)
    return [
        None if size == out and scale in (None, 1) else _RULES[mode](size, out, align, scale)
        for size, out, scale in zip(sizes, outs, given, strict=True)
    ]


def _nearest(size: int, out: int, align: bool, scale: float | None) -> Array:
    return _picked(np.arange(out, dtype=np.float32) * _float_step(size, out, scale), size)


def _nearest_exact(size: int, out: int, align: bool, scale: float | None) -> Array:
    return _picked((np.arange(out, dtype=np.float32) + np.float32(0.5)) * _float_step(size, out, scale), size)


def _picked(at: Array, size: int) -> Array:
    return np.asarray(np.eye(size)[np.minimum(at.astype(int), size - 1)])


def _linear(size: int, out: int, align: bool, scale: float | None) -> Array:
    at = np.clip(_positions(size, out, align, scale), 0, size - 1)
    return np.asarray(np.maximum(0, 1 - np.abs(at[:, None] - np.arange(size))))


def _cubic(size: int, out: int, align: bool, scale: float | None) -> Array:
    """Keys' cubic convolution with a = -0.75; beyond the border the outermost value repeats."""
    at = _positions(size, out, align, scale)
    matrix = np.zeros((out, size))
    for offset in (-1, 0, 1, 2):
        neighbour = np.floor(at).astype(int) + offset
        np.add.at(matrix, (np.arange(out), np.clip(neighbour, 0, size - 1)), _keys(np.abs(at - neighbour)))
    return matrix


def _antialiased(function: Callable[[Array], Array]) -> Rule:
    """Inputs by their distance from where an output lies, in inputs, or in outputs where these are further apart."""

    def weights(size: int, out: int, align: bool, scale: float | None) -> Array:
        step = ((size - 1) / (out - 1) if out > 1 else 0.0) if align else _step(size, out, scale)
        centres = (np.arange(out) + 0.5) * step - 0.5
        found = function(np.abs(np.arange(size) - centres[:, None]) / max(step, 1.0))
        return np.asarray(found / found.sum(1, keepdims=True))

    return weights


def _triangle(distance: Array) -> Array:
    return np.asarray(np.maximum(0, 1 - distance))


def _lanczos(distance: Array) -> Array:
    return np.where(distance < 3, np.sinc(distance) * np.sinc(distance / 3), 0)


def _keys(distance: Array, a: float = -0.75) -> Array:
    near = ((a + 2) * distance - (a + 3)) * distance * distance + 1
    far = a * (((distance - 5) * distance + 8) * distance - 4)
    return np.where(distance <= 1, near, np.where(distance < 2, far, 0))


def _area(size: int, out: int, align: bool, scale: float | None) -> Array:
    matrix = np.zeros((out, size))
    for row, part in zip(matrix, even_parts(size, out), strict=True):
        row[part] = 1 / (part.stop - part.start)
    return matrix


def _positions(size: int, out: int, align: bool, scale: float | None) -> Array:
    """Where the outputs lie among the inputs."""
    if align:
        return np.arange(out) * ((size - 1) / (out - 1) if out > 1 else 0.0)
    return (np.arange(out) + 0.5) * _step(size, out, scale) - 0.5


def _step(size: int, out: int, scale: float | None) -> float:
    """Inputs an output."""
    return 1 / scale if scale else size / out


def _float_step(size: int, out: int, scale: float | None) -> np.float32:
    """_step() in float32, as PyTorch computes it where it decides ties."""
    return np.float32(1 / scale) if scale else np.float32(size) / np.float32(out)


_RULES: dict[str, Rule] = {
    "nearest": _nearest,
    "nearest-exact": _nearest_exact,
    "linear": _linear,
    "cubic": _cubic,
    "area": _area,
    "antialias-linear": _antialiased(_triangle),
    "antialias-cubic": _antialiased(partial(_keys, a=-0.5)),
    "antialias-lanczos": _antialiased(_lanczos),
}


@primitive
def pixel_shuffle(x: Array, *, factor: int) -> Array:
    """(…, C · f², H, W) → (…, C, H · f, W · f). Source: torch.nn.functional.pixel_shuffle."""
    *batch, channels, height, width = x.shape
    apart = x.reshape(math.prod(batch), channels // factor**2, factor, factor, height, width)
    return apart.transpose(0, 1, 4, 2, 5, 3).reshape(*batch, channels // factor**2, height * factor, width * factor)


@pixel_shuffle.gradient
def _(g: Array, _out: None, _x: None, *, factor: int) -> tuple[Array]:
    return (_unshuffled(g, factor),)


@primitive
def pixel_unshuffle(x: Array, *, factor: int) -> Array:
    """(…, C, H · f, W · f) → (…, C · f², H, W). Source: torch.nn.functional.pixel_unshuffle."""
    return _unshuffled(x, factor)


@pixel_unshuffle.gradient
def _(g: Array, _out: None, _x: None, *, factor: int) -> tuple[Array]:
    return (pixel_shuffle.kernel(g, factor=factor),)


def _unshuffled(x: Array, factor: int) -> Array:
    *batch, channels, height, width = x.shape
    apart = x.reshape(math.prod(batch), channels, height // factor, factor, width // factor, factor)
    together = apart.transpose(0, 1, 3, 5, 2, 4)
    return together.reshape(*batch, channels * factor**2, height // factor, width // factor)
