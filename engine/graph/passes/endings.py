"""fuse_endings(), which has a sum and an activation done where their input is made."""

from __future__ import annotations

from dataclasses import replace

from ...dtype import float32
from ..ir import Graph, Node, Value
from .draft import Draft
from .elementwise import ending_of

WITH_RESIDUAL = ("conv_nhwc", "gemm")
WITH_ACTIVATION = ("conv_nhwc", "gemm", "affine_nhwc")


def fuse_endings(graph: Graph) -> Graph:
    """Fuse sums into the product that is computed last of their operands, and activations into what comes before."""
    draft = Draft(graph)
    order = {output.name: number for number, node in enumerate(graph.nodes) for output in node.outputs}
    for node in graph.nodes:
        draft.keep(_with_sum(node, draft, order) or _with_activation(node, draft) or node)
    return draft.finish()


def _with_sum(node: Node, draft: Draft, order: dict[str, int]) -> Node | None:
    """A product that adds the other operand of a sum."""
    if node.op != "add" or not _is_plain(node):
        return None
    a, b = node.inputs
    fitting = [
        (value, other) for value, other in ((a, b), (b, a))
        if isinstance(value, Value) and isinstance(other, Value) and other.shape == value.shape == node.output.shape
        and draft.is_between(value) and _takes_residual(draft.maker(value))
    ]  # fmt: skip
    if not fitting:
        return None
    value, residual = max(fitting, key=lambda pair: order[pair[0].name])
    product = draft.maker(value)
    assert product is not None
    inputs = (*product.inputs[:3], residual, *product.inputs[4:])
    return replace(product, inputs=inputs, outputs=node.outputs)


def _is_plain(node: Node) -> bool:
    """Whether all is float32."""
    operands = (*node.inputs, node.output)
    return all(isinstance(o, (int, float)) or (isinstance(o, Value) and o.dtype == float32) for o in operands)


def _takes_residual(product: Node | None) -> bool:
    return (
        product is not None and product.op in WITH_RESIDUAL
        and product.inputs[3] is None and not product.attributes["activation"]
    )  # fmt: skip


def _with_activation(node: Node, draft: Draft) -> Node | None:
    """What comes before an activation, with that at its end."""
    ending = ending_of(node)
    before = draft.maker(node.inputs[0]) if ending else None
    if before is None or not draft.is_between(node.inputs[0]) or node.output.dtype != float32:
        return None
    if before.op == "add" and _is_plain(before):
        return replace(before, op="add_act", outputs=node.outputs, attributes={"activation": ending})
    if before.op not in WITH_ACTIVATION or before.attributes["activation"]:
        return None
    return replace(before, outputs=node.outputs, attributes={**before.attributes, "activation": ending})
