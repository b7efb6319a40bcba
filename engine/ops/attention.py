"""The primitive of attention: every query's weighted sum of values."""

from __future__ import annotations

import numpy as np

from ..dtype import Array
from ..errors import ShapeError
from .primitive import primitive


@primitive
def scaled_dot_product_attention(
    q: Array, k: Array, v: Array, mask: Array | None, *, scale: float, causal: bool = False
) -> Array:
    """softmax(q kᵀ · scale + mask) v over the last two dims.

    Shapes: q (…, L, E), k (…, S, E), v (…, S, Ev), mask broadcast to (…, L, S) → (…, L, Ev). A boolean mask says what
    takes part, a float one is added. With `causal`, query i sees keys 0 to i. A query that sees nothing gives zeros.
    """
    return _weights(q, k, v, mask, scale, causal) @ v


@scaled_dot_product_attention.gradient
def _(
    g: Array, _out: None, q: Array, k: Array, v: Array, mask: Array | None, *, scale: float, causal: bool = False
) -> tuple[Array | None, ...]:
    weights = _weights(q, k, v, mask, scale, causal)
    d_weights = g @ np.swapaxes(v, -1, -2)
    d_scores = weights * (d_weights - (d_weights * weights).sum(-1, keepdims=True))
    d_q, d_k = (d_scores @ k) * scale, (np.swapaxes(d_scores, -1, -2) @ q) * scale
    return d_q, d_k, np.swapaxes(weights, -1, -2) @ g, None if mask is None or mask.dtype == np.bool_ else d_scores


def _weights(q: Array, k: Array, v: Array, mask: Array | None, scale: float, causal: bool) -> Array:
    if q.shape[-1] != k.shape[-1] or k.shape[-2] != v.shape[-2]:
        raise ShapeError(
            f"scaled_dot_product_attention: q {q.shape}, k {k.shape}, v {v.shape}: "
            "q and k need the same last size, k and v the same number of rows"
        )
    scores = (q * q.dtype.type(scale)) @ np.swapaxes(k, -1, -2)
    if causal:
        scores = np.where(np.tri(*scores.shape[-2:], dtype=np.bool_), scores, -np.inf)
    if mask is not None:
        scores = np.where(mask, scores, -np.inf) if mask.dtype == np.bool_ else scores + mask
    return _softmax(np.asarray(scores, q.dtype))


def _softmax(scores: Array) -> Array:
    """In place, over the last dim; zeros where all scores are -inf."""
    highest = scores.max(-1, keepdims=True, initial=-np.inf)
    scores -= np.where(np.isneginf(highest), 0, highest)
    np.exp(scores, out=scores)
    total = scores.sum(-1, keepdims=True)
    scores /= np.where(total == 0, 1, total)
    return scores
