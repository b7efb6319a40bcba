"""Attention: one unit is a block of queries of one head."""

from __future__ import annotations

import ctypes

import numpy as np

from ...dtype import Array
from ...graph.plan import Step
from .structures import Attention, Kind
from .work import Candidates, Shop, Unsupported, Work, address, array, optional

BLOCK = 112  # queries whose scores are at hand at once


def attention(step: Step, shop: Shop) -> Candidates:
    """softmax(q kᵀ · scale + mask) v."""
    q, k, v, y = (_heads(x) for x in (array(step, 0), array(step, 1), array(step, 2), step.output))
    mask = optional(step, 3)
    seen = None if mask is None else _heads(np.broadcast_to(mask, (*step.output.shape[:-1], k.shape[2])))
    width = shop.lanes * shop.library.max_vectors  # of the widest panel
    keys, depth, outputs = k.shape[2], q.shape[3], v.shape[3]
    block = min(BLOCK if q.shape[0] * q.shape[1] >= 2 * shop.threads else BLOCK // 4, q.shape[2])
    arguments = Attention(
        q=address(q), k=address(k), v=address(v), mask=address(seen), y=address(y),
        q_strides=_strides(q), k_strides=_strides(k), v_strides=_strides(v), y_strides=_strides(y),
        batch=q.shape[0], heads=q.shape[1], queries=q.shape[2], keys=keys, depth=depth, out_depth=outputs,
        block_queries=block, causal=int(step.attributes.get("causal", False)), scale=step.attributes["scale"],
    )  # fmt: skip
    if seen is not None:
        arguments.mask_strides, arguments.mask_step = _strides(seen), seen.strides[3] // 4
    if any(x.strides[3] != 4 for x in (q, k, v, y)):
        raise Unsupported
    scratch = -(-keys // width) * width * depth + -(-outputs // width) * width * keys + block * keys
    units = q.shape[0] * q.shape[1] * -(-q.shape[2] // block)
    return {"blocks": lambda: [Work(Kind.ATTENTION, arguments, units, scratch, (q, k, v, y, seen))]}


def _heads(x: Array) -> Array:
    """As (batch, head, row, value)."""
    if not 2 <= x.ndim <= 4:
        raise Unsupported
    return x[(None,) * (4 - x.ndim)]


def _strides(x: Array) -> ctypes.Array[ctypes.c_int64]:
    return (ctypes.c_int64 * 3)(*[stride // 4 for stride in x.strides[:3]])
