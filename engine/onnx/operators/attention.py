"""Attention and what belongs to it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..calls import Call
from ..items import Item
from .table import operator


def _heads(at: Call, x: Item, count: int) -> Item:
    """(N, L, heads · E) as (N, heads, L, E)."""
    n, length, width = x.shape
    return at("permute", at("reshape", x, shape=(n, length, count, width // count)), dims=(0, 2, 1, 3))


def _repeated(at: Call, x: Item, times: int) -> Item:
    """Every head of keys or values so many times, for groups of queries."""
    if times == 1:
        return x
    n, heads, length, width = x.shape
    apart = at("reshape", x, shape=(n, heads, 1, length, width))
    wide = at("expand", apart, shape=(n, heads, times, length, width))
    return at("reshape", wide, shape=(n, heads * times, length, width))


@operator("Attention")
def attention(at: Call, q: Item, k: Item, v: Item, mask: Item | None = None, past_key: Item | None = None, past_value: Item | None = None, lengths: Item | None = None) -> Any:  # fmt: skip  # noqa: E501
    """softmax(q kᵀ · scale + mask) v, by heads, with what earlier calls kept."""
    flat = q.ndim == 3
    if flat:
        q = _heads(at, q, at.integer("q_num_heads"))
        k, v = (_heads(at, i, at.integer("kv_num_heads")) for i in (k, v))
    if past_key is not None:
        k = at("cat", past_key, k, dim=2)
    if past_value is not None:
        v = at("cat", past_value, v, dim=2)
    present = (k, v)
    groups = q.shape[1] // k.shape[1]
    before = 0 if past_key is None else past_key.shape[2]
    scale = at.number("scale", None) or 1 / math.sqrt(q.shape[-1])
    bias = _bias(at, q, k, mask, lengths, before)
    keys, values = _repeated(at, k, groups), _repeated(at, v, groups)
    cap, wanted, kind = at.number("softcap", 0.0), at.outputs, q.element
    if kind.bits < 32:
        q, keys, values = (at.as_float(i) for i in (q, keys, values))
        bias = bias if bias is None or not bias.floating else at.as_float(bias)
    scores: Item | None = None
    if not cap and wanted < 4:
        result = at("scaled_dot_product_attention", q, keys, values, bias, scale=scale)
    else:
        result, scores = _spelled(at, q, keys, values, bias, scale, cap)
        scores = at.cast(scores, kind)
    result = at.cast(result, kind)
    if flat:
        n, heads, length, width = result.shape
        result = at("reshape", at("permute", result, dims=(0, 2, 1, 3)), shape=(n, length, heads * width))
    return (result, *present, scores)[: max(wanted, 1)] if wanted > 1 else result


def _spelled(at: Call, q: Item, k: Item, v: Item, bias: Item | None, scale: float, cap: float) -> tuple[Item, Item]:
    """Attention step by step, with the scores at the stage that qk_matmul_output_mode asks for."""
    root = math.sqrt(scale)
    now = at("matmul", at("mul", q, root), at("permute", at("mul", k, root), dims=(0, 1, 3, 2)))
    capped = at("mul", at("tanh", at("div", now, cap)), cap) if cap else now
    masked = capped
    if bias is not None:
        masked = at("masked_fill", capped, at("logical_not", bias), -math.inf) if bias.dtype.name == "bool" else at(
            "add", capped, bias
        )  # fmt: skip
    chances = at("softmax", masked, dim=3)
    chances = at("nan_to_num", chances)
    stages = [now, capped, masked, chances]
    return at("matmul", chances, v), stages[at.integer("qk_matmul_output_mode", 0)]


def _bias(at: Call, q: Item, k: Item, mask: Item | None, lengths: Item | None, before: int) -> Item | None:
    """What is added to the scores, or which of them count: the mask, causality and the lengths together."""
    rows, columns = q.shape[2], k.shape[2]
    seen: Item | None = None
    visible = _window(at, rows, columns, lengths, before)
    if visible is not None:
        seen = at.constant(visible)
    if lengths is not None:
        counts = np.array(at.whole(lengths, "the lengths"))[:, None, None, None]
        there = at.constant(np.arange(columns) < counts)
        seen = there if seen is None else at("logical_and", seen, there)
    if mask is None:
        return seen
    if mask.shape[-1] < columns:
        room = (*((0, 0),) * (mask.ndim - 1), (0, columns - mask.shape[-1]))
        value: Any = 0 if mask.dtype.name == "bool" else -math.inf
        mask = at("pad", mask, widths=room, value=value)
    if mask.dtype.name == "bool":
        return mask if seen is None else at("logical_and", mask, seen)
    mask = at.cast(mask, q.element)
    return mask if seen is None else at("where", seen, mask, at.constant(-math.inf, mask))


def _window(at: Call, rows: int, columns: int, lengths: Item | None, before: int) -> Any:
    """Which keys each query sees for being neither behind it nor too far away; None where it sees all."""
    left, right = at.integer("left_window_size", -1), at.integer("right_window_size", -1)
    if at.flag("is_causal"):
        right = 0 if right < 0 else min(right, 0)
    if left < 0 and right < 0:
        return None
    places = np.arange(rows)[:, None] + before
    if lengths is not None and not before:
        places = places + np.array(at.whole(lengths, "the lengths"))[:, None, None, None] - rows
    ahead = np.arange(columns) - places
    return (ahead <= (right if right >= 0 else columns)) & (-ahead <= (left if left >= 0 else columns + rows))


@operator("LinearAttention")
def linear_attention(
    at: Call, q: Item, k: Item, v: Item, past: Item | None = None, decay: Item | None = None, rate: Item | None = None
) -> tuple[Item, Item]:
    """Attention without softmax: a state that each token adds its key and value to, token by token."""
    how, heads = at.text("update_rule", "gated_delta"), at.integer("kv_num_heads")
    count = at.integer("q_num_heads")
    kind = q.element
    queries, keys, values = (_heads(at, at.as_float(i), n) for i, n in ((q, count), (k, heads), (v, heads)))
    batch, _, length, width = keys.shape
    scale = at.number("scale", 0.0) or 1 / math.sqrt(queries.shape[-1])
    state = at("expand", at.constant(0, keys), shape=(batch, heads, width, values.shape[-1]))
    if past is not None:
        state = at.as_float(past)
    fades = None if decay is None or "gated" not in how else at("exp", _by_head(at, at.as_float(decay), heads))
    rates = None if rate is None or "delta" not in how else _by_head(at, at.as_float(rate), heads)
    outputs = []
    for t in range(length):
        query, key, value = (at("getitem", i, index=_one(t)) for i in (queries, keys, values))
        if fades is not None:
            state = at("mul", state, at("permute", at("getitem", fades, index=_one(t)), dims=(0, 1, 3, 2)))
        turned = at("permute", key, dims=(0, 1, 3, 2))
        if "delta" in how:
            value = at("sub", value, at("matmul", key, state))
            value = value if rates is None else at("mul", value, at("getitem", rates, index=_one(t)))
        state = at("add", state, at("matmul", turned, value))
        outputs.append(at("mul", at("matmul", query, _repeated(at, state, count // heads)), scale))
    whole = at("cat", *outputs, dim=2)
    flat = at("reshape", at("permute", whole, dims=(0, 2, 1, 3)), shape=(batch, length, count * values.shape[-1]))
    return at.cast(flat, kind), at.cast(state, kind if past is None else past.element)


def _one(t: int) -> tuple[slice, slice, slice]:
    return slice(None), slice(None), slice(t, t + 1)


def _by_head(at: Call, x: Item, heads: int) -> Item:
    """(N, T, heads · E) as (N, heads, T, E), and (N, T, 1), which is for all heads, as (N, 1, T, 1)."""
    return _heads(at, x, heads if x.shape[-1] >= heads else 1)


@operator("RotaryEmbedding")
def rotary_embedding(at: Call, x: Item, cosines: Item, sines: Item, places: Item | None = None) -> Item:
    """Pairs of features turned by angles that grow with the position."""
    shape = x.shape
    if x.ndim == 3:
        count = at.integer("num_heads")
        x = at("reshape", x, shape=(*shape[:2], count, shape[2] // count))
    else:
        x = at("permute", x, dims=(0, 2, 1, 3))
    width = at.integer("rotary_embedding_dim", 0) or x.shape[-1]
    turned, rest = at.part(x, -1, 0, width), at.part(x, -1, width, x.shape[-1])
    cos, sin = (i if places is None else at("index", i, places, dims=(0,)) for i in (cosines, sines))
    half = width // 2
    cos, sin = (at.part(i, -1, 0, half) for i in (cos, sin))
    cos, sin = (at("reshape", i, shape=(*i.shape[:2], 1, half)) for i in (cos, sin))
    by_two = at.flag("interleaved")
    halves = ((0, width, 2), (1, width, 2)) if by_two else ((0, half), (half, width))
    a, b = (at.part(turned, -1, *place) for place in halves)
    real = at("sub", at("mul", cos, a), at("mul", sin, b))
    imaginary = at("add", at("mul", sin, a), at("mul", cos, b))
    if by_two:
        turned = at("reshape", at("stack", real, imaginary, dim=4), shape=turned.shape)
    else:
        turned = at("cat", real, imaginary, dim=3)
    result = turned if width == x.shape[-1] else at("cat", turned, rest, dim=3)
    return at("reshape", result, shape=shape) if len(shape) == 3 else at("permute", result, dims=(0, 2, 1, 3))
