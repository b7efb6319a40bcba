"""OPERATORS, the table of PyTorch's operators by their names, each a function with PyTorch's parameters and defaults.

A row takes and gives what programs hold: tensors, numbers, text, lists, dicts and tuples. Overloads are told apart by
what is met, since the programs that name operators (TorchScript, torch.export) have had their types checked already.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

from ..errors import UnsupportedOpError
from ..tensor import Tensor

Function = Callable[..., Any]
F = TypeVar("F", bound=Function)

OPERATORS: dict[str, Function] = {}
# Name → (the first version of today's meaning, what it meant before). Source: torch/csrc/jit/operator_upgraders.
OLDER: dict[str, tuple[int, Function]] = {}


def enter(name: str, function: Function) -> None:
    """Put a function into the table; a name without a namespace is one of aten's."""
    full = name if "::" in name else f"aten::{name}"
    assert full not in OPERATORS, f"{full} is in the table already"
    OPERATORS[full] = function


def aten(*names: str) -> Callable[[F], F]:
    """Enter a function under these names."""

    def entered(function: F) -> F:
        for name in names:
            enter(name, function)
        return function

    return entered


def before(version: int, name: str) -> Callable[[F], F]:
    """Say what an operator meant in programs of versions below this one."""

    def entered(function: F) -> F:
        OLDER[f"aten::{name}"] = (version, function)
        return function

    return entered


def find(name: str, version: int = 1 << 30) -> Function | None:
    """The row of an operator ("aten::relu"), as programs of this version mean it; None where there is none."""
    older = OLDER.get(name)
    return older[1] if older is not None and version < older[0] else OPERATORS.get(name)


def refuse(name: str, reason: str) -> None:
    """Enter an operator that programs mention beside the way that inference takes; it raises when it is reached."""

    def refused(*_: Any, **__: Any) -> NoReturn:
        raise UnsupportedOpError(f"{name}: {reason}")

    enter(name, refused)


def in_place(name: str) -> Function:
    """The form in place of a row: what it gives is kept in its first tensor."""
    function = OPERATORS[f"aten::{name}"]

    def changed(self: Tensor, *args: Any, **named: Any) -> Tensor:
        result = function(self._before(), *args, **named)
        return self._become(result if isinstance(result, Tensor) else Tensor(result))

    return changed
