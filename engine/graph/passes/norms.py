"""recognise_norms(), which finds layer and RMS normalisations that are written out in arithmetic."""

from __future__ import annotations

from dataclasses import replace

from ...dtype import float32
from ..ir import Graph, Node, Operand, Value
from .draft import Draft

NORMS = ("layer_norm", "rms_norm")


def recognise_norms(graph: Graph) -> Graph:
    """Write a normalisation over the last dims as one node, with the weight and bias that follow it.

    (x - mean) / √(mean((x - mean)²) + eps) is layer_norm, x / √(mean(x²) + eps) is rms_norm.
    """
    draft = Draft(graph)
    for node in graph.nodes:
        draft.keep(_norm(node, draft) or _with_parameter(node, draft) or node)
    return draft.finish()


def _norm(node: Node, draft: Draft) -> Node | None:
    """The normalisation that ends in this quotient or product."""
    if node.output.dtype != float32 or node.op not in ("div", "mul"):
        return None
    for unit, factor in [node.inputs] if node.op == "div" else [node.inputs, node.inputs[::-1]]:
        root = _spread(factor, draft, inverse=node.op == "mul")
        if root is None or not isinstance(unit, Value):
            continue
        power, eps = root
        squared = _squared_mean(power, draft)
        if squared is None or draft.now(squared[0]) != draft.now(unit):
            continue
        dims = squared[1]
        x = _centred(unit, dims, draft)
        op, inputs = ("rms_norm", (unit, None)) if x is None else ("layer_norm", (x, None, None))
        if (x or unit).shape == node.output.shape:
            return replace(node, op=op, inputs=inputs, attributes={"dims": dims, "eps": eps})
    return None


def _made_by(op: str, operand: Operand, draft: Draft) -> Node | None:
    node = draft.maker(operand)
    return node if node is not None and node.op == op else None


def _spread(factor: Operand, draft: Draft, inverse: bool) -> tuple[Operand, float] | None:
    """v and eps where an operand is √(v + eps), or 1 over that."""
    root = factor
    if inverse:
        if turned := _made_by("rsqrt", factor, draft):
            return _sum_with_number(turned.inputs[0], draft)
        whole = _made_by("reciprocal", factor, draft)
        if whole is None:
            return None
        root = whole.inputs[0]
    square_root = _made_by("sqrt", root, draft)
    return None if square_root is None else _sum_with_number(square_root.inputs[0], draft)


def _sum_with_number(operand: Operand, draft: Draft) -> tuple[Operand, float] | None:
    node = _made_by("add", operand, draft)
    if node is None:
        return None
    for one, other in (node.inputs, node.inputs[::-1]):
        number = draft.number(other)
        if number is not None and number >= 0 and isinstance(one, Value):
            return one, number
    return None


def _squared_mean(operand: Operand, draft: Draft) -> tuple[Value, int] | None:
    """y and the number of dims where an operand is the mean of y² over its last dims."""
    mean = _made_by("mean", operand, draft)
    dims = None if mean is None else _last_dims(mean)
    if mean is None or dims is None:
        return None
    square = draft.maker(mean.inputs[0])
    if square is None:
        return None
    y = square.inputs[0]
    twice = square.op == "mul" and square.inputs[0] == square.inputs[1]
    power = square.op == "pow" and draft.number(square.inputs[1]) == 2
    return (y, dims) if isinstance(y, Value) and (square.op == "square" or twice or power) else None


def _last_dims(mean: Node) -> int | None:
    """How many dims a mean is over, where these are the last ones, and are kept."""
    x, dim = mean.inputs[0], mean.attributes.get("dim")
    if not isinstance(x, Value) or dim is None or not mean.attributes.get("keepdim"):
        return None
    ndim = len(x.shape)
    dims = sorted(d % ndim for d in ((dim,) if isinstance(dim, int) else dim))
    fixed = all(isinstance(size, int) for size in x.shape[ndim - len(dims) :])
    return len(dims) if fixed and dims == list(range(ndim - len(dims), ndim)) else None


def _centred(unit: Value, dims: int, draft: Draft) -> Value | None:
    """x where a value is x less its mean over the last dims."""
    node = _made_by("sub", unit, draft)
    mean = _made_by("mean", node.inputs[1], draft) if node is not None else None
    if node is None or mean is None or _last_dims(mean) != dims or mean.inputs[0] != node.inputs[0]:
        return None
    x = node.inputs[0]
    return x if isinstance(x, Value) else None


def _with_parameter(node: Node, draft: Draft) -> Node | None:
    """A normalisation with the weight that multiplies it, or with the bias that is added."""
    if node.op not in ("mul", "add"):
        return None
    for unit, parameter in (node.inputs, node.inputs[::-1]):
        norm = draft.maker(unit)
        if norm is None or norm.op not in NORMS or not draft.is_between(unit) or draft.array(parameter) is None:
            continue
        place = 1 if node.op == "mul" else 2
        free = place < len(norm.inputs) and norm.inputs[place] is None
        fits = isinstance(parameter, Value) and parameter.shape == norm.output.shape[-norm.attributes["dims"] :]
        if free and fits and (place == 1 or norm.inputs[1] is not None) and node.output.shape == norm.output.shape:
            inputs = (*norm.inputs[:place], parameter, *norm.inputs[place + 1 :])
            return replace(node, op=norm.op, inputs=inputs, attributes=norm.attributes)
    return None
