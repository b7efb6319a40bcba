"""Normalisations: values brought to mean 0 and variance 1 over some dims, then scaled and shifted."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..dtype import Array
from ..errors import ShapeError
from .primitive import primitive
from .windows import Ints, channels_last

CHUNK_BYTES = 400_000
Triple = tuple[Array | None, Array | None, Array | None]


@primitive
def batch_norm(
    x: Array, weight: Array | None, bias: Array | None, mean: Array, variance: Array, *, eps: float
) -> Array:
    """x (N, C, …) normalised by given statistics of its channels. Source: torch.nn.functional.batch_norm."""
    _check_channels("batch_norm", x, weight, bias, mean, variance)
    scale = 1 / np.sqrt(variance + eps)
    if weight is not None:
        scale = scale * weight
    shift = -mean * scale
    if bias is not None:
        shift = shift + bias
    return _scaled(x, scale.astype(x.dtype), shift.astype(x.dtype))


@batch_norm.gradient
def _(
    g: Array, _out: None, x: Array, weight: Array | None, _bias: None, mean: Array, variance: Array, *,
    eps: float, needs: Sequence[bool],
) -> tuple[Array | None, ...]:  # fmt: skip
    factor = 1 / np.sqrt(variance + eps)
    scale = factor if weight is None else factor * weight
    axes = _all_but_channels(x)
    along = (g * (x - _channels(mean, x))).sum(axis=axes) if needs[1] or needs[4] else np.zeros_like(mean)
    total = g.sum(axis=axes) if needs[2] or needs[3] else np.zeros_like(mean)
    over_x = g * _channels(scale, x) if needs[0] else None
    return over_x, along * factor, total, -total * scale, -0.5 * along * scale * factor**2


@primitive
def batch_norm_of_batch(
    x: Array, weight: Array | None, bias: Array | None, *, eps: float
) -> tuple[Array, Array, Array]:
    """x (N, C, …) normalised by its own channels' statistics, and these: the mean and the (biased) variance."""
    _check_channels("batch_norm", x, weight, bias)
    axes = _all_but_channels(x)
    mean, variance = x.mean(axis=axes), x.var(axis=axes)
    return batch_norm.kernel(x, weight, bias, mean, variance, eps=eps), mean, variance


@batch_norm_of_batch.gradient
def _(g: tuple[Array | None, ...], _out: None, x: Array, weight: Array | None, _bias: None, *, eps: float) -> Triple:
    axes = _all_but_channels(x)
    unit, factor = _standard(x, axes, eps)
    over_out = np.zeros_like(x) if g[0] is None else g[0]
    scaled = over_out if weight is None else over_out * _channels(weight, x)
    over_x = _back(scaled, unit, factor, axes)
    count = x.size / max(1, x.shape[1])
    if g[1] is not None:
        over_x = over_x + _channels(g[1], x) / count
    if g[2] is not None:
        over_x = over_x + _channels(g[2], x) * 2 * (x - x.mean(axis=axes, keepdims=True)) / count
    return over_x, (over_out * unit).sum(axis=axes), over_out.sum(axis=axes)


@primitive
def layer_norm(x: Array, weight: Array | None, bias: Array | None, *, dims: int, eps: float) -> Array:
    """x normalised over its last `dims` dims. Source: torch.nn.functional.layer_norm."""
    _check_last("layer_norm", x, dims, weight, bias)
    unit, _ = _standard(x, _last(x, dims), eps)
    return _affine(unit, weight, bias)


@layer_norm.gradient
def _(g: Array, _out: None, x: Array, weight: Array | None, _bias: None, *, dims: int, eps: float) -> Triple:
    axes = _last(x, dims)
    unit, factor = _standard(x, axes, eps)
    before = tuple(range(x.ndim - dims))
    over_x = _back(g if weight is None else g * weight, unit, factor, axes)
    return over_x, (g * unit).sum(axis=before), g.sum(axis=before)


@primitive
def rms_norm(x: Array, weight: Array | None, *, dims: int, eps: float | None) -> Array:
    """x over the root of its mean square over its last `dims` dims. Source: torch.nn.functional.rms_norm."""
    _check_last("rms_norm", x, dims, weight)
    return _affine(x * _root_mean_square(x, dims, eps), weight, None)


@rms_norm.gradient
def _(
    g: Array, _out: None, x: Array, weight: Array | None, *, dims: int, eps: float | None
) -> tuple[Array | None, Array | None]:
    factor = _root_mean_square(x, dims, eps)
    unit = x * factor
    scaled = g if weight is None else g * weight
    over_x = factor * (scaled - unit * (scaled * unit).mean(axis=_last(x, dims), keepdims=True))
    return over_x, (g * unit).sum(axis=tuple(range(x.ndim - dims)))


def _root_mean_square(x: Array, dims: int, eps: float | None) -> Array:
    """1 / the root mean square."""
    eps = float(np.finfo(x.dtype).eps) if eps is None else eps
    return np.asarray(1 / np.sqrt(np.square(x).mean(axis=_last(x, dims), keepdims=True) + x.dtype.type(eps)))


@primitive
def group_norm(x: Array, weight: Array | None, bias: Array | None, *, groups: int, eps: float) -> Array:
    """x (N, C, …) normalised over each of `groups` groups of channels. Source: torch.nn.functional.group_norm."""
    _check_channels("group_norm", x, weight, bias)
    if groups < 1 or x.shape[1] % groups:
        raise ShapeError(f"group_norm: {x.shape[1]} channels of input {x.shape} cannot be divided into {groups} groups")
    apart = _grouped(x, groups)
    unit, _ = _standard(apart, tuple(range(2, apart.ndim)), eps)
    return _affine(unit.reshape(x.shape), *(None if p is None else _channels(p, x) for p in (weight, bias)))


