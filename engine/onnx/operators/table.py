"""OPERATORS, the table of ONNX operators: (domain, name) → a function that carries one out by primitives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from ...errors import EngineError

Operator = Callable[..., Any]
Function = TypeVar("Function", bound=Operator)

OPERATORS: dict[tuple[str, str], Operator] = {}


def operator(*names: str, domain: str = "") -> Callable[[Function], Function]:
    """Make a function the one that stands for these operators.

    It is given the Call and the inputs in order, None for one that is left out, and gives one output or a tuple.
    """

    def register(function: Function) -> Function:
        for name in names:
            _enter(domain, name, function)
        return function

    return register


def same(rows: Mapping[str, str]) -> None:
    """Operators that are a primitive under another name."""
    for name, primitive in rows.items():
        _enter("", name, lambda at, *inputs, primitive=primitive: at(primitive, *inputs))


def _enter(domain: str, name: str, function: Operator) -> None:
    if (domain, name) in OPERATORS:
        raise EngineError(f"there is an ONNX operator {domain}:{name} already")
    OPERATORS[domain, name] = function
