"""Passes that make products with constant weights of linear layers and matrix products."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np

from ...dtype import float32
from ..ir import Graph, Node, Value
from .draft import Draft

VIEWS = frozenset({"reshape", "permute", "getitem"})


def unify_products(graph: Graph) -> Graph:
    """Write products with a constant matrix as linear layers, which later passes know."""
    draft = Draft(graph)
    for node in graph.nodes:
        array = draft.array(node.inputs[1]) if node.op == "matmul" else None
        if array is not None and array.ndim == 2 and draft.array(node.inputs[0]) is None:
            weight = node.inputs[1]
            assert isinstance(weight, Value)
            turned = draft.derived(weight.name, ("turned", weight.name), partial(np.transpose, array))
            draft.keep(replace(node, op="linear", inputs=(node.inputs[0], turned, None)))
        else:
            draft.keep(node)
    return draft.finish()


def lower_products(graph: Graph) -> Graph:
    """Lower linear layers of float32 to `gemm`, their weights as (features in, features out)."""
    draft = Draft(graph)
    for node in graph.nodes:
        draft.keep(_product(node, draft) if _is_product(node, draft) else node)
    return draft.finish()


def _is_product(node: Node, draft: Draft) -> bool:
    """Whether a node is a linear layer with constant weights that can become a product."""
    if node.op != "linear" or node.output.dtype != float32 or len(node.output.shape) < 2:
        return False
    weight, bias = draft.array(node.inputs[1]), node.inputs[2] if len(node.inputs) > 2 else None
    return weight is not None and weight.ndim == 2 and (bias is None or draft.array(bias) is not None)


def _product(node: Node, draft: Draft) -> Node:
    x, weight, *rest = node.inputs
    assert isinstance(weight, Value)
    array, bias = draft.constants[weight.name], rest[0] if rest else None
    turned = draft.derived(weight.name, ("turned", weight.name), lambda: np.ascontiguousarray(array.T))
    if bias is None:
        count = len(array)
        stem = f"{weight.name.partition('~')[0].removesuffix('weight')}bias"
        bias = draft.derived(stem, ("none", count), lambda: np.zeros(count, np.float32))
    return replace(node, op="gemm", inputs=(x, turned, bias, None), attributes={"activation": ""})