@group_norm.gradient
def _(g: Array, _out: None, x: Array, weight: Array | None, _bias: None, *, groups: int, eps: float) -> Triple:
    apart = _grouped(x, groups)
    axes = tuple(range(2, apart.ndim))
    unit, factor = _standard(apart, axes, eps)
    scaled = g if weight is None else g * _channels(weight, x)
    over_x = _back(_grouped(scaled, groups), unit, factor, axes).reshape(x.shape)
    over_weight = (g * unit.reshape(x.shape)).sum(axis=_all_but_channels(x))
    return over_x, over_weight, g.sum(axis=_all_but_channels(x))


def _grouped(x: Array, groups: int) -> Array:
    return x.reshape(len(x), groups, x.shape[1] // groups, *x.shape[2:])


@primitive
def local_response_norm(x: Array, *, size: int, alpha: float, beta: float, k: float) -> Array:
    """x (N, C, …) over a power of the squares of `size` neighbouring channels.

    Source: torch.nn.functional.local_response_norm; ONNX LRN-13.
    """
    return np.asarray(x / _response(x, size, alpha, k) ** beta)


@local_response_norm.gradient
def _(g: Array, out: Array, x: Array, *, size: int, alpha: float, beta: float, k: float) -> tuple[Array]:
    response = _response(x, size, alpha, k)
    inner = _neighbours(g * out / response, size, back=True)
    return (g * response**-beta - (2 * alpha * beta / size) * x * inner,)


def _response(x: Array, size: int, alpha: float, k: float) -> Array:
    return np.asarray(k + alpha / size * _neighbours(x * x, size))


def _neighbours(x: Array, size: int, back: bool = False) -> Array:
    """Sums over channels c - size // 2 … c + (size - 1) // 2, or of the channels that have c among these."""
    below, above = size // 2, (size - 1) // 2
    if back:
        below, above = above, below
    total = np.zeros_like(x)
    for offset in range(-below, above + 1):
        here, there = (slice(max(0, -o), x.shape[1] - max(0, o)) for o in (offset, -offset))
        total[:, here] += x[:, there]
    return total


def _scaled(x: Array, scale: Array, shift: Array) -> Array:
    """x · scale + shift by channel; over channels-last memory in chunks that stay in the cache for both steps."""
    if not channels_last(x):
        out = x * _channels(scale, x)
        out += _channels(shift, x)
        return out
    pixels = np.moveaxis(x, 1, -1)
    rows, into = pixels.reshape(-1, x.shape[1]), np.empty((x.size // max(1, x.shape[1]), x.shape[1]), x.dtype)
    step = max(1, CHUNK_BYTES // max(1, rows[:1].nbytes))
    for start in range(0, len(rows), step):
        chunk = np.multiply(rows[start : start + step], scale, out=into[start : start + step])
        chunk += shift
    return np.moveaxis(into.reshape(pixels.shape), -1, 1)


def _standard(x: Array, axes: Ints, eps: float) -> tuple[Array, Array]:
    """x at mean 0 and variance 1 over the axes, and the factor that did the latter."""
    wide = x.astype(np.float32) if x.dtype == np.float16 else x
    unit = wide - wide.mean(axis=axes, keepdims=True)
    factor = 1 / np.sqrt(np.square(unit).mean(axis=axes, keepdims=True) + wide.dtype.type(eps))
    unit *= factor
    return unit.astype(x.dtype, copy=False), factor.astype(x.dtype, copy=False)


def _back(g: Array, unit: Array, factor: Array, axes: Ints) -> Array:
    """The gradient of x from that of _standard()'s result."""
    mean = g.mean(axis=axes, keepdims=True)
    along = (g * unit).mean(axis=axes, keepdims=True)
    return np.asarray(factor * (g - mean - unit * along))


def _affine(unit: Array, weight: Array | None, bias: Array | None) -> Array:
    if weight is not None:
        unit *= weight
    if bias is not None:
        unit += bias
    return unit


def _last(x: Array, dims: int) -> Ints:
    return tuple(range(x.ndim - dims, x.ndim))


def _all_but_channels(x: Array) -> Ints:
    return (0, *range(2, x.ndim))


def _channels(values: Array, x: Array) -> Array:
    """One value a channel, to broadcast against x (N, C, …)."""
    return values.reshape(1, -1, *(1,) * (x.ndim - 2))


def _check_channels(name: str, x: Array, *values: Array | None) -> None:
    if x.ndim < 2:
        raise ShapeError(f"{name}: input {x.shape} has no channels; expected (N, C, …)")
    for value in values:
        if value is not None and value.shape != (x.shape[1],):
            raise ShapeError(f"{name}: input {x.shape} has {x.shape[1]} channels, met values for {value.shape}")


def _check_last(name: str, x: Array, dims: int, *values: Array | None) -> None:
    for value in values:
        if value is not None and value.shape != x.shape[x.ndim - dims :]:
            raise ShapeError(f"{name}: input {x.shape} must end in the normalized shape {value.shape}")
    if x.ndim < dims or not math.prod(x.shape[x.ndim - dims :]):
        raise ShapeError(f"{name}: input {x.shape} has nothing to normalise over its last {dims} dims")
