"""remove_identities(), which leaves out nodes that give what they were given, and views that undo each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from ..ir import Graph, Node, Value
from .draft import Draft


def remove_identities(graph: Graph) -> Graph:
    """Leave out copies, casts to the same dtype, pools of single elements, and permutes and reshapes that cancel."""
    draft = Draft(graph)
    for node in graph.nodes:
        node = _merged(node, draft)
        if node.op in SAME and SAME[node.op](node, draft):
            source = node.inputs[0]
            assert isinstance(source, Value)
            draft.stand_in(node.output, source)
        else:
            draft.keep(node)
    return draft.finish()


def _merged(node: Node, draft: Draft) -> Node:
    """A permute of a permute, or a reshape of a reshape, as one."""
    before = draft.maker(node.inputs[0]) if node.op in ("permute", "reshape") else None
    if before is None or before.op != node.op:
        return node
    if node.op == "reshape":
        return replace(node, inputs=before.inputs)
    first, then = _dims(before), _dims(node)
    return replace(node, inputs=before.inputs, attributes={"dims": tuple(first[d] for d in then)})


def _dims(node: Node) -> tuple[int, ...]:
    """The dims of a permute, counted from the first."""
    return tuple(d % len(node.output.shape) for d in node.attributes["dims"])


def _same_shape(node: Node, _draft: Draft) -> bool:
    source = node.inputs[0]
    return isinstance(source, Value) and source.shape == node.output.shape and source.dtype == node.output.dtype


def _is_single(node: Node, draft: Draft) -> bool:
    """A pool whose windows are single elements."""
    a = node.attributes
    plain = {*a["kernel"], *a["stride"]} == {1} and not any(map(any, a["padding"])) and not a.get("divisor")
    return plain and _same_shape(node, draft)


def _is_alone(node: Node, draft: Draft) -> bool:
    return len(node.inputs) == 1 and _same_shape(node, draft)


def _is_in_order(node: Node, _draft: Draft) -> bool:
    return _dims(node) == tuple(range(len(node.output.shape)))


def _adds(number: int) -> Callable[[Node, Draft], bool]:
    """Whether the second operand is a number that changes nothing."""

    def check(node: Node, draft: Draft) -> bool:
        other = node.inputs[1]
        return isinstance(other, (int, float)) and other == number and _same_shape(node, draft)

    return check


def _is_area(node: Node, draft: Draft) -> bool:
    return node.attributes["mode"] == "area" and _same_shape(node, draft)


def _takes_all(node: Node, draft: Draft) -> bool:
    whole = all(isinstance(i, slice) for i in node.attributes["index"])
    return whole and _same_shape(node, draft) and all(i.step in (None, 1) for i in node.attributes["index"])


def _takes_none(node: Node, draft: Draft) -> bool:
    return _same_shape(node, draft) and not any(map(any, node.attributes["widths"]))


SAME: Mapping[str, Callable[[Node, Draft], bool]] = {
    "cast": _same_shape, "clone": _same_shape, "contiguous": _same_shape, "reshape": _same_shape, "expand": _same_shape,
    "permute": _is_in_order, "getitem": _takes_all, "pad": _takes_none, "interpolate": _is_area,
    "max_pool": _is_single, "avg_pool": _is_single, "adaptive_max_pool": _same_shape, "cat": _is_alone,
    "add": _adds(0), "sub": _adds(0), "mul": _adds(1), "div": _adds(1), "pow": _adds(1),
}  # fmt: skip
