"""How running code reaches into what it holds: attributes and methods, by name, of what has some and nothing else."""

from __future__ import annotations

from typing import Any

from ..errors import ScriptError
from ..tensor import Tensor
from .module import ScriptModule
from .values import Member, NamedResult, ScriptClass, ScriptObject


def attribute(owner: Any, name: str) -> Any:
    """An attribute of whatever has some."""
    if isinstance(owner, ScriptModule):
        return owner.look_up(name)
    if type(owner) is ScriptObject:
        if name not in owner.values:
            raise ScriptError(f"{owner.cls.name} has no attribute {name!r}")
        return owner.values[name]
    if isinstance(owner, NamedResult) and name in owner._fields:
        return owner[owner._fields.index(name)]
    if type(owner) is Member and name in ("name", "value"):
        return owner.name if name == "name" else owner.value
    raise ScriptError(f"{_kind(owner)} has no attribute {name!r}")


def change_attribute(owner: Any, name: str, value: Any) -> None:
    """Change an attribute of a module or an object."""
    if isinstance(owner, ScriptModule):
        owner.change(name, value)
    elif type(owner) is ScriptObject:
        owner.values[name] = value
    else:
        raise ScriptError(f"attribute {name!r} of {_kind(owner)} cannot be changed")


def has_attribute(owner: Any, name: str) -> bool:
    """Whether an attribute is there."""
    try:
        attribute(owner, name)
    except ScriptError:
        return False
    return True


def call_method(owner: Any, name: str, args: list[Any], named: dict[str, Any]) -> Any:
    """Call a method of a module or an object; a module's forward with its hooks."""
    if isinstance(owner, ScriptModule):
        return owner(*args, **named) if name == "forward" else owner._class.method(name)(owner, *args, **named)
    if type(owner) is ScriptObject:
        return owner.cls.method(name)(owner, *args, **named)
    if name == "tolist" and isinstance(owner, Tensor):
        return owner.tolist()
    raise ScriptError(f"{_kind(owner)} has no method {name!r}")


def new(cls: Any) -> ScriptObject:
    """An object without attributes yet."""
    if not isinstance(cls, ScriptClass) or cls.kind != "object":
        raise ScriptError(f"{_kind(cls)} cannot be made by a program")
    return ScriptObject(cls)


def _kind(value: Any) -> str:
    return repr(value) if isinstance(value, (ScriptClass, ScriptModule, ScriptObject)) else f"a {type(value).__name__}"
