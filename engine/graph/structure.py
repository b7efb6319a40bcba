"""Structure, how tensors lie in tuples, lists and dicts: taken apart for a graph, and put together again.

A structure is made of plain JSON: {"output": 0} is a place for a tensor, {"value": 3} anything else.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from ..errors import EngineError
from ..tensor import Tensor

Structure = dict[str, Any]
_PLAIN = (str, bool, int, float, type(None))


class StructureError(EngineError):
    """An object that tensors cannot be taken out of."""


def take_apart(item: Any) -> tuple[Structure, list[Tensor]]:
    """The structure of an object and the tensors in it, in order."""
    tensors: list[Tensor] = []
    return _described(item, tensors), tensors


def put_together(structure: Structure | None, items: Sequence[Any]) -> Any:
    """An object of that structure with these in the places of its tensors."""
    if structure is None:
        return items[0] if len(items) == 1 else tuple(items)
    ((kind, content),) = structure.items()
    if kind == "output":
        return items[content]
    if kind == "value":
        return content
    if kind in ("tuple", "list"):
        return (tuple if kind == "tuple" else list)(put_together(part, items) for part in content)
    parts = {name: put_together(part, items) for name, part in content.items()}
    return parts if kind == "dict" else _named_tuple(kind.partition(":")[2], tuple(parts))(**parts)


@lru_cache(maxsize=256)
def _named_tuple(name: str, fields: tuple[str, ...]) -> Any:
    return namedtuple(name, fields)


def _described(item: Any, tensors: list[Tensor]) -> Structure:
    if isinstance(item, Tensor):
        tensors.append(item)
        return {"output": len(tensors) - 1}
    if isinstance(item, dict) and all(isinstance(name, str) for name in item):
        return {"dict": {name: _described(part, tensors) for name, part in item.items()}}
    if isinstance(item, tuple) and hasattr(item, "_fields"):
        parts = zip(item._fields, item, strict=True)
        return {f"named:{type(item).__name__}": {name: _described(part, tensors) for name, part in parts}}
    if isinstance(item, (tuple, list)):
        return {"list" if isinstance(item, list) else "tuple": [_described(part, tensors) for part in item]}
    if isinstance(item, _PLAIN):
        return {"value": item}
    raise StructureError(
        f"{type(item).__name__}: expected tensors, numbers, text, None, and tuples, lists, dicts of them"
    )
