"""clip_inputs(), which turns a norm and relu before a pointwise convolution into bounds of its input."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ...dtype import Array
from ..ir import Graph, Node, Operand, Value
from .draft import Draft


def clip_inputs(graph: Graph) -> Graph:
    """relu(s·x + b) is s · max(x, -b/s) + b where s > 0, and s · min(x, -b/s) + b where s < 0.

    So the scale and shift go into the weights of the convolution after it, and the bounds are taken on the way.
    """
    draft = Draft(graph)
    for node in graph.nodes:
        draft.keep(_clipped(node, draft) or node)
    return draft.finish()


def _clipped(node: Node, draft: Draft) -> Node | None:
    norm = draft.maker(node.inputs[0]) if _is_pointwise(node) else None
    if norm is None or norm.op != "affine_nhwc" or norm.attributes["activation"] != "relu":
        return None
    if not draft.is_between(node.inputs[0]):
        return None
    x, scale, shift = norm.inputs
    s, b = draft.array(scale), draft.array(shift)
    weight, bias = draft.array(node.inputs[1]), draft.array(node.inputs[2])
    if s is None or b is None or weight is None or bias is None:
        return None
    s, b, weight, bias = (a.astype(np.float64) for a in (s, b, weight, bias))
    return _with_bounds(node, x, s, b, weight, bias, draft)


def _is_pointwise(node: Node) -> bool:
    if node.op != "conv_nhwc" or node.inputs[4] is not None or node.inputs[5] is not None:
        return False
    a, weight = node.attributes, node.inputs[1]
    assert isinstance(weight, Value)
    flat = weight.shape[:2] == (1, 1) and tuple(a["stride"]) == (1, 1)
    return flat and a["groups"] == 1 and not any(a["padding"])


def _with_bounds(node: Node, x: Operand, s: Array, b: Array, weight: Array, bias: Array, draft: Draft) -> Node:
    with np.errstate(all="ignore"):
        edge = (-b / s).astype(np.float32)
    flat = ~np.isfinite(edge)  # no slope to speak of: a constant
    low, high = np.where((s > 0) & ~flat, edge, -np.inf), np.where((s < 0) & ~flat, edge, np.inf)
    shift = np.where(flat, np.maximum(b, 0), b)
    names = [v.name for v in node.inputs[1:3] if isinstance(v, Value)]
    inputs = (
        x,
        draft.constant(names[0], (weight * np.where(flat, 0, s)[:, None]).astype(np.float32)),
        draft.constant(names[1], (bias + shift @ weight[0, 0]).astype(np.float32)),
        node.inputs[3],
        _bound(f"{names[0]}.low", low, draft),
        _bound(f"{names[0]}.high", high, draft),
    )
    return replace(node, inputs=inputs)


def _bound(stem: str, values: Array, draft: Draft) -> Value | None:
    return draft.constant(stem, values.astype(np.float32)) if np.isfinite(values).any() else None
