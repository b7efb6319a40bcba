"""Primitives that fold dims."""

from __future__ import annotations

from ...graph.ir import Node, Value
from ..emitter import Emitter, call
from .table import rule


@rule("sum", "mean", "prod")
def _(e: Emitter, node: Node) -> str:
    x, dim, dtype = e.operand(node.inputs[0]), node.attributes.get("dim"), e.text(node.attributes.get("dtype"))
    keep = e.text(node.attributes.get("keepdim", False))
    if dim is None:
        return call(node.op, x, dtype=dtype)
    over = dim if node.op == "prod" else [dim] if isinstance(dim, int) else dim
    return call(node.op, x, e.text(over), keep, dtype=dtype)


@rule("amax", "amin", "logsumexp", "norm", "var", "std")
def _(e: Emitter, node: Node) -> str:
    x, dim = node.inputs[0], node.attributes.get("dim")
    assert isinstance(x, Value), "a reduction of a number"
    dims = list(range(len(x.shape))) if dim is None else [dim] if isinstance(dim, int) else dim
    keep = e.text(node.attributes.get("keepdim", False))
    if node.op in ("var", "std"):
        options = {"correction": e.text(node.attributes.get("correction", 1)), "keepdim": keep}
        return call(node.op, e.operand(x), e.text(dims), **options)
    power = [e.text(node.attributes.get("p", 2))] if node.op == "norm" else []
    return call(node.op, e.operand(x), *power, e.text(dims), keep)


@rule("any", "all")
def _(e: Emitter, node: Node) -> str:
    x, dim, keep = e.operand(node.inputs[0]), node.attributes.get("dim"), node.attributes.get("keepdim", False)
    if dim is None:
        return call(node.op, x)
    for each in sorted((d % 64 for d in ([dim] if isinstance(dim, int) else dim)), reverse=True):
        x = call(node.op, x, e.text(each if each < 32 else each - 64), e.text(keep))
    return x


@rule("argmax", "argmin")
def _(e: Emitter, node: Node) -> str:
    options = (node.attributes.get("dim"), node.attributes.get("keepdim", False))
    return call(node.op, e.operand(node.inputs[0]), *map(e.text, options))
