"""Batches of products, and attention, which is two of them with a softmax between."""

from __future__ import annotations

from functools import partial

import numpy as np

from ...dtype import Array
from ...graph.plan import Step
from .activation import number
from .workshop import Bench, Call, Candidates, Parts, Workshop

LEAST = np.finfo(np.float32).min
NEAR = 600_000  # bytes of scores that stay in the cache


def matmul(step: Step, shop: Workshop) -> Candidates:
    """Products of matrices or batches of them, a part of the batch for each thread."""
    a, b = step.inputs
    out = step.output
    assert isinstance(a, np.ndarray) and isinstance(b, np.ndarray)
    if out.ndim < 3 or not a.ndim == b.ndim == out.ndim:
        return {"product": lambda: [[partial(np.matmul, a, b, out)]]}

    def parts() -> Parts:
        dim = max(range(out.ndim - 2), key=lambda d: out.shape[d])
        return [
            [partial(np.matmul, _along(a, dim, s, e), _along(b, dim, s, e), _along(out, dim, s, e))]
            for _, s, e in shop.shares(out.shape[dim], step.flops // 8)
        ]

    return {"product": parts}


def _along(x: Array, dim: int, start: int, stop: int) -> Array:
    """A slice along one dim; the whole where it is stretched there."""
    return x if x.shape[dim] == 1 else x[(slice(None),) * dim + (slice(start, stop),)]


def attention(step: Step, shop: Workshop) -> Candidates:
    """softmax(q k' · scale + mask) v, with the division by the sums done on the result, which is smaller.

    Scores are (…, keys, queries), as maxima and sums along rows would go through NumPy's slow loops.
    """
    q, k, v, mask = step.inputs
    assert isinstance(q, np.ndarray) and isinstance(k, np.ndarray) and isinstance(v, np.ndarray)
    scale, causal = step.attributes["scale"], step.attributes.get("causal", False)
    seen = None if mask is None and not causal else _Mask(mask, causal, (q.shape[-2], k.shape[-2]))

    def parts() -> Parts:
        if q.ndim < 3:
            return [_attend(q, k, v, seen, scale, step.output, shop.benches[0])]
        dim = max(range(q.ndim - 2), key=lambda d: q.shape[d])
        each = q[..., :1].size * k.shape[-2] // q.shape[dim] * 4
        some = max(1, NEAR // max(1, each))

        def block(bench: Bench, at: slice) -> list[Call]:
            some_q, some_k, some_v, out = (_along(x, dim, at.start, at.stop) for x in (q, k, v, step.output))
            mask = None if seen is None else seen.along(dim - q.ndim, at.start, at.stop)
            return _attend(some_q, some_k, some_v, mask, scale, out, bench)

        shares = shop.shares(q.shape[dim], step.flops // 8)
        return shop.each([slice(s, min(s + some, b)) for _, a, b in shares for s in range(a, b, some)], block)

    return {"softmax fused": parts}


class _Mask:
    """What is added to scores: fixed where the mask is a constant, else brought up to date in every run."""

    def __init__(self, mask: object, causal: bool, shape: tuple[int, int]) -> None:
        self.mask = np.atleast_2d(mask) if isinstance(mask, np.ndarray) else None
        self.causal = np.where(np.tri(*shape, dtype=np.bool_), 0, -np.inf).astype(np.float32).T if causal else None

    def along(self, dim: int, start: int, stop: int) -> _Mask:
        part = object.__new__(_Mask)
        part.causal, part.mask = self.causal, self.mask
        if self.mask is not None and self.mask.ndim >= -dim:
            part.mask = _along(self.mask, self.mask.ndim + dim, start, stop)
        return part

    def calls(self, scores: Array, bench: Bench) -> list[Call]:
        made: list[Call] = []
        if self.causal is not None:
            made.append(partial(np.add, scores, self.causal, scores))
        if self.mask is not None and self.mask.dtype == np.bool_:
            hidden = bench.take(-(-self.mask.size // 4)).view(np.bool_)[: self.mask.size].reshape(self.mask.shape)
            made.append(partial(np.logical_not, self.mask, hidden))
            made.append(partial(_hide, scores, np.swapaxes(hidden, -1, -2)))
        elif self.mask is not None:
            made.append(partial(np.add, scores, np.swapaxes(self.mask, -1, -2), scores))
        return made


def _hide(scores: Array, hidden: Array) -> None:
    np.copyto(scores, np.float32(-np.inf), where=hidden)


def _attend(q: Array, k: Array, v: Array, mask: _Mask | None, scale: float, out: Array, bench: Bench) -> list[Call]:
    scaled = bench.take(*q.shape)
    scores = bench.take(*np.broadcast_shapes(q.shape[:-2], k.shape[:-2]), k.shape[-2], q.shape[-2])
    edge = bench.take(*scores.shape[:-2], 1, scores.shape[-1])
    masked = [] if mask is None else mask.calls(scores, bench)
    return [
        partial(np.multiply, q, number(scale), scaled),
        partial(np.matmul, k, np.swapaxes(scaled, -1, -2), scores),
        *masked,
        *_softmax_of_keys(scores, edge, bool(masked)),
        partial(np.matmul, np.swapaxes(scores, -1, -2), v, out),
        partial(np.divide, out, np.swapaxes(edge, -1, -2), out),
    ]


def _softmax_of_keys(scores: Array, edge: Array, guarded: bool) -> list[Call]:
    """exp(scores - their maximum) in place, over the last dim but one; the sums go to `edge`, which has 1 there.

    Guarded: what holds -inf alone gives zeros, and a sum that divides them into zeros.
    """
    calls: list[Call] = [partial(np.maximum.reduce, scores, -2, None, edge, True)]
    if guarded:
        calls.append(partial(np.maximum, edge, LEAST, out=edge))
    ones = np.ones((1, scores.shape[-2]), np.float32)
    calls += [
        partial(np.subtract, scores, edge, scores),
        partial(np.exp, scores, scores),
        partial(np.matmul, ones, scores, edge),
    ]
    if guarded:
        calls.append(partial(np.maximum, edge, np.finfo(np.float32).tiny, out=edge))
    return calls
