"""unify_joins(), which has one kind of join, and treats at once channels that are treated one by one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from ...dtype import Array
from ..ir import Graph, Node, Operand, Value
from .draft import Draft


def unify_joins(graph: Graph) -> Graph:
    """Write `stack` as `cat`; and where a cat brings an image's channels together again that were scaled and shifted
    each by numbers of its own, scale and shift the image.
    """
    draft = Draft(graph)
    for node in graph.nodes:
        joined = _cat(node, draft) if node.op == "stack" else node
        scaled = _all_at_once(joined, draft) if joined.op == "cat" else None
        draft.keep(scaled or joined)
    return draft.finish()


def _cat(node: Node, draft: Draft) -> Node:
    dim = node.attributes.get("dim", 0) % len(node.output.shape)
    parts = []
    for part in node.inputs:
        assert isinstance(part, Value)
        shape = (*part.shape[:dim], 1, *part.shape[dim:])
        parts.append(draft.add("reshape", (part,), part, shape, layer=node.layer, shape=shape))
    return replace(node, op="cat", inputs=tuple(parts), attributes={"dim": dim})


class Channel(NamedTuple):
    """A channel of an image, scaled and shifted."""

    image: Value
    number: int
    scale: float
    shift: float


def _all_at_once(node: Node, draft: Draft) -> Node | None:
    """The image of which a cat has all channels in order, scaled and shifted."""
    if node.attributes.get("dim", 0) != 1 or len(node.output.shape) < 3:
        return None
    met = [_channel(part, draft) for part in node.inputs]
    channels = [channel for channel in met if channel is not None]
    if len(channels) != len(met) or [c.number for c in channels] != list(range(len(met))):
        return None
    image = channels[0].image
    if any(c.image != image for c in channels) or (image.shape, image.dtype) != (node.output.shape, node.output.dtype):
        return None
    scale, shift = ([getattr(c, name) for c in channels] for name in ("scale", "shift"))
    by = draft.constant(f"{node.output.name}.scale", _as_channels(scale, node))
    scaled = draft.add("mul", (image, by), node.output, node.output.shape, layer=node.layer)
    by = draft.constant(f"{node.output.name}.shift", _as_channels(shift, node))
    return replace(node, op="add", inputs=(scaled, by), attributes={})


def _as_channels(values: Sequence[float], node: Node) -> Array:
    return np.array(values, node.output.dtype.numpy).reshape(-1, *(1,) * (len(node.output.shape) - 2))


def _channel(operand: Operand, draft: Draft) -> Channel | None:
    """Follow one channel back to the image that it is of."""
    scale, shift = 1.0, 0.0
    while (node := draft.maker(operand)) is not None:
        operand = node.inputs[0]
        if node.op in ("mul", "div", "add", "sub"):
            number = draft.number(node.inputs[1])
            if number is None or (node.op == "div" and number == 0):
                return None
            if node.op in ("mul", "div"):
                scale *= number if node.op == "mul" else 1 / number
            else:
                shift += scale * (number if node.op == "add" else -number)
        elif not _adds_dims(node):
            return _taken(node, scale, shift) if node.op == "getitem" else None
    return None


def _adds_dims(node: Node) -> bool:
    """Whether a node gives its input with dims of size 1 added or taken away."""
    x = node.inputs[0]
    if node.op not in ("reshape", "getitem") or not isinstance(x, Value):
        return False
    return [n for n in x.shape if n != 1] == [n for n in node.output.shape if n != 1]


def _taken(node: Node, scale: float, shift: float) -> Channel | None:
    """The channel that x[:, n] or x[:, n : n + 1] takes, perhaps with new dims."""
    image, index = node.inputs[0], [i for i in node.attributes["index"] if i is not None]
    assert isinstance(image, Value)
    if len(index) < 2 or any(i != slice(None) for i in (index[0], *index[2:])) or node.attributes["index"][0] is None:
        return None
    number = index[1]
    if isinstance(number, slice):
        single = number.step in (None, 1) and number.start is not None and number.stop == number.start + 1
        number = number.start if single else -1
    return Channel(image, number, scale, shift) if isinstance(number, int) and number >= 0 else None
