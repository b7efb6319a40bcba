"""fold_padding(), which has a convolution pad its input itself."""

from __future__ import annotations

from dataclasses import replace

from ..ir import Graph, Node
from .draft import Draft


def fold_padding(graph: Graph) -> Graph:
    """Add the zeros that an image is padded with to the padding of the convolution after it."""
    draft = Draft(graph)
    for node in graph.nodes:
        draft.keep(_padded(node, draft) or node)
    return draft.finish()


def _padded(node: Node, draft: Draft) -> Node | None:
    pad = draft.maker(node.inputs[0]) if node.op == "conv" else None
    if pad is None or pad.op != "pad" or pad.attributes.get("mode", "constant") != "constant":
        return None
    widths = pad.attributes["widths"]
    if pad.attributes.get("value", 0) != 0 or any(map(any, widths[:2])) or min(map(min, widths)) < 0:
        return None
    both = zip(node.attributes["padding"], widths[2:], strict=True)
    padding = tuple((before + a, after + b) for (before, after), (a, b) in both)
    return replace(node, inputs=(pad.inputs[0], *node.inputs[1:]), attributes={**node.attributes, "padding": padding})
