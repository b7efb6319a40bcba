"""Types as programs write them, for `isinstance` alone: everything else was checked where the program was made."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

from ..device import device
from ..errors import FormatError
from ..tensor import Tensor
from .module import ScriptModule
from .syntax import chain
from .values import Member, NamedResult, ScriptClass, ScriptObject

Test = Callable[[Any], bool]

_PLAIN: dict[str, Test] = {
    "Tensor": lambda v: isinstance(v, Tensor),
    "int": lambda v: type(v) is int,
    "float": lambda v: type(v) is float,
    "complex": lambda v: type(v) is complex,
    "bool": lambda v: type(v) is bool,
    "str": lambda v: type(v) is str,
    "number": lambda v: type(v) in (int, float, complex, bool),
    "Scalar": lambda v: type(v) in (int, float, complex, bool),
    "NoneType": lambda v: v is None,
    "None": lambda v: v is None,
    "Device": lambda v: isinstance(v, device),
    "Any": lambda v: True,
    "list": lambda v: type(v) is list,
    "tuple": lambda v: isinstance(v, tuple),
}
NUMBERS = frozenset({"int", "float", "bool", "number", "Scalar", "complex"})


def test_of(node: ast.expr, resolve: Callable[[str], Any]) -> Test:
    """Whether a value is of a type, or of one of a list of types."""
    if isinstance(node, (ast.List, ast.Tuple)):
        return _any([test_of(n, resolve) for n in node.elts])
    if isinstance(node, ast.Constant) and node.value is None:
        return _PLAIN["None"]
    if isinstance(node, ast.Name) and node.id in _PLAIN:
        return _PLAIN[node.id]
    if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name):
        inner = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        return _of_parts(node.value.id, [test_of(n, resolve) for n in inner])
    names = chain(node)
    if names and names[0] == "__torch__":
        return _of_class(resolve(".".join(names)))
    raise FormatError(f"line {node.lineno}: no type that is known")


def _any(tests: list[Test]) -> Test:
    return lambda v: any(test(v) for test in tests)


def _of_parts(name: str, tests: list[Test]) -> Test:
    if name == "Optional":
        return _any([*tests, _PLAIN["None"]])
    if name == "Union":
        return _any(tests)
    if name == "List" and len(tests) == 1:
        return lambda v: type(v) is list and all(map(tests[0], v))
    if name == "Dict" and len(tests) == 2:
        return lambda v: isinstance(v, dict) and all(map(tests[0], v)) and all(map(tests[1], v.values()))
    if name == "Tuple":
        return lambda v: (
            isinstance(v, tuple) and len(v) == len(tests) and all(t(i) for t, i in zip(tests, v, strict=True))
        )
    if name in ("Future", "Await", "Final") and len(tests) == 1:
        return tests[0]
    raise FormatError(f"no type {name} is known")


def _of_class(cls: Any) -> Test:
    def test(value: Any) -> bool:
        if isinstance(value, ScriptModule):
            return value._class is cls
        if isinstance(value, (ScriptObject, Member)):
            return value.cls is cls
        return isinstance(value, NamedResult) and isinstance(cls, ScriptClass) and type(value) is cls.tuple_type

    return test
