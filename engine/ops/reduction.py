"""Primitives that fold dims into one number each: sums, extremes, and what is made of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..dtype import Array, DType
from ..dtype import cast as cast_array
from ..errors import DtypeError, ShapeError
from .primitive import primitive

Dim = int | tuple[int, ...] | None


def _kept(a: Array, dim: Dim, keepdim: bool, ndim: int) -> Array:
    """An array with the reduced dims put back as 1."""
    if keepdim or ndim == 0:
        return np.asarray(a)
    dims = range(ndim) if dim is None else (dim,) if isinstance(dim, int) else dim
    return np.expand_dims(a, tuple(dims))


def _count(shape: tuple[int, ...], dim: Dim) -> int:
    dims = range(len(shape)) if dim is None else (dim,) if isinstance(dim, int) else dim
    count = 1
    for d in dims:
        count *= shape[d]
    return count


def _summable(x: Array, dtype: DType | None) -> Array:
    if dtype is not None:
        return cast_array(x, dtype)
    return x.astype(np.int64) if x.dtype.kind in "biu" else x


@primitive
def sum(x: Array, *, dim: Dim = None, keepdim: bool = False, dtype: DType | None = None) -> Array:
    """The sum over the dims, all by default; integers add up as int64."""
    return np.asarray(_summable(x, dtype).sum(axis=dim, keepdims=keepdim))


@sum.gradient
def _(g: Array, _out: None, _x: None, *, dim: Dim = None, keepdim: bool = False, shapes: Any, **_: Any) -> tuple[Array]:
    return (np.broadcast_to(_kept(g, dim, keepdim, len(shapes[0])), shapes[0]),)


@primitive
def mean(x: Array, *, dim: Dim = None, keepdim: bool = False, dtype: DType | None = None) -> Array:
    """The mean over the dims, all by default."""
    x = x if dtype is None else cast_array(x, dtype)
    if x.dtype.kind in "biu":
        raise DtypeError(f"mean: {x.dtype} has no mean of its own; convert with .float() or pass dtype=")
    if x.size == 0:
        return np.asarray(np.divide(x.sum(axis=dim, keepdims=keepdim), x.dtype.type(_count(x.shape, dim))))
    return np.asarray(x.mean(axis=dim, keepdims=keepdim))


@mean.gradient
def _(g: Array, _out: None, _x: None, *, dim: Dim = None, keepdim: bool = False, shapes: Any, **_: Any) -> tuple[Array]:
    share = _kept(g, dim, keepdim, len(shapes[0])) / max(_count(shapes[0], dim), 1)
    return (np.broadcast_to(share, shapes[0]),)


@primitive
def prod(x: Array, *, dim: Dim = None, keepdim: bool = False, dtype: DType | None = None) -> Array:
    """The product over the dims, all by default; integers multiply as int64."""
    return np.asarray(_summable(x, dtype).prod(axis=dim, keepdims=keepdim))


@prod.gradient
def _(g: Array, _out: None, x: Array, *, dim: Dim = None, keepdim: bool = False, **_: Any) -> tuple[Array]:
    dims = tuple(range(x.ndim)) if dim is None else (dim % max(x.ndim, 1),) if isinstance(dim, int) else dim
    flat = np.moveaxis(x, dims, range(x.ndim - len(dims), x.ndim)) if x.ndim else x
    rows = flat.reshape(*flat.shape[: x.ndim - len(dims)], -1)
    others = _products_of_others(rows).reshape(flat.shape)
    others = np.moveaxis(others, range(x.ndim - len(dims), x.ndim), dims) if x.ndim else others
    return (_kept(g, dim, keepdim, x.ndim) * others,)


def _products_of_others(rows: Array) -> Array:
    """For each element of the last dim, the product of all others; exact where some are 0."""
    before, after = np.ones_like(rows), np.ones_like(rows)
    np.cumprod(rows[..., :-1], axis=-1, out=before[..., 1:])
    np.cumprod(rows[..., :0:-1], axis=-1, out=after[..., -2::-1])
    return np.asarray(before * after)


@primitive
def amax(x: Array, *, dim: Dim = None, keepdim: bool = False) -> Array:
    """The greatest over the dims, all by default; nan where there is one."""
    _reducible("amax", x, dim)
    return np.asarray(x.max(axis=dim, keepdims=keepdim))


@primitive
def amin(x: Array, *, dim: Dim = None, keepdim: bool = False) -> Array:
    """The least over the dims, all by default; nan where there is one."""
    _reducible("amin", x, dim)
    return np.asarray(x.min(axis=dim, keepdims=keepdim))


@amax.gradient
@amin.gradient
def _(g: Array, out: Array, x: Array, *, dim: Dim = None, keepdim: bool = False) -> tuple[Array]:
    best = _kept(out, dim, keepdim, x.ndim)
    chosen = (x == best) | (np.isnan(x) & np.isnan(best))
    return (chosen * (_kept(g, dim, keepdim, x.ndim) / chosen.sum(axis=dim, keepdims=True)),)


def _reducible(name: str, x: Array, dim: Dim) -> None:
    if x.size == 0 and _count(x.shape, dim) == 0:
        raise ShapeError(f"{name}: {x.shape} has no elements along the reduced dims; expected at least one")


@primitive
def argmax(x: Array, *, dim: int | None = None, keepdim: bool = False) -> Array:
    """Where the greatest is, the first of them; over the flattened tensor by default."""
    _reducible("argmax", x, dim)
    return np.asarray(np.argmax(x, axis=dim, keepdims=keepdim))


@primitive
def argmin(x: Array, *, dim: int | None = None, keepdim: bool = False) -> Array:
    """Where the least is, the first of them; over the flattened tensor by default."""
    _reducible("argmin", x, dim)
    return np.asarray(np.argmin(x, axis=dim, keepdims=keepdim))


@primitive
def max_dim(x: Array, *, dim: int, keepdim: bool = False) -> tuple[Array, Array]:
    """The greatest along a dim, and where it is."""
    at = argmax.kernel(x, dim=dim, keepdim=True)
    return _taken(x, at, dim, keepdim)


@primitive
def min_dim(x: Array, *, dim: int, keepdim: bool = False) -> tuple[Array, Array]:
    """The least along a dim, and where it is."""
    at = argmin.kernel(x, dim=dim, keepdim=True)
    return _taken(x, at, dim, keepdim)


def _taken(x: Array, at: Array, dim: int, keepdim: bool) -> tuple[Array, Array]:
    if x.ndim == 0:
        return x.copy(), np.zeros((), np.int64)
    best = np.take_along_axis(x, at, axis=dim)
    return (best, at) if keepdim else (best.squeeze(dim), at.squeeze(dim))


@max_dim.gradient
@min_dim.gradient
def _(g: Any, out: Any, _x: None, *, dim: int, keepdim: bool = False, shapes: Any) -> tuple[Array | None]:
    return (scattered(g[0], out[1], dim, keepdim, shapes[0]),)


def scattered(g: Array | None, at: Array, dim: int, keepdim: bool, shape: tuple[int, ...]) -> Array | None:
    """Zeros of a shape but for g, put where the positions along a dim say (each once)."""
    if g is None:
        return None
    whole = np.zeros(shape, g.dtype)
    if not shape:
        return whole + g
    if not keepdim:
        g, at = np.expand_dims(g, dim), np.expand_dims(at, dim)
    np.put_along_axis(whole, at, g, axis=dim)
    return whole


@primitive
def any(x: Array, *, dim: Dim = None, keepdim: bool = False) -> Array:
    """Whether an element over the dims is other than 0."""
    return _truth(x.astype(bool).any(axis=dim, keepdims=keepdim), x)


@primitive
def all(x: Array, *, dim: Dim = None, keepdim: bool = False) -> Array:
    """Whether all elements over the dims are other than 0."""
    return _truth(x.astype(bool).all(axis=dim, keepdims=keepdim), x)


def _truth(found: Any, x: Array) -> Array:
    """As bool, but for bytes as bytes."""
    return np.asarray(found, np.uint8 if x.dtype == np.uint8 else np.bool_)


@primitive
def var(x: Array, *, dim: Dim = None, correction: float = 1, keepdim: bool = False) -> Array:
    """The mean squared distance from the mean, over count - correction."""
    if x.dtype.kind not in "fc":
        raise DtypeError(f"var: {x.dtype} has no variance of its own; convert with .float()")
    centred = x - x.mean(axis=dim, keepdims=True)
    squares = (centred * centred.conj()).real.sum(axis=dim, keepdims=keepdim)
    return np.asarray(squares / squares.dtype.type(max(_count(x.shape, dim) - correction, 0)))


@var.gradient
def _(g: Array, _out: None, x: Array, *, dim: Dim = None, correction: float = 1, keepdim: bool = False) -> tuple[Array]:
    centred = x - x.mean(axis=dim, keepdims=True)
    return (_kept(g, dim, keepdim, x.ndim) * centred * (2 / (_count(x.shape, dim) - correction or np.nan)),)


@primitive
def std(x: Array, *, dim: Dim = None, correction: float = 1, keepdim: bool = False) -> Array:
    """The root of the variance."""
    return np.asarray(np.sqrt(var.kernel(x, dim=dim, correction=correction, keepdim=keepdim)))


@std.gradient
def _(g: Array, out: Array, x: Array, *, dim: Dim = None, correction: float = 1, keepdim: bool = False) -> tuple[Array]:
    share = np.where(out == 0, 0, g / out)
    centred = x - x.mean(axis=dim, keepdims=True)
    return (_kept(share, dim, keepdim, x.ndim) * centred / max(_count(x.shape, dim) - correction, 0),)


@primitive
def norm(x: Array, *, p: float = 2, dim: Dim = None, keepdim: bool = False) -> Array:
    """(sum(|x| ** p)) ** (1 / p); the greatest or least |x| for inf and -inf, the count of non-zeros for 0."""
    if x.dtype.kind not in "fc":
        raise DtypeError(f"norm: {x.dtype} has no norm of its own; convert with .float()")
    size = np.abs(x)
    if np.isinf(p):
        return np.asarray((size.max if p > 0 else size.min)(axis=dim, keepdims=keepdim))
    if p == 0:
        return np.asarray((size != 0).sum(axis=dim, keepdims=keepdim).astype(size.dtype))
    if p == 2:
        return np.asarray(np.sqrt(np.square(size).sum(axis=dim, keepdims=keepdim)))
    return np.asarray(np.power(np.power(size, p).sum(axis=dim, keepdims=keepdim), 1 / p))


@norm.gradient
def _(g: Array, out: Array, x: Array, *, p: float = 2, dim: Dim = None, keepdim: bool = False) -> tuple[Array]:
    g, out = _kept(g, dim, keepdim, x.ndim), _kept(out, dim, keepdim, x.ndim)
    if p == 0:
        return (np.zeros_like(x),)
    if np.isinf(p):
        chosen = np.abs(x) == out
        return (np.where(chosen, g * np.sign(x) / chosen.sum(axis=dim, keepdims=True), 0),)
    share = np.where(out == 0, 0, g / np.power(out, p - 1))
    return (share * x,) if p == 2 else (share * np.sign(x) * np.power(np.abs(x), p - 1),)


@primitive(promotion="float")
def logsumexp(x: Array, *, dim: Dim, keepdim: bool = False) -> Array:
    """log(sum(exp(x))) over the dims, without overflow."""
    highest = x.max(axis=dim, keepdims=True)
    highest = np.where(np.isfinite(highest), highest, x.dtype.type(0))
    result = np.log(np.exp(x - highest).sum(axis=dim, keepdims=True)) + highest
    return result if keepdim else np.asarray(result.squeeze(dim))


@logsumexp.gradient
def _(g: Array, out: Array, x: Array, *, dim: Dim, keepdim: bool = False) -> tuple[Array]:
    return (_kept(g, dim, keepdim, x.ndim) * np.exp(x - _kept(out, dim, keepdim, x.ndim)),)


@primitive(promotion="float")
def softmax(x: Array, *, dim: int) -> Array:
    """exp(x) over its sum along a dim."""
    if not x.ndim:
        return np.ones_like(x)
    powers = np.exp(x - x.max(axis=dim, keepdims=True, initial=-np.inf))
    powers /= powers.sum(axis=dim, keepdims=True)
    return np.asarray(powers)


@softmax.gradient
def _(g: Array, out: Array, _x: None, *, dim: int) -> tuple[Array]:
    if not out.ndim:
        return (np.zeros_like(g),)
    product = g * out
    return (product - out * product.sum(axis=dim, keepdims=True),)


@primitive(promotion="float")
def log_softmax(x: Array, *, dim: int) -> Array:
    """The logarithm of softmax, without its underflow."""
    if not x.ndim:
        return np.zeros_like(x)
    shifted = x - x.max(axis=dim, keepdims=True, initial=-np.inf)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=dim, keepdims=True)))


@log_softmax.gradient
def _(g: Array, out: Array, _x: None, *, dim: int) -> tuple[Array]:
    if not out.ndim:
        return (np.zeros_like(g),)
    return (g - np.exp(out) * g.sum(axis=dim, keepdims=True),)


@primitive
def cumsum(x: Array, *, dim: int, dtype: DType | None = None) -> Array:
    """The sums of all elements up to each, along a dim."""
    return np.asarray(_summable(x, dtype).cumsum(axis=dim)).reshape(x.shape)


@cumsum.gradient
def _(g: Array, _out: None, _x: None, *, dim: int, **_: Any) -> tuple[Array]:
    if not g.ndim:
        return (g,)
    return (np.flip(np.flip(g, dim).cumsum(axis=dim), dim),)


@primitive
def cumprod(x: Array, *, dim: int, dtype: DType | None = None) -> Array:
    """The products of all elements up to each, along a dim."""
    return np.asarray(_summable(x, dtype).cumprod(axis=dim)).reshape(x.shape)


@cumprod.gradient
def _(g: Array, _out: None, x: Array, *, dim: int, **_: Any) -> tuple[Array]:
    rows, back = np.moveaxis(np.atleast_1d(x), dim, -1), np.moveaxis(np.atleast_1d(g), dim, -1)
    result = np.zeros_like(rows)
    for k in range(rows.shape[-1]):  # the products that element k is in, without it
        others = rows[..., k:].copy()
        others[..., 0] = rows[..., :k].prod(axis=-1)
        result[..., k] = (back[..., k:] * others.cumprod(axis=-1)).sum(axis=-1)
    return (np.moveaxis(result, -1, dim).reshape(x.shape),)
