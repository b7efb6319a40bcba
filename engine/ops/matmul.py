"""Primitives of linear algebra: products of matrices."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..dtype import Array
from ..errors import DtypeError, ShapeError
from .primitive import primitive

Pair = tuple[Array | None, Array | None]


def _same_dtype(name: str, a: Array, b: Array) -> None:
    if a.dtype != b.dtype:
        raise DtypeError(f"{name}: {a.dtype} @ {b.dtype}: expected both of one dtype")


@primitive
def matmul(a: Array, b: Array) -> Array:
    """The product of two matrices, of batches of them (which broadcast), or of vectors."""
    _same_dtype("matmul", a, b)
    if not a.ndim or not b.ndim:
        raise ShapeError(f"matmul: {a.shape} @ {b.shape}: both need at least 1 dim; use * for numbers")
    inner, other = a.shape[-1], b.shape[-2 if b.ndim > 1 else 0]
    if inner != other:
        raise ShapeError(
            f"matmul: {a.shape} @ {b.shape}: inner sizes {inner} and {other} differ; "
            "expected the last of the first to be the last but one of the second"
        )
    return np.asarray(np.matmul(a, b))


@matmul.gradient
def _(g: Array, _out: None, a: Array, b: Array, *, needs: tuple[bool, bool]) -> Pair:
    left = a[None] if a.ndim == 1 else a
    right = b[:, None] if b.ndim == 1 else b
    if b.ndim == 1:
        g = g[..., None]
    if a.ndim == 1:
        g = g[..., None, :]
    to_left = np.matmul(g, right.swapaxes(-1, -2).conj()) if needs[0] else None
    to_right = np.matmul(left.swapaxes(-1, -2).conj(), g) if needs[1] else None
    if to_left is not None and a.ndim == 1:
        to_left = to_left[..., 0, :]
    if to_right is not None and b.ndim == 1:
        to_right = to_right[..., 0]
    return to_left, to_right


@primitive
def linear(x: Array, weight: Array, bias: Array | None = None) -> Array:
    """x @ weight.T + bias, along the last dim of x."""
    _same_dtype("linear", x, weight)
    if x.shape[-1:] != weight.shape[-1:]:
        raise ShapeError(
            f"linear: {x.shape} by a weight of {weight.shape}: the last sizes differ; expected "
            f"{weight.shape[-1]} features in, met {x.shape[-1] if x.ndim else 'a number'}"
        )
    out = np.asarray(np.matmul(_flat(x), weight.T)).reshape(*x.shape[:-1], *weight.shape[:-1])
    if bias is not None:
        out += bias
    return out


def _flat(x: Array) -> Array:
    return x.reshape(-1, x.shape[-1]) if x.ndim > 2 else x


@linear.gradient
def _(
    g: Array, _out: None, x: Array, weight: Array, _bias: None = None, *, needs: tuple[bool, ...], shapes: Any
) -> tuple[Array | None, ...]:
    to_x = np.matmul(g, weight) if needs[0] and weight.ndim > 1 else g[..., None] * weight if needs[0] else None
    rows = g.reshape(-1, g.shape[-1]) if weight.ndim > 1 else g.reshape(-1, 1)
    to_weight = np.matmul(rows.T, x.reshape(-1, x.shape[-1])).reshape(weight.shape) if needs[1] else None
    if len(needs) == 2:
        return to_x, to_weight
    return to_x, to_weight, (rows.sum(axis=0).reshape(shapes[2]) if needs[2] else None)
