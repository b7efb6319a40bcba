"""Operators of lists and dicts, which programs share by reference as Python does."""

from __future__ import annotations

from typing import Any

from ..errors import EngineError, OutOfRangeError
from ..tensor import Tensor
from .table import aten


@aten("len")
def _(a: Any) -> int:
    return len(a)


@aten("__getitem__")
def item_of(container: Any, index: Any) -> Any:
    """An element of a list, tuple, dict or text."""
    try:
        return container[index]
    except IndexError:
        raise OutOfRangeError(f"index {index} of a list of {len(container)}") from None
    except KeyError:
        raise OutOfRangeError(f"key {index!r} is not in the dict") from None


@aten("_set_item")
def _(container: Any, index: Any, value: Any) -> Any:
    try:
        container[index] = value
    except IndexError:
        raise OutOfRangeError(f"index {index} of a list of {len(container)}") from None
    return container


@aten("Delete")
def _(container: Any, index: Any) -> None:
    item_of(container, index)
    del container[index]


@aten("__contains__")
def _(container: Any, item: Any) -> bool:
    return item in container


@aten("append")
def _(self: list[Any], el: Any) -> list[Any]:
    self.append(el)
    return self


@aten("extend")
def _(self: list[Any], other: list[Any]) -> None:
    self.extend(other)


@aten("insert")
def _(self: list[Any], idx: int, el: Any) -> None:
    self.insert(idx, el)


@aten("pop")
def _(self: Any, *args: Any) -> Any:
    """Of a list (index), of a dict (key, default)."""
    try:
        return self.pop(*args)
    except (IndexError, KeyError):
        raise OutOfRangeError(f"pop: {args[0] if args else 'the last item'} is not there") from None


@aten("popitem")
def _(self: dict[Any, Any]) -> Any:
    if not self:
        raise OutOfRangeError("popitem: the dict is empty")
    return self.popitem()


@aten("clear")
def _(self: Any) -> None:
    self.clear()


@aten("reverse")
def _(self: list[Any]) -> None:
    self.reverse()


@aten("remove")
def _(self: list[Any], el: Any) -> None:
    if el not in self:
        raise OutOfRangeError("remove: the item is not in the list")
    self.remove(el)


@aten("count")
def _(self: Any, el: Any, *bounds: int) -> int:
    return int(self.count(el, *bounds))


@aten("copy")
def _(self: Any, other: Tensor | None = None, *_: Any) -> Any:
    """Of a list or dict; of a tensor, another one's values in its shape and dtype."""
    return self.copy() if other is None else self.clone().copy_(other)


@aten("list")
def _(items: Any) -> list[Any]:
    return list(items)


@aten("dict")
def _(items: Any = ()) -> dict[Any, Any]:
    return dict(items)


@aten("keys")
def _(self: dict[Any, Any]) -> list[Any]:
    return list(self)


@aten("values")
def _(self: dict[Any, Any]) -> list[Any]:
    return list(self.values())


@aten("items")
def _(self: dict[Any, Any]) -> list[Any]:
    return list(self.items())


@aten("get")
def _(self: dict[Any, Any], key: Any, default_value: Any = None) -> Any:
    return self.get(key, default_value)


@aten("setdefault")
def _(self: dict[Any, Any], key: Any, default_value: Any) -> Any:
    return self.setdefault(key, default_value)


@aten("update")
def _(self: dict[Any, Any], to_add: dict[Any, Any]) -> None:
    self.update(to_add)


@aten("sorted")
def _(items: Any, *_: Any) -> list[Any]:
    if any(isinstance(item, Tensor) and item.numel() != 1 for item in items):
        raise EngineError("sorted: tensors of more than one element have no order")
    return sorted(items)
