"""What an operation costs: operations on numbers by the direct algorithm, and bytes that must be moved at least."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..dtype import Array

FREE = frozenset({"reshape", "permute", "getitem", "expand", "cat", "embedding", "cast", "clone", "contiguous"})


def flops_of(op: str, inputs: Sequence[Array], outputs: Sequence[Array]) -> int:
    """Multiplications and additions; elementwise operations count one for each element of the output."""
    out = outputs[0]
    size = int(out.size)
    if op in ("conv_nhwc", "gemm"):
        return 2 * size * int(math.prod(inputs[1].shape[:-1]))
    if op == "conv":
        return 2 * size * int(math.prod(inputs[1].shape[1:]))
    if op == "linear":
        return 2 * size * int(inputs[1].shape[-1])
    if op == "matmul":
        return 2 * size * int(inputs[0].shape[-1])
    if op == "scaled_dot_product_attention":
        q, k, v = inputs[:3]
        return 2 * int(math.prod(q.shape[:-1]) * k.shape[-2] * (q.shape[-1] + v.shape[-1]))
    if op in ("lstm", "gru", "rnn"):
        times, batch = inputs[0].shape[:2]
        states = (batch, out.shape[-1])
        return 2 * int(times * batch) * sum(int(a.size) for a in inputs[1:] if a.ndim == 2 and a.shape != states)
    if op.endswith("_pool_nhwc"):
        return size
    return 0 if op in FREE else sum(o.size for o in outputs)


def moved_by(inputs: Iterable[Any], outputs: Iterable[Array]) -> int:
    """Bytes of all inputs and outputs, once each."""
    return sum(a.nbytes for a in (*inputs, *outputs) if isinstance(a, np.ndarray))
