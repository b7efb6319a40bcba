"""Operators of text, and text of values as PyTorch writes it."""

from __future__ import annotations

import re
from typing import Any

from ..device import device
from ..errors import EngineError
from ..tensor import Tensor
from .table import aten, enter

METHODS = (
    "capitalize", "center", "endswith", "expandtabs", "find", "isalnum", "isalpha", "isdecimal", "isdigit",
    "isidentifier", "islower", "isnumeric", "isprintable", "isspace", "istitle", "isupper", "ljust", "lower", "lstrip",
    "rfind", "rindex", "rjust", "rstrip", "startswith", "strip", "swapcase", "title", "upper", "zfill",
)  # fmt: skip
LISTS = ("partition", "rpartition", "rsplit", "splitlines")
_LONGEST = 1 << 20


def _method(name: str) -> Any:
    function = getattr(str, name)

    def of_text(self: str, *args: Any) -> Any:
        if any(type(a) is int and a > _LONGEST for a in args) and name in ("center", "ljust", "rjust", "zfill"):
            raise EngineError(f"{name}: text of more than {_LONGEST} letters")
        result = function(self, *args)
        return result if name in ("partition", "rpartition") else list(result) if name in LISTS else result

    return of_text


for _name in (*METHODS, *LISTS):
    enter(_name, _method(_name))


@aten("join")
def _(self: str, values: list[str]) -> str:
    return self.join(values)


@aten("replace")
def _(self: str, old: str, new: str, max: int = -1) -> str:
    return self.replace(old, new, max)


@aten("ord")
def _(string: str) -> int:
    return ord(string)


@aten("chr")
def _(i: int) -> str:
    return chr(i)


@aten("hex")
def _(i: int) -> str:
    return hex(i)


@aten("oct")
def _(i: int) -> str:
    return oct(i)


@aten("bin")
def _(i: int) -> str:
    return bin(i)


@aten("str")
def shown(value: Any) -> str:
    """A value as text: floats with 17 digits and a bare point, the rest as Python has it."""
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return _shown_float(value)
    if isinstance(value, (list, tuple)):
        inner = ", ".join(map(_quoted, value))
        return f"[{inner}]" if isinstance(value, list) else f"({inner}{',' if len(value) == 1 else ''})"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_quoted(k)}: {_quoted(v)}" for k, v in value.items()) + "}"
    if isinstance(value, (int, bool, type(None), complex, device)):
        return str(value)
    return repr(value) if isinstance(value, Tensor) else type(value).__name__


def _quoted(value: Any) -> str:
    return repr(value) if isinstance(value, str) else shown(value)


def _shown_float(value: float) -> str:
    digits = f"{value:.17g}"
    return f"{digits}." if re.fullmatch(r"-?\d+", digits) else digits


@aten("format")
def _(self: str, *args: Any) -> str:
    parts = self.split("{}")
    if len(parts) - 1 > len(args):
        raise EngineError(f"format: {len(parts) - 1} places for {len(args)} values")
    return "".join(part + (shown(args[n]) if n < len(parts) - 1 else "") for n, part in enumerate(parts))


@aten("percentFormat")
def _(self: str, *args: Any) -> str:
    if re.search(r"%[^%a-zA-Z]*\d{5}", self):
        raise EngineError("%: a field of more than 9999 letters")
    values = tuple(shown(a) if isinstance(a, (float, Tensor)) and "%s" in self else a for a in args)
    try:
        return self % values
    except (TypeError, ValueError) as error:
        raise EngineError(f"%: {error}") from error
