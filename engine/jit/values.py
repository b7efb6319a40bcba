"""What programs hold beside tensors and plain values: classes, objects of theirs, named tuples, enum members."""

from __future__ import annotations

import ast
from operator import itemgetter
from typing import Any

from ..errors import FormatError, ScriptError
from ..formats.limits import quote
from .functions import Function


class ScriptClass:
    """A class of the program. `kind` is "module", "object", "tuple", "enum" or "interface"."""

    def __init__(self, name: str, kind: str) -> None:
        self.name = name
        self.kind = kind
        self.methods: dict[str, Function] = {}
        self.types: dict[str, ast.expr] = {}  # attributes with their types, in order
        self.constants: dict[str, Any] = {}
        self.parameters: tuple[str, ...] = ()
        self.buffers: tuple[str, ...] = ()
        self.pre_hooks: tuple[str, ...] = ()
        self.hooks: tuple[str, ...] = ()
        self.members: dict[str, Member] = {}
        self.tuple_type: type[NamedResult] | None = None

    def method(self, name: str) -> Function:
        """A method. Raises: ScriptError where there is none."""
        if name not in self.methods:
            raise ScriptError(f"{self.name} has no method {name!r}")
        return self.methods[name]

    def member_of(self, value: Any) -> Member:
        """The enum member of a value."""
        for member in self.members.values():
            if type(member.value) is type(value) and member.value == value:
                return member
        raise FormatError(f"{self.name} has no member of value {quote(value)}")

    def __deepcopy__(self, memo: dict[int, Any]) -> ScriptClass:
        return self

    def __repr__(self) -> str:
        return f"<class {self.name}>"


class Member:
    """A member of an enum."""

    __slots__ = ("cls", "name", "value")

    def __init__(self, cls: ScriptClass, name: str, value: Any) -> None:
        self.cls, self.name, self.value = cls, name, value

    def __deepcopy__(self, memo: dict[int, Any]) -> Member:
        return self

    def __repr__(self) -> str:
        return f"{self.cls.name.rpartition('.')[2]}.{self.name}"


class NamedResult(tuple[Any, ...]):
    """The base of a program's named tuples."""

    __slots__ = ()
    _fields: tuple[str, ...] = ()

    def __repr__(self) -> str:
        parts = (f"{name}={value!r}" for name, value in zip(self._fields, self, strict=True))
        return f"{type(self).__name__}({', '.join(parts)})"


def tuple_type(name: str, fields: tuple[str, ...], defaults: tuple[Any, ...]) -> type[NamedResult]:
    """A named tuple's type; made by hand, as namedtuple() would evaluate text with the names in it."""
    for field in fields:
        if not field.isidentifier() or field.startswith("_"):
            raise FormatError(f"{name} has a field {quote(field)}; expected a plain name")

    def make(cls: type, *args: Any, **named: Any) -> Any:
        missing = fields[len(args) :]
        later = dict(zip(fields[len(fields) - len(defaults) :], defaults, strict=True)) | named
        if len(args) > len(fields) or set(named) - set(missing) or not set(missing) <= set(later):
            raise ScriptError(f"{name}: expected the fields {', '.join(fields)}")
        return tuple.__new__(cls, (*args, *(later[field] for field in missing)))

    space: dict[str, Any] = {"__slots__": (), "_fields": fields, "__new__": make, "__doc__": f"{name} of a program."}
    space |= {field: property(itemgetter(place)) for place, field in enumerate(fields)}
    return type(name.rpartition(".")[2], (NamedResult,), space)


class ScriptObject:
    """An object of a class that is no module: attributes by name, and methods of its class."""

    __slots__ = ("cls", "values")

    def __init__(self, cls: ScriptClass) -> None:
        self.cls = cls
        self.values: dict[str, Any] = {}

    def __repr__(self) -> str:
        return f"<{self.cls.name} object>"
