"""Passes that make products with constant weights of linear layers and matrix products."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np

from ...dtype import Array, float32
from ..ir import Graph, Node, Operand, Value
from ..memory import at_home
from .draft import Draft, bias_beside


def unify_products(graph: Graph) -> Graph:
    """Write products with a constant matrix as linear layers, which later passes know."""
    draft = Draft(graph)
    for node in graph.nodes:
        array = draft.array(node.inputs[1]) if node.op == "matmul" else None
        if array is not None and array.ndim == 2 and node.output.dtype == float32 and len(node.output.shape) > 1:
            weight = node.inputs[1]
            assert isinstance(weight, Value)
            turned = draft.derived(weight.name, ("turned", weight.name), partial(np.transpose, array))
            draft.keep(replace(node, op="linear", inputs=(node.inputs[0], turned, None)))
        else:
            draft.keep(node)
    return draft.finish()


def merge_products(graph: Graph) -> Graph:
    """Compute linear layers that read the same value, and whose results are only looked at otherwise, as one.

    These are the queries, keys and values of attention: parts of one product's rows are as good to it as rows.
    """
    draft = Draft(graph)
    groups = _groups(graph, draft)
    merged: dict[int, Value] = {}
    for node in graph.nodes:
        group = groups.get(node.output.name, [])
        if len(group) < 2:
            draft.keep(node)
            continue
        if id(group) not in merged:
            merged[id(group)] = _merged(group, draft)
        draft.keep(_part_of(merged[id(group)], node, group))
    return draft.finish()


def _groups(graph: Graph, draft: Draft) -> dict[str, list[Node]]:
    """The layers that can be computed together with each layer, itself among them."""
    users, outputs = graph.users(), {value.name for value in graph.outputs}
    by_input: dict[Operand, list[Node]] = {}
    for node in graph.nodes:
        name = node.output.name
        if _is_product(node, draft) and name not in outputs and all(map(_is_view, users.get(name, ()))):
            by_input.setdefault(node.inputs[0], []).append(node)
    return {node.output.name: group for group in by_input.values() for node in group}


def _is_view(node: Node) -> bool:
    """Whether a node only looks at its input otherwise, also where that is a part of longer rows."""
    x = node.inputs[0]
    if node.op == "reshape" and isinstance(x, Value):
        return node.output.shape[: len(x.shape) - 1] == x.shape[:-1]
    return node.op in ("permute", "getitem")


def _merged(group: list[Node], draft: Draft) -> Value:
    """One linear layer that gives the results of several side by side."""
    weights = [_constant(node, 1, draft) for node in group]
    biases = [_constant(node, 2, draft) for node in group]
    first, layer = group[0].output, group[0].layer
    weight = draft.constant(f"{layer or first.name}.weight", np.concatenate(weights))
    bias = draft.constant(f"{layer or first.name}.bias", np.concatenate(biases))
    shape = (*first.shape[:-1], sum(map(_features, group)))
    return draft.add("linear", (group[0].inputs[0], weight, bias), first, shape, layer=layer)


def _constant(node: Node, place: int, draft: Draft) -> Array:
    """The weight of a linear layer, or its bias, zeros where it has none."""
    array = draft.array(node.inputs[place]) if len(node.inputs) > place else None
    return np.zeros(_features(node), np.float32) if array is None else array


def _features(node: Node) -> int:
    features = node.output.shape[-1]
    assert isinstance(features, int)
    return features


def _part_of(merged: Value, node: Node, group: list[Node]) -> Node:
    start = sum(_features(other) for other in group[: group.index(node)])
    index = (*(slice(None),) * (len(node.output.shape) - 1), slice(start, start + _features(node)))
    return replace(node, op="getitem", inputs=(merged,), attributes={"index": index})


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
    turned = draft.derived(weight.name, ("turned", weight.name), lambda: at_home(array.T))
    if bias is None:
        count = len(array)
        bias = draft.derived(bias_beside(weight), ("none", count), lambda: np.zeros(count, np.float32))
    return replace(node, op="gemm", inputs=(x, turned, bias, None), attributes={"activation": ""})
