"""to_channels_last(), which has images flow as (N, H, W, C) from the first operation that wants them so to the last."""

from __future__ import annotations

from ..ir import Graph
from .image_rules import IMAGE_RULES
from .layouts import Layouts
from .view_rules import VIEW_RULES

RULES = {**IMAGE_RULES, **VIEW_RULES}


def to_channels_last(graph: Graph) -> Graph:
    """Lower convolutions, pools and norms to those of images with channels last, and lay out what lies between so.

    A sequence (N, C, L) is an image of height 1. What has no such form gets its inputs as they were.
    """
    draft = Layouts(graph)
    for node in graph.nodes:
        rule = RULES.get(node.op)
        if rule is None or not rule(node, draft):
            draft.keep(node, inputs=tuple(map(draft.plain, node.inputs)))
    for value in graph.outputs:
        draft.stand_in(value, draft.plain(value))
    return draft.finish()
