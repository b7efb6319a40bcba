"""Attention, against one query at a time."""

import numpy as np

from .case import case, some


def _slowly(q, k, v, mask, scale, causal):
    shape = np.broadcast_shapes(q.shape[:-2], k.shape[:-2], v.shape[:-2])
    q, k, v = (np.broadcast_to(a, shape + a.shape[-2:]) for a in (q, k, v))
    mask = np.zeros((1, 1)) if mask is None else np.where(mask, 0, -np.inf) if mask.dtype == bool else mask
    mask = np.broadcast_to(mask, (*shape, q.shape[-2], k.shape[-2]))
    out = np.zeros((*q.shape[:-1], v.shape[-1]))
    for place in np.ndindex(q.shape[:-1]):
        *batch, row = place
        scores = k[tuple(batch)] @ q[place] * scale + mask[place]
        if causal:
            scores[row + 1 :] = -np.inf
        if np.isfinite(scores).any():
            chances = np.exp(scores - scores.max())
            out[place] = chances / chances.sum() @ v[tuple(batch)]
    return out


def _case(*shapes, mask=None, scale=0.5, causal=False):
    operands = [some(*shape) for shape in shapes]
    return case(
        *operands, mask, scale=scale, causal=causal,
        reference=lambda q, k, v, mask: _slowly(q, k, v, mask, scale, causal),
        torch=lambda t, q, k, v, mask: t.nn.functional.scaled_dot_product_attention(
            q, k, v, mask, is_causal=causal, scale=scale
        ),
    )  # fmt: skip


_SEEN = np.array([[True, False, True], [False, False, False], [True, True, True]])

ROWS = {
    "scaled_dot_product_attention": [
        _case((4, 2), (3, 2), (3, 5)),
        _case((2, 2, 3, 4), (2, 2, 3, 4), (2, 2, 3, 4), causal=True),
        _case((2, 3, 2), (2, 3, 2), (2, 3, 2), mask=_SEEN),
        _case((2, 3, 2), (2, 5, 2), (2, 5, 1), mask=some(3, 5), scale=2.0),
        _case((2, 3, 2), (2, 5, 2), (2, 5, 1), mask=np.array([0, 0, -np.inf, 0, -np.inf], np.float32)),
    ]
}
