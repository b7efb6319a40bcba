"""recognise_functions(), which finds activations that are written out in arithmetic."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ...dtype import float32
from ..ir import Graph, Node, Operand, Value
from .draft import Draft

CLOSE = 1e-6  # relative, what float32 tells apart

Found = tuple[str, Value, dict[str, Any]]


def recognise_functions(graph: Graph) -> Graph:
    """Write gelu, silu, mish, hardsigmoid and hardswish as one node where their formulas stand.

    Likewise squares that are powers of two, and extremes whose positions nobody asks for.
    """
    draft = Draft(graph)
    for node in graph.nodes:
        draft.keep(_found(node, draft) or node)
    return draft.finish()


def _found(node: Node, draft: Draft) -> Node | None:
    if node.output.dtype != float32:
        return None
    if node.op in ("max_dim", "min_dim") and draft.is_unread(node.outputs[1]):
        return replace(node, op=f"a{node.op[:3]}", outputs=node.outputs[:1])
    if node.op == "pow" and draft.number(node.inputs[1]) == 2 and isinstance(node.inputs[0], Value):
        return replace(node, op="square", inputs=node.inputs[:1])
    found = _function(node, draft)
    if found is None or (found[1].shape, found[1].dtype) != (node.output.shape, float32):
        return None
    op, x, attributes = found
    return replace(node, op=op, inputs=(x,), attributes=attributes)


def _function(node: Node, draft: Draft) -> Found | None:
    if node.op not in ("mul", "div"):
        return None
    number, factors = _factors(node, draft)
    if len(factors) == 1:
        return _single(number, factors[0], draft)
    if len(factors) != 2:
        return None
    for x, gate in (factors, factors[::-1]):
        for rule in GATES:
            if found := rule(number, x, gate, draft):
                return found
    return None


def _factors(operand: Operand | Node, draft: Draft) -> tuple[float, list[Value]]:
    """A product as a number and the values it is made of."""
    node = operand if isinstance(operand, Node) else draft.maker(operand)
    if isinstance(operand, Value) and (node is None or node.op not in ("mul", "div")):
        return 1.0, [operand]
    assert node is not None
    number = 1.0
    factors: list[Value] = []
    for place, item in enumerate(node.inputs):
        value = draft.number(item)
        if node.op == "div" and place == 1:
            if value is None or value == 0:
                return 1.0, [node.output]
            number /= value
        elif value is not None:
            number *= value
        elif not isinstance(item, Value):  # a number that follows the batch
            return 1.0, [node.output]
        else:
            more, some = _factors(item, draft)
            number, factors = number * more, factors + some
    return number, factors


def _is(value: float, wanted: float) -> bool:
    return math.isclose(value, wanted, rel_tol=CLOSE)


def _made_by(op: str, value: Operand, draft: Draft) -> Node | None:
    node = draft.maker(value)
    return node if node is not None and node.op == op else None


def _plus(value: Operand, number: float, draft: Draft) -> Value | None:
    """What a number is added to."""
    node = _made_by("add", value, draft)
    if node is None:
        return None
    for one, other in (node.inputs, node.inputs[::-1]):
        met = draft.number(other)
        if isinstance(one, Value) and met is not None and _is(met, number):
            return one
    return None


def _silu(number: float, x: Value, gate: Value, draft: Draft) -> Found | None:
    node = _made_by("sigmoid", gate, draft)
    return ("silu", x, {}) if number == 1 and node is not None and node.inputs[0] == x else None


def _mish(number: float, x: Value, gate: Value, draft: Draft) -> Found | None:
    tanh = _made_by("tanh", gate, draft)
    soft = _made_by("softplus", tanh.inputs[0], draft) if tanh else None
    plain = soft is not None and soft.attributes.get("beta", 1) == 1 and soft.attributes.get("threshold", 20) == 20
    return ("mish", x, {}) if number == 1 and soft is not None and plain and soft.inputs[0] == x else None


def _hardswish(number: float, x: Value, gate: Value, draft: Draft) -> Found | None:
    direct = _made_by("hardsigmoid", gate, draft)
    if direct is not None:
        return ("hardswish", x, {}) if number == 1 and direct.inputs[0] == x else None
    return ("hardswish", x, {}) if _is(number, 1 / 6) and _kept_in_six(gate, draft) == x else None


def _kept_in_six(gate: Value, draft: Draft) -> Value | None:
    """x, where a value is x + 3 kept between 0 and 6."""
    node = _made_by("clamp", gate, draft)
    if node is None or (node.attributes.get("min"), node.attributes.get("max")) != (0, 6):
        return None
    return _plus(node.inputs[0], 3, draft)


def _single(number: float, gate: Value, draft: Draft) -> Found | None:
    x = _kept_in_six(gate, draft) if _is(number, 1 / 6) else None
    return None if x is None else ("hardsigmoid", x, {})


def _gelu(number: float, x: Value, gate: Value, draft: Draft) -> Found | None:
    """x / 2 · (1 + erf(x / √2)), or with a tanh that comes near that."""
    inner = _plus(gate, 1, draft) if _is(number, 0.5) else None
    if inner is None:
        return None
    if erf := _made_by("erf", inner, draft):
        by, factors = _factors(erf.inputs[0], draft)
        return ("gelu", x, {"approximate": "none"}) if _is(by, math.sqrt(0.5)) and factors == [x] else None
    tanh = _made_by("tanh", inner, draft)
    bent = tanh is not None and _is_bent(tanh.inputs[0], x, draft)
    return ("gelu", x, {"approximate": "tanh"}) if bent else None


def _is_bent(operand: Operand, x: Value, draft: Draft) -> bool:
    """Whether a value is √(2/π) · (x + 0.044715 x³), the number multiplied out or not."""
    root = math.sqrt(2 / math.pi)
    by, factors = _factors(operand, draft)
    add = _made_by("add", factors[0], draft) if len(factors) == 1 else None
    if add is None:
        return False
    terms = [_power(item, x, draft) for item in add.inputs]
    wanted = {1: root, 3: 0.044715 * root}
    return {p for _, p in terms} == {1, 3} and all(_is(by * number, wanted[p]) for number, p in terms)


def _power(operand: Operand, x: Value, draft: Draft) -> tuple[float, int]:
    """A value as a number times a power of x; 0 for the power where it is none."""
    if not isinstance(operand, Value):
        return 1.0, 0
    number, factors = _factors(operand, draft)
    powers = [_own_power(factor, x, draft) for factor in factors]
    return number, sum(powers) if all(powers) else 0


def _own_power(factor: Value, x: Value, draft: Draft) -> int:
    if factor == x:
        return 1
    node = draft.maker(factor)
    if node is None or node.op not in ("pow", "square") or node.inputs[0] != x:
        return 0
    power = 2.0 if node.op == "square" else draft.number(node.inputs[1])
    return int(power) if power in (2, 3) else 0


GATES: tuple[Callable[[float, Value, Value, Draft], Found | None], ...] = (_silu, _gelu, _hardswish, _mish)
