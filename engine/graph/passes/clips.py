"""clip_inputs(), which turns a norm and relu before a pointwise convolution into bounds of what that reads."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from ...dtype import Array, float32
from ...ops.lowered import activation_of
from ..ir import Graph, Node, Value
from .draft import Draft
from .elementwise import ending_of

STEEP = 1e30  # what a slope times this does not exceed, it changes by nothing


def clip_inputs(graph: Graph) -> Graph:
    """relu(s·x + b) is s · max(x, -b/s) + b where s > 0, and s · min(x, -b/s) + b where s < 0; relu6 has two bounds.

    So the scale and shift go into the weights of the convolution after it, and the bounds are taken on the way. Where
    a pool lies between them, the bounds are a step of their own, and a short one.
    """
    draft = Draft(graph)
    for node in graph.nodes:
        draft.keep(_clipped(node, draft) or node)
    return draft.finish()


def _clipped(node: Node, draft: Draft) -> Node | None:
    before = draft.maker(node.inputs[0]) if _is_pointwise(node) else None
    pool = before if before is not None and _is_inner_mean(before) and draft.is_between(node.inputs[0]) else None
    norm = draft.maker(pool.inputs[0]) if pool else before
    bend = None if norm is None else _bend(norm, draft)
    weights = [draft.array(operand) for operand in node.inputs[1:3]]
    if bend is None or any(w is None for w in weights):
        return None
    if not draft.is_between(pool.inputs[0] if pool else node.inputs[0]):
        return None
    assert norm is not None
    clipped = _folded(node, _clip(bend, *(np.asarray(w, np.float64) for w in weights)), draft)
    if pool is None:
        return replace(clipped, inputs=(norm.inputs[0], *clipped.inputs[1:]))
    *folded, low, high = clipped.inputs[1:]
    x = norm.inputs[0]
    for op, bound in (("maximum", low), ("minimum", high)):
        if bound is not None:
            x = draft.add(op, (x, bound), norm.output, norm.output.shape, layer=norm.layer)
    pooled = draft.add(pool.op, (x,), pool.output, pool.output.shape, layer=pool.layer, **pool.attributes)
    return replace(clipped, inputs=(pooled, *folded, None, None))


def _is_inner_mean(node: Node) -> bool:
    """Whether a node takes means of what lies inside an image: the mean of x + b is the mean of x, + b."""
    a = node.attributes
    return node.op == "avg_pool_nhwc" and a["divisor"] is None and not (any(a["padding"]) and a["count_include_pad"])


def _is_pointwise(node: Node) -> bool:
    if node.op != "conv_nhwc" or node.inputs[4] is not None or node.inputs[5] is not None:
        return False
    a, weight = node.attributes, node.inputs[1]
    assert isinstance(weight, Value)
    flat = weight.shape[:2] == (1, 1) and tuple(a["stride"]) == (1, 1)
    return flat and a["groups"] == 1 and not any(a["padding"])


class Bend(NamedTuple):
    """x · scale + shift, kept between two numbers."""

    scale: Array
    shift: Array
    lower: float
    upper: float


def _bend(node: Node, draft: Draft) -> Bend | None:
    """What a norm with an activation does, or an activation alone, where that only keeps values between bounds."""
    text = node.attributes["activation"] if node.op == "affine_nhwc" else ending_of(node)
    name, numbers = activation_of(text or "")
    bounds = {"relu": (0.0, np.inf), "relu6": (0.0, 6.0), "clamp": numbers}.get(name)
    if bounds is None or node.output.dtype != float32:
        return None
    if node.op != "affine_nhwc":
        channels = node.output.shape[-1]
        assert isinstance(channels, int)
        return Bend(np.ones(channels), np.zeros(channels), *bounds)
    scale, shift = (draft.array(operand) for operand in node.inputs[1:])
    return None if scale is None or shift is None else Bend(scale.astype(float), shift.astype(float), *bounds)


class Clip(NamedTuple):
    """The bounds of the input, and the weights and bias with the rest folded in."""

    low: Array
    high: Array
    weight: Array
    bias: Array


def _clip(bend: Bend, weight: Array, bias: Array) -> Clip:
    s, b = bend.scale, bend.shift
    flat = np.abs(s) * STEEP <= np.abs(b)  # no slope to speak of: a constant
    with np.errstate(all="ignore"):
        lower, upper = ((bound - b) / np.where(flat, 1, s) for bound in (bend.lower, bend.upper))
    return Clip(
        np.where(flat, -np.inf, np.where(s > 0, lower, upper)),
        np.where(flat, np.inf, np.where(s > 0, upper, lower)),
        weight * np.where(flat, 0, s)[:, None],
        bias + np.where(flat, np.clip(b, bend.lower, bend.upper), b) @ weight[0, 0],
    )


def _folded(node: Node, clip: Clip, draft: Draft) -> Node:
    weight, bias = (v.name for v in node.inputs[1:3] if isinstance(v, Value))
    inputs = (
        node.inputs[0],
        draft.constant(weight, clip.weight.astype(np.float32)),
        draft.constant(bias, clip.bias.astype(np.float32)),
        node.inputs[3],
        _bound(f"{weight}.low", clip.low, draft),
        _bound(f"{weight}.high", clip.high, draft),
    )
    return replace(node, inputs=inputs)


def _bound(stem: str, values: Array, draft: Draft) -> Value | None:
    return draft.constant(stem, values.astype(np.float32)) if np.isfinite(values).any() else None
