"""recognise_attention(), which finds attention that is written out as products and a softmax."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from ...dtype import Array, float32
from ..ir import Graph, Node, Operand, Value
from .draft import Draft


def recognise_attention(graph: Graph) -> Graph:
    """Write softmax(q kᵀ · scale + mask) v as one node, where the mask is a constant or there is none.

    Any other mask stays outside, as where it hides a whole row the formula gives NaN and the node zeros.
    """
    draft = Draft(graph)
    for node in graph.nodes:
        draft.keep(_attention(node, draft) or node)
    return draft.finish()


class Scores(NamedTuple):
    """q kᵀ · scale + mask."""

    product: Node
    scale: float
    mask: Operand


def _attention(node: Node, draft: Draft) -> Node | None:
    if node.op != "matmul" or node.output.dtype != float32:
        return None
    weights, v = node.inputs
    softmax = draft.maker(weights)
    if softmax is None or softmax.op != "softmax" or not draft.is_between(weights):
        return None
    dims = len(node.output.shape)
    scores = _scores(softmax.inputs[0], draft)
    if scores is None or softmax.attributes["dim"] % dims != dims - 1 or dims < 3:
        return None
    (q, by), (turned, also) = (_unscaled(operand, draft) for operand in scores.product.inputs)
    keys = draft.maker(turned)
    if keys is None or keys.op != "permute" or not all(_fits(x, node) for x in (q, turned, v)):
        return None
    assert isinstance(turned, Value)
    shape = (*turned.shape[:-2], turned.shape[-1], turned.shape[-2])
    k = draft.add("permute", (turned,), turned, shape, dims=(*range(dims - 2), dims - 1, dims - 2))
    attributes = {"scale": scores.scale * by * also, "causal": False}
    return replace(node, op="scaled_dot_product_attention", inputs=(q, k, v, scores.mask), attributes=attributes)


def _fits(x: Operand, node: Node) -> bool:
    """Whether an operand has the dims of the result, but for the last two, and its dtype."""
    shape = node.output.shape
    return isinstance(x, Value) and x.dtype == float32 and (len(x.shape), x.shape[:-2]) == (len(shape), shape[:-2])


def _scores(operand: Operand, draft: Draft) -> Scores | None:
    """The product that a softmax is taken of, the number that it is scaled by, and what is added."""
    operand, mask = _unmasked(operand, draft)
    scaled, number = _unscaled(operand, draft)
    if scaled != operand and not draft.is_between(operand):
        return None
    product = draft.maker(scaled)
    if product is None or product.op != "matmul" or not draft.is_between(scaled):
        return None
    return Scores(product, number, mask)


def _unmasked(operand: Operand, draft: Draft) -> tuple[Operand, Operand]:
    """A value before a constant is added that hides no whole row, and the constant."""
    node = draft.maker(operand)
    if node is not None and node.op == "add" and draft.is_between(operand):
        for x, mask in (node.inputs, node.inputs[::-1]):
            array = draft.array(mask)
            if isinstance(x, Value) and x.shape == node.output.shape and array is not None and _leaves_rows(array):
                return x, mask
    return operand, None


def _leaves_rows(mask: Array) -> bool:
    return mask.dtype == np.float32 and mask.ndim > 0 and bool(np.isfinite(mask.max(axis=-1)).all())


def _unscaled(operand: Operand, draft: Draft) -> tuple[Operand, float]:
    """A value before a multiplication by a number, and the number."""
    node = draft.maker(operand)
    if node is not None and node.op in ("mul", "div"):
        for x, other in (node.inputs, node.inputs[::-1] if node.op == "mul" else node.inputs):
            by = draft.number(other)
            if by and isinstance(x, Value) and x.shape == node.output.shape:
                return x, by if node.op == "mul" else 1 / by
    return operand, 1.0
