"""Reading what JSON holds: each item asked for by its kind, so that whatever else is there ends as a FormatError."""

from __future__ import annotations

import json
from typing import Any, TypeVar

from ..errors import FormatError
from ..formats.limits import quote

T = TypeVar("T")
_FLOATS = {"Infinity": float("inf"), "-Infinity": float("-inf"), "NaN": float("nan"), "inf": float("inf")}


def parsed(content: bytes, name: str) -> dict[str, Any]:
    """A record's object."""
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{name} is no JSON: {quote(str(error))}") from error
    return need(value, dict, name)


def need(value: Any, kind: type[T], what: str) -> T:
    """The value, if it is of that kind."""
    if type(value) is not kind:
        raise FormatError(f"{what} is {quote(value)}; expected a {kind.__name__}")
    return value


def field(item: Any, name: str, kind: type[T]) -> T:
    """A field of an object, of that kind."""
    table = need(item, dict, "an item")
    if name not in table:
        raise FormatError(f"an item lacks its {quote(name)}")
    return need(table[name], kind, quote(name))


def only(item: Any, what: str) -> tuple[str, Any]:
    """(the kind, the content) of an item that is tagged with its kind: {"as_int": 3}."""
    table = need(item, dict, what)
    if len(table) != 1:
        raise FormatError(f"{what} has {len(table)} kinds; expected one")
    ((kind, content),) = table.items()
    return kind, content


def integer(item: Any, what: str) -> int:
    """A size or stride: {"as_int": 3}."""
    kind, content = only(item, what)
    if kind != "as_int":
        raise FormatError(f"{what} is {quote(kind)}; expected a number that is known")
    return need(content, int, what)


def floating(value: Any) -> float:
    """A float, also one that JSON cannot say."""
    if isinstance(value, str) and value in _FLOATS:
        return _FLOATS[value]
    if type(value) not in (int, float):
        raise FormatError(f"a float is {quote(value)}")
    return float(value)
