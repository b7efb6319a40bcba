"""fold_padding(), which has a convolution pad its input itself; drop_padded_taps(), which spares it the zeros."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..ir import Graph, Node, Value
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


def drop_padded_taps(graph: Graph) -> Graph:
    """Cut those rows and columns off a filter that meet nothing but zeros around the image.

    Where a filter is dilated by more than the image is wide, its middle is all that counts.
    """
    draft = Draft(graph)
    for node in graph.nodes:
        draft.keep(_cut(node, draft) or node)
    return draft.finish()


def _cut(node: Node, draft: Draft) -> Node | None:
    x, weight = node.inputs[:2] if node.op == "conv" else (None, None)
    array = draft.array(weight)
    if not isinstance(x, Value) or not isinstance(weight, Value) or array is None:
        return None
    a, sizes, counts = node.attributes, x.shape[2:], node.output.shape[2:]
    if not all(type(n) is int for n in (*sizes, *counts)):
        return None
    steps = zip(array.shape[2:], sizes, counts, a["stride"], a["dilation"], a["padding"], strict=True)
    ranges = [_seen(*each) for each in steps]
    if all((first, last) == (0, taps) for (first, last), taps in zip(ranges, array.shape[2:], strict=True)):
        return None
    index = (slice(None), slice(None), *(slice(*each) for each in ranges))
    key = ("cut", weight.name, tuple(ranges))
    shorter = draft.derived(weight.name, key, lambda: np.ascontiguousarray(array[index]))
    padding = tuple(
        (before - first * d, after - (taps - last) * d)
        for (first, last), taps, d, (before, after) in zip(
            ranges, array.shape[2:], a["dilation"], a["padding"], strict=True
        )
    )
    if min(map(min, padding)) < 0:
        return None
    return replace(node, inputs=(x, shorter, *node.inputs[2:]), attributes={**a, "padding": padding})


def _seen(taps: int, size: int, count: int, stride: int, dilation: int, padding: tuple[int, int]) -> tuple[int, int]:
    """The first tap along a dim that meets the image for some output, and the one after the last."""
    reach = (count - 1) * stride
    met = [n for n in range(taps) if n * dilation - padding[0] < size and reach + n * dilation - padding[0] >= 0]
    first, last = (met[0], met[-1] + 1) if met else (0, taps)
    return first, last
