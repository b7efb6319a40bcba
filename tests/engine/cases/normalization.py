"""Normalisations."""

from __future__ import annotations

from typing import Any

import numpy as np

from .case import case, some

X = some(2, 4, 3, 2)
LAST = np.moveaxis(some(2, 3, 2, 4), -1, 1)
W, B, MEAN, VARIANCE = some(4), some(4), some(4), some(4, low=0.5, high=2.0)
EPS = 1e-3


def _affine(unit: np.ndarray, w: Any, b: Any, shape: tuple[int, ...] = (1, 4, 1, 1)) -> np.ndarray:
    scaled = unit if w is None else unit * w.reshape(shape)
    return scaled if b is None else scaled + b.reshape(shape)


def _standard(x: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + EPS)


def _given(x: np.ndarray, w: Any, b: Any, mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
    shape = (1, 4) + (1,) * (x.ndim - 2)
    return _affine((x - mean.reshape(shape)) / np.sqrt(variance.reshape(shape) + EPS), w, b, shape)


def _of_batch(x: np.ndarray, w: Any, b: Any) -> tuple[np.ndarray, ...]:
    axes = (0, *range(2, x.ndim))
    return _affine(_standard(x, axes), w, b, (1, 4) + (1,) * (x.ndim - 2)), x.mean(axes), x.var(axes)


def _in_groups(x: np.ndarray, w: Any, b: Any, groups: int) -> np.ndarray:
    parts = [_standard(part, (1, 2, 3)) for part in np.split(x, groups, axis=1)]
    return _affine(np.concatenate(parts, axis=1), w, b)


def _rms(x: np.ndarray, w: Any, axes: tuple[int, ...]) -> np.ndarray:
    unit = x / np.sqrt((x * x).mean(axes, keepdims=True) + EPS)
    return unit if w is None else unit * w


def _response(x: np.ndarray, size: int, alpha: float, beta: float, k: float) -> np.ndarray:
    out = np.empty_like(x)
    for c in range(x.shape[1]):
        near = x[:, max(0, c - size // 2) : c + (size - 1) // 2 + 1]
        out[:, c] = x[:, c] / (k + alpha / size * (near**2).sum(1)) ** beta
    return out


ROWS = {
    "batch_norm": [
        case(x, w, b, MEAN, VARIANCE, eps=EPS, reference=_given)
        for x, w, b in [(X, W, B), (LAST, W, B), (X, None, None), (X, W, None), (X, None, B), (some(5, 4), W, B)]
    ],
    "batch_norm_of_batch": [
        case(x, w, b, eps=EPS, reference=_of_batch)
        for x, w, b in [(X, W, B), (LAST, W, B), (X, None, None), (X, W, None), (some(5, 4), W, B)]
    ],
    "layer_norm": [
        case(some(3, 5), some(5), some(5), dims=1, eps=EPS, reference=lambda x, w, b: _standard(x, (1,)) * w + b),
        case(some(2, 3, 4), some(3, 4), None, dims=2, eps=EPS, reference=lambda x, w, b: _standard(x, (1, 2)) * w),
        case(LAST, None, None, dims=1, eps=EPS, reference=lambda x, w, b: _standard(x, (3,))),
    ],
    "rms_norm": [
        case(some(3, 5), some(5), dims=1, eps=EPS, reference=lambda x, w: _rms(x, w, (1,))),
        case(some(2, 3, 4), some(3, 4), dims=2, eps=EPS, reference=lambda x, w: _rms(x, w, (1, 2))),
        case(some(3, 5), None, dims=1, eps=None, torch=lambda t, x, w: t.nn.functional.rms_norm(x, (5,))),
    ],
    "group_norm": [
        case(x, w, b, groups=groups, eps=EPS, reference=lambda x, w, b, g=groups: _in_groups(x, w, b, g))
        for x, w, b, groups in [(X, W, B, 2), (LAST, W, B, 2), (X, None, None, 4), (X, W, None, 1)]
    ],
    "local_response_norm": [
        case(X, size=size, alpha=0.3, beta=0.75, k=2.0, reference=lambda x, s=size: _response(x, s, 0.3, 0.75, 2.0))
        for size in (1, 2, 3, 5, 9)
    ],
}
