"""What programs hold beside tensors and plain values: objects of their classes, named tuples, enum members, modules."""

from __future__ import annotations

import ast
from operator import itemgetter
from typing import Any

from ..errors import FormatError, ScriptError
from ..formats.limits import quote
from ..graph.recording import CaptureError
from ..nn.module import Module
from ..nn.parameter import Parameter
from ..tensor import Tensor
from ..tracing import TRACING
from .functions import Function


class ScriptClass:
    """A class of the program. `kind` is "module", "object", "tuple", "enum" or "interface"."""

    def __init__(self, name: str, kind: str) -> None:
        self.name = name
        self.kind = kind
        self.methods: dict[str, Function] = {}
        self.types: dict[str, ast.expr] = {}  # attributes with their types, in order
        self.constants: dict[str, Any] = {}
        self.parameters: frozenset[str] = frozenset()
        self.buffers: frozenset[str] = frozenset()
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


class Method:
    """A method of an object, bound to it."""

    __slots__ = ("function", "owner")

    def __init__(self, owner: Any, function: Function) -> None:
        self.owner, self.function = owner, function

    def __call__(self, *args: Any, **named: Any) -> Any:
        """Run it."""
        return self.function(self.owner, *args, **named)

    def __repr__(self) -> str:
        return f"<method {self.function.name}>"


class ScriptModule(Module):
    """A module of a program: parameters, buffers and parts as any module has them, and methods that run compiled code.

    What else the program keeps (numbers, lists, objects) are attributes, which it may change as it runs.
    """

    def __init__(self, cls: ScriptClass) -> None:
        super().__init__()
        own = vars(self)
        own["_class"] = cls
        own["_values"] = {}
        own["_where"] = {}
        if "forward" in cls.methods:
            own["forward"] = Method(self, cls.methods["forward"])

    @property
    def original_name(self) -> str:
        """The name of the class it was made of."""
        name: str = self._class.name
        return name.rpartition(".")[2]

    def hold(self, values: dict[str, Any], shared: dict[int, Parameter]) -> None:
        """Take the attributes that the file gives it; `shared` are parameters by the tensors that they were made of."""
        own, cls = vars(self), self._class
        for name, value in values.items():
            if not name or "." in name:
                raise FormatError(f"{cls.name} has an attribute named {quote(name)}")
            if isinstance(value, Module):
                home = own["_modules"]
            elif name in cls.parameters:
                home = own["_parameters"]
                value = value if value is None else _parameter(value, shared, cls, name)
            elif name in cls.buffers:
                home = own["_buffers"]
            elif name == "training":
                home, value = own, bool(value)
            else:
                home = own["_values"]
            home[name] = value
            own["_where"][name] = home

    def held(self) -> dict[str, Any]:
        """The attributes by name, as the program sees them."""
        return {name: home[name] for name, home in self._where.items()}

    def look_up(self, name: str) -> Any:
        """An attribute, as the program asks for it."""
        home = self._where.get(name)
        if home is not None:
            return home[name]
        cls = self._class
        if name in cls.constants:
            return cls.constants[name]
        if name == "training":
            return self.training
        raise ScriptError(f"{cls.name} has no attribute {name!r}")

    def change(self, name: str, value: Any) -> None:
        """Change an attribute, as the program asks."""
        home = self._where.get(name)
        if home is None:
            raise ScriptError(f"{self._class.name} has no attribute {name!r}")
        if TRACING.watcher is not None and home[name] is not value:
            raise CaptureError(f"runs eager: the module changes {name!r}, which it keeps")
        home[name] = value

    def __getattr__(self, name: str) -> Any:
        own = vars(self)
        for home in ("_values", "_parameters", "_buffers", "_modules"):
            if name in own.get(home, ()):
                return own[home][name]
        cls = own.get("_class")
        if cls is not None and name in cls.methods:
            return Method(self, cls.methods[name])
        if cls is not None and name in cls.constants:
            return cls.constants[name]
        return super().__getattr__(name)

    def __setattr__(self, name: str, value: Any) -> None:
        values = vars(self).get("_values")
        if values is not None and name in values:
            values[name] = value
        else:
            super().__setattr__(name, value)

    def extra_repr(self) -> str:
        """The class it was made of."""
        return f"original_name={self.original_name}"


def _parameter(value: Any, shared: dict[int, Parameter], cls: ScriptClass, name: str) -> Parameter:
    if not isinstance(value, Tensor):
        raise FormatError(f"parameter {quote(name)} of {cls.name} is {quote(value)}; expected a tensor")
    if id(value) not in shared:
        shared[id(value)] = Parameter(value, requires_grad=value.requires_grad)
    return shared[id(value)]


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
