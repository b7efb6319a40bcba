"""Writing what puts values into part of a tensor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...graph.ir import Extent, Node, Operand, Size, Value
from .shaping import shape_of
from .writer import Writer, rule, unsupported

Part = tuple[int, int]


@rule("setitem")
def setitem(w: Writer, node: Node) -> None:
    """A part replaced."""
    _into_part(w, node, node.attributes["index"], node.inputs[1])


@rule("overwrite")
def overwrite(w: Writer, node: Node) -> None:
    """All replaced."""
    value = w.read(node.inputs[1], node.output.dtype)
    w.node("Expand", [value, w.sizes(node.output.shape)], node.output.name)


@rule("place")
def place(w: Writer, node: Node) -> None:
    """What a view shows replaced: a part, or everything in another shape or order."""
    view, how = node.attributes["view"].name, node.attributes["how"]
    if view == "getitem":
        _into_part(w, node, how["index"], node.inputs[1])
    elif view == "reshape":
        w.reshape(w.read(node.inputs[1], node.output.dtype), node.output.shape, node.output.name)
    elif view == "permute":
        back = np.argsort([d % len(node.output.shape) for d in how["dims"]]).tolist()
        w.node("Transpose", [w.read(node.inputs[1], node.output.dtype)], node.output.name, perm=back)
    else:
        raise unsupported(f"values put through a view by {view}")


def _into_part(w: Writer, node: Node, index: Sequence[Any], value: Operand) -> None:
    """The value padded to the whole, and chosen where the part is."""
    shape = shape_of(node)
    items = [*index, *[slice(None)] * (len(shape) - sum(i is not None for i in index))]
    if any(item is None for item in items):
        raise unsupported("values put into a part with new dims")
    parts = [_part(item, size) for item, size in zip(items, shape, strict=True)]
    inner = [size if part is None else part[1] - part[0] for part, size in zip(parts, shape, strict=True)]
    name = w.read(value, node.output.dtype)
    shown = [size for size, item in zip(inner, items, strict=True) if isinstance(item, slice)]
    if isinstance(value, Value) and value.shape != tuple(shown) or not isinstance(value, Value):
        name = w.node("Expand", [name, w.sizes(shown)])
    name = w.reshape(name, tuple(inner))
    before = [0 if part is None else part[0] for part in parts]
    after = [
        0 if part is None or not isinstance(size, int) else size - part[1]
        for part, size in zip(parts, shape, strict=True)
    ]
    filling = w.constant(0, node.output.dtype.numpy)
    padded = w.node("Pad", [name, w.whole(*before, *after), filling])
    w.node("Where", [_mask(w, parts, shape), padded, w.read(node.inputs[0])], node.output.name)


def _part(item: Any, size: Size) -> Part | None:
    """Where a part begins and ends along a dim; None for the whole of it."""
    if item == slice(None):
        return None
    if isinstance(size, Extent):
        if isinstance(item, slice) and item.start in (None, 0) and item.stop in (None, size) and item.step in (None, 1):
            return None
        raise unsupported("values put into a part of the batch")
    if isinstance(item, int):
        return item % size, item % size + 1
    if any(isinstance(end, Extent) for end in (item.start, item.stop)):
        raise unsupported("values put into a part that follows the batch")
    start, stop, step = item.indices(size)
    if step != 1:
        raise unsupported("values put into every so many places")
    return start, max(start, stop)


def _mask(w: Writer, parts: Sequence[Part | None], shape: Sequence[Size]) -> str:
    """True where the part is; it broadcasts along dims that are in it whole."""
    sizes = [1 if part is None or not isinstance(size, int) else size for part, size in zip(parts, shape, strict=True)]
    mask = np.zeros(sizes, bool)
    mask[tuple(slice(None) if part is None else slice(*part) for part in parts)] = True
    return w.constant(mask)
