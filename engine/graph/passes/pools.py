"""pool_before_pointwise(), which has a convolution of single pixels work on the fewer pixels that a pool leaves."""

from __future__ import annotations

import math
from dataclasses import replace

from ..ir import Graph, Node, Value
from .draft import Draft


def pool_before_pointwise(graph: Graph) -> Graph:
    """Take means of windows before a pointwise convolution instead of after it: both are sums, so the order is free."""
    draft = Draft(graph)
    for node in graph.nodes:
        draft.keep(_turned_round(node, draft) or node)
    return draft.finish()


def _turned_round(node: Node, draft: Draft) -> Node | None:
    conv = draft.maker(node.inputs[0]) if _is_mean(node) else None
    if conv is None or not is_pointwise(conv) or not draft.is_between(node.inputs[0]):
        return None
    x = conv.inputs[0]
    assert isinstance(x, Value)
    shape = (*x.shape[:2], *node.output.shape[2:])
    pooled = draft.add("avg_pool", (x,), x, shape, layer=node.layer, **node.attributes)
    return replace(conv, inputs=(pooled, *conv.inputs[1:]), outputs=node.outputs)


def _is_mean(node: Node) -> bool:
    """Whether a node takes means of what lies inside an image, and leaves fewer pixels."""
    if node.op != "avg_pool" or node.attributes["divisor"] is not None or any(map(any, node.attributes["padding"])):
        return False
    x = node.inputs[0]
    assert isinstance(x, Value)
    sizes = (*x.shape[2:], *node.output.shape[2:])
    plain = [s for s in sizes if isinstance(s, int)]
    return len(plain) == len(sizes) and math.prod(node.output.shape[2:]) < math.prod(x.shape[2:])  # type: ignore[arg-type]


def is_pointwise(node: Node) -> bool:
    """Whether a convolution computes every pixel from the one at its place."""
    a, weight = node.attributes, node.inputs[1] if node.op == "conv" else None
    return (
        isinstance(weight, Value) and set(weight.shape[2:]) == {1}
        and set(a["stride"]) == {1} and not any(map(any, a["padding"]))
    )  # fmt: skip
