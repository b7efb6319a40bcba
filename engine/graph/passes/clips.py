"""clip_inputs(), which turns a norm and relu before a pointwise convolution into bounds of its input."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from ...dtype import Array
from ..ir import Graph, Node, Value
from .draft import Draft


def clip_inputs(graph: Graph) -> Graph:
    """relu(s·x + b) is s · max(x, -b/s) + b where s > 0, and s · min(x, -b/s) + b where s < 0.

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
    if norm is None or norm.op != "affine_nhwc" or norm.attributes["activation"] != "relu":
        return None
    arrays = [draft.array(operand) for operand in (*norm.inputs[1:], *node.inputs[1:3])]
    known = [a.astype(np.float64) for a in arrays if a is not None]
    if len(known) < len(arrays) or not draft.is_between(pool.inputs[0] if pool else node.inputs[0]):
        return None
    clipped = _folded(node, _clip(*known), draft)
    if pool is None:
        return replace(clipped, inputs=(norm.inputs[0], *clipped.inputs[1:]))
    *weights, low, high = clipped.inputs[1:]
    x = norm.inputs[0]
    for op, bound in (("maximum", low), ("minimum", high)):
        if bound is not None:
            x = draft.add(op, (x, bound), norm.output, norm.output.shape, layer=norm.layer)
    pooled = draft.add(pool.op, (x,), pool.output, pool.output.shape, layer=pool.layer, **pool.attributes)
    return replace(clipped, inputs=(pooled, *weights, None, None))


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


class Clip(NamedTuple):
    """The bounds of the input, and the weights and bias with the rest folded in."""

    low: Array
    high: Array
    weight: Array
    bias: Array


def _clip(s: Array, b: Array, weight: Array, bias: Array) -> Clip:
    with np.errstate(all="ignore"):
        edge = (-b / s).astype(np.float32)
    flat = ~np.isfinite(edge)  # no slope to speak of: a constant
    return Clip(
        np.where((s > 0) & ~flat, edge, -np.inf),
        np.where((s < 0) & ~flat, edge, np.inf),
        weight * np.where(flat, 0, s)[:, None],
        bias + np.where(flat, np.maximum(b, 0), b) @ weight[0, 0],
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
