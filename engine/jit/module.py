"""ScriptModule, a module of a program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from inspect import Parameter as Argument
from inspect import Signature
from keyword import iskeyword
from typing import Any

from ..errors import FormatError, ScriptError
from ..formats.limits import quote
from ..formats.mapping import FilePath
from ..graph import CaptureError
from ..nn.module import Module
from ..nn.parameter import Parameter
from ..tensor import Tensor
from ..tracing import TRACING
from .functions import Function
from .saving import save
from .values import ScriptClass


class Method:
    """A method of an object, bound to it."""

    def __init__(self, owner: Any, function: Function) -> None:
        self.owner, self.function = owner, function

    @property
    def __signature__(self) -> Signature:
        """What inspect.signature() tells: the parameters but the first."""
        return signature_of(self.function.parameters[1:], self.function.optional)

    def __call__(self, *args: Any, **named: Any) -> Any:
        """Run it."""
        return self.function(self.owner, *args, **named)

    def __repr__(self) -> str:
        return f"<method {self.function.name}>"


def signature_of(names: Sequence[str], optional: int = 0) -> Signature:
    """A signature of these parameters, of which the last may be left out."""
    plain = [name if name.isidentifier() and not iskeyword(name) else f"argument_{n}" for n, name in enumerate(names)]
    required = len(names) - optional
    return Signature([
        Argument(name, Argument.POSITIONAL_OR_KEYWORD, default=Argument.empty if n < required else None)
        for n, name in enumerate(plain)
    ])  # fmt: skip


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
            home = "_values"
            if isinstance(value, Module):
                home = "_modules"
            elif name in cls.parameters:
                home = "_parameters"
                value = value if value is None else _parameter(value, shared, cls, name)
            elif name in cls.buffers:
                home = "_buffers"
                if value is not None and not isinstance(value, Tensor):
                    raise FormatError(f"buffer {quote(name)} of {cls.name} is {quote(value)}; expected a tensor")
            if name == "training":
                self.training = bool(value)
            else:
                own[home][name] = value
            own["_where"][name] = home

    def hook(self) -> None:
        """Run the hooks of the class around calls from outside; calls inside of the program name them themselves."""
        cls = self._class
        for name in cls.pre_hooks:
            self.register_forward_pre_hook(cls.method(name))
        for name in cls.hooks:
            self.register_forward_hook(cls.method(name))

    def held(self) -> dict[str, Any]:
        """The attributes by name, as the program sees them."""
        return {name: self.look_up(name) for name in self._where}

    def save(self, f: FilePath, _extra_files: Mapping[str, bytes | str] | None = None) -> None:
        """Write the program with its present state as an archive. Source: torch.jit.ScriptModule.save."""
        save(self, f, _extra_files)

    def look_up(self, name: str) -> Any:
        """An attribute, as the program asks for it."""
        if name == "training":
            return self.training
        own = vars(self)
        home = own["_where"].get(name)
        if home is not None:
            return own[home][name]
        cls = own["_class"]
        if name in cls.constants:
            return cls.constants[name]
        raise ScriptError(f"{cls.name} has no attribute {name!r}")

    def change(self, name: str, value: Any) -> None:
        """Change an attribute, as the program asks."""
        if name not in self._class.types:
            raise ScriptError(f"{self._class.name} has no attribute {name!r} that can be changed")
        if TRACING.watcher is not None and self.look_up(name) is not value:
            raise CaptureError(f"runs eager: the module changes {name!r}, which it keeps")
        self.hold({name: value}, {})

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
