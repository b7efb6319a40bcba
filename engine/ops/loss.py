"""Primitives of losses: one value an element (or an example), without the mean or sum over them."""

from __future__ import annotations

import numpy as np

from ..dtype import Array
from ..errors import DtypeError, ShapeError
from .primitive import primitive

Pair = tuple[Array | None, Array | None]


@primitive(promotion="common")
def mse_loss(x: Array, target: Array) -> Array:
    """(x - target)²."""
    loss: Array = (x - target) ** 2
    return loss


@mse_loss.gradient
def _(g: Array, _out: None, x: Array, target: Array) -> Pair:
    share = 2 * g * (x - target)
    return share, -share


@primitive(promotion="common")
def l1_loss(x: Array, target: Array) -> Array:
    """|x - target|."""
    loss: Array = np.abs(x - target)
    return loss


@l1_loss.gradient
def _(g: Array, _out: None, x: Array, target: Array) -> Pair:
    share = g * np.sign(x - target)
    return share, -share


@primitive(promotion="common")
def huber_loss(x: Array, target: Array, *, delta: float = 1.0) -> Array:
    """Half the square of a difference up to `delta`, straight beyond."""
    size = np.abs(x - target)
    loss: Array = np.where(size <= delta, 0.5 * size * size, delta * (size - 0.5 * delta))
    return loss


@huber_loss.gradient
def _(g: Array, _out: None, x: Array, target: Array, *, delta: float = 1.0) -> Pair:
    share = g * np.clip(x - target, -delta, delta)
    return share, -share


@primitive(promotion="common")
def binary_cross_entropy(x: Array, target: Array) -> Array:
    """-(target · log x + (1 - target) · log(1 - x)), each logarithm at least -100."""
    loss: Array = (target - 1) * _log(1 - x) - target * _log(x)
    return loss


@binary_cross_entropy.gradient
def _(g: Array, _out: None, x: Array, target: Array) -> Pair:
    return g * (x - target) / np.maximum(x * (1 - x), 1e-12), g * (_log(1 - x) - _log(x))


@primitive(promotion="common")
def binary_cross_entropy_with_logits(x: Array, target: Array, positive: Array) -> Array:
    """binary_cross_entropy of sigmoid(x), without its overflow; `positive` weighs the part of the target."""
    loss: Array = (1 - target) * x + (1 + (positive - 1) * target) * _softplus(-x)
    return loss


@binary_cross_entropy_with_logits.gradient
def _(g: Array, _out: None, x: Array, target: Array, positive: Array) -> tuple[Array, Array, Array]:
    half = 0.5 * np.tanh(0.5 * x)  # sigmoid(x) - 1/2
    spread, weight = _softplus(-x), 1 + (positive - 1) * target
    return g * (1 - target + weight * (half - 0.5)), g * ((positive - 1) * spread - x), g * target * spread


@primitive(promotion="common")
def kl_div(x: Array, target: Array, *, log_target: bool = False) -> Array:
    """target · (log target - x), where x is the logarithm of the estimate; nothing where the target is 0."""
    loss: Array = np.exp(target) * (target - x) if log_target else _xlogx(target) - target * x
    return loss


@kl_div.gradient
def _(g: Array, _out: None, x: Array, target: Array, *, log_target: bool = False) -> Pair:
    if log_target:
        chance = np.exp(target)
        return -g * chance, g * chance * (target - x + 1)
    return -g * target, g * np.where(target > 0, np.log(np.where(target > 0, target, 1)) + 1 - x, 0)


@primitive
def nll_loss(x: Array, target: Array, weight: Array | None, *, ignore_index: int = -100) -> Array:
    """-weight[target] · x[target] of each example, 0 for those to ignore.

    Shapes: x (N, C, d1…), target (N, d1…) of class numbers, weight (C) or None → (N, d1…).
    """
    at, kept = _classes(x, target, ignore_index)
    picked = np.take_along_axis(x, at[:, None], 1)[:, 0]
    return np.where(kept, -picked if weight is None else -picked * weight[at], x.dtype.type(0))


@nll_loss.gradient
def _(
    g: Array, _out: None, x: Array, target: Array, weight: Array | None, *, ignore_index: int = -100
) -> tuple[Array | None, ...]:
    at, kept = _classes(x, target, ignore_index)
    share = np.where(kept, -g if weight is None else -g * weight[at], 0)
    whole = np.zeros_like(x)
    np.put_along_axis(whole, at[:, None], share[:, None].astype(x.dtype), 1)
    return whole, None, None


def _classes(x: Array, target: Array, ignore_index: int) -> tuple[Array, Array]:
    """Class numbers, 0 where the example is ignored, and which are not."""
    if target.dtype.kind not in "iu":
        raise DtypeError(f"nll_loss: class numbers must be integers; met {target.dtype}")
    if x.ndim < 2 or (x.shape[0], *x.shape[2:]) != target.shape:
        raise ShapeError(
            f"nll_loss: target of shape {target.shape}; expected {(x.shape[0], *x.shape[2:])} for x {x.shape}"
        )
    kept = target != ignore_index
    at = np.where(kept, target, 0)
    if at.size and not 0 <= at.min() <= at.max() < x.shape[1]:
        raise ShapeError(f"nll_loss: class numbers from {at.min()} to {at.max()}; expected 0 to {x.shape[1] - 1}")
    return at, kept


def _log(x: Array) -> Array:
    """log x, at least -100."""
    logarithm: Array = np.maximum(np.log(np.maximum(x, 0)), x.dtype.type(-100))
    return logarithm


def _softplus(x: Array) -> Array:
    """log(1 + exp(x)), without its overflow."""
    value: Array = np.log1p(np.exp(-np.abs(x))) + np.maximum(x, 0)
    return value


def _xlogx(x: Array) -> Array:
    """x · log x, and its limit 0 at 0."""
    value: Array = x * np.log(np.where(x > 0, x, 1))
    return value
