"""Primitives that pick elements and put them."""

from __future__ import annotations

from typing import Any

from ...errors import UnsupportedOpError
from ...graph.ir import Node, Value
from ...ops.bags import MODES
from ..emitter import Emitter, call
from .table import RULES, like, rule


def _viewed(e: Emitter, x: str, index: Any) -> str:
    """Numbers, slices and new dims one after the other."""
    dim = 0
    for item in index:
        if item is None:
            x = call("unsqueeze", x, str(dim))
        elif isinstance(item, slice):
            if item != slice(None):
                parts = (item.start, item.stop, 1 if item.step is None else item.step)
                x = call("slice", x, str(dim), *map(e.text, parts))
        else:
            x = call("select", x, str(dim), e.text(item))
            continue
        dim += 1
    return x


@rule("getitem")
def _(e: Emitter, node: Node) -> str:
    return _viewed(e, e.operand(node.inputs[0]), node.attributes["index"])


@rule("place")
def _(e: Emitter, node: Node) -> str:
    """A copy, a view of which then takes the part."""
    whole, part = node.inputs
    copy = e.let(call("clone", e.operand(whole)), "copy")
    view, how = node.attributes["view"], node.attributes["how"]
    assert isinstance(whole, Value), "a part of a number"
    inner = Node(view.name, (Value(copy, whole.shape, whole.dtype),), node.outputs, how)
    e.know(copy)
    seen = e.let(RULES[view.name](e, inner), "view")
    e.let(call("copy_" if isinstance(part, Value) else "fill_", seen, e.operand(part)))
    return copy


@rule("setitem")
def _(e: Emitter, node: Node) -> str:
    whole, part = node.inputs
    copy = e.let(call("clone", e.operand(whole)), "copy")
    seen = _viewed(e, copy, node.attributes["index"])
    e.let(call("copy_" if isinstance(part, Value) else "fill_", seen, e.operand(part)))
    return copy


@rule("overwrite")
def _(e: Emitter, node: Node) -> str:
    whole, part = node.inputs
    name = "copy_" if isinstance(part, Value) else "fill_"
    return call(name, call("empty_like", e.operand(whole)), e.operand(part))


def _positions(e: Emitter, positions: Any, dims: Any) -> str:
    found = dict(zip(dims, e.operands(positions), strict=True))
    items = ", ".join(found.get(d, "None") for d in range(max(dims) + 1))
    return f"annotate(List[Optional[Tensor]], [{items}])"


@rule("index")
def _(e: Emitter, node: Node) -> str:
    x, *positions = node.inputs
    return call("index", e.operand(x), _positions(e, positions, node.attributes["dims"]))


@rule("index_put")
def _(e: Emitter, node: Node) -> str:
    x, value, *positions = node.inputs
    at = _positions(e, positions, node.attributes["dims"])
    accumulate = e.text(node.attributes.get("accumulate", False))
    return call("index_put", e.operand(x), at, e.tensor(value, like(node)), accumulate)


@rule("gather")
def _(e: Emitter, node: Node) -> str:
    x, index = e.operands(node.inputs)
    return call("gather", x, e.text(node.attributes["dim"]), index)


@rule("scatter", "scatter_add")
def _(e: Emitter, node: Node) -> str:
    x, index, value = e.operands(node.inputs)
    return call(node.op, x, e.text(node.attributes["dim"]), index, value)


@rule("embedding")
def _(e: Emitter, node: Node) -> str:
    padding = node.attributes.get("padding_idx")
    return call("embedding", *e.operands(node.inputs), e.text(-1 if padding is None else padding))


@rule("searchsorted")
def _(e: Emitter, node: Node) -> str:
    return call("searchsorted", *e.operands(node.inputs), right=e.text(node.attributes.get("right", False)))


@rule("unique")
def _(e: Emitter, node: Node) -> str:
    if node.attributes.get("dim") is not None:
        raise UnsupportedOpError("unique along a dim cannot be written as TorchScript")
    return call("_unique2", e.operand(node.inputs[0]), "True", "True", "True")


@rule("embedding_bag")
def _(e: Emitter, node: Node) -> str:
    """PyTorch's operator gives four tensors, of which the first is the bags."""
    weight, index, offsets, factors = (*node.inputs, None, None)[:4]
    if not isinstance(offsets, Value):
        raise UnsupportedOpError(
            f"embedding_bag of a 2-d input cannot be written (layer {node.layer or '-'}): give it offsets"
        )
    mode, padding = node.attributes.get("mode", "mean"), node.attributes.get("padding_idx")
    rest = ("False", str(MODES.index(mode)), "False", e.operand(factors), "False", e.text(padding))
    return e.unpacked(call("embedding_bag", *e.operands((weight, index, offsets)), *rest), 4)[0]
