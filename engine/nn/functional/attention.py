"""Attention, by products scaled."""

from __future__ import annotations

import math

import numpy as np

from ...ops import attention
from ...tensor import Tensor
from .dropout import dropout
from .shared import one


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """softmax(query · keyᵀ · scale + mask) · value over the last two dims; True in a boolean mask is what is seen."""
    if enable_gqa:
        groups = query.shape[-3] // key.shape[-3]
        key, value = key.repeat_interleave(groups, -3), value.repeat_interleave(groups, -3)
    scale = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    if not dropout_p:
        primitive = attention.scaled_dot_product_attention
        return one(primitive, query, key, value, attn_mask, scale=scale, causal=is_causal)
    identity = Tensor(np.eye(key.shape[-2], dtype=key.array.dtype))
    weights = one(
        attention.scaled_dot_product_attention, query, key, identity, attn_mask, scale=scale, causal=is_causal
    )
    return dropout(weights, dropout_p) @ value
