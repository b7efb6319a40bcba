"""Modules that hold modules or parameters in order or by key."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any, Self

from ..tensor import Tensor
from .module import Module
from .parameter import Parameter


class _Numbered(Module):
    """Parts under the names "0", "1", …"""

    _modules: dict[str, Any]

    def _index(self, index: int) -> str:
        """The name of the part at an index, which may count from the end."""
        size = len(self._modules)
        if not -size <= index < size:
            raise IndexError(f"{type(self).__name__} has {size} parts; met index {index}")
        return list(self._modules)[index]

    def _replace(self, modules: Iterable[Module]) -> None:
        self._modules.clear()
        self._modules.update((str(i), module) for i, module in enumerate(modules))

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._modules.values())

    def __setitem__(self, index: int, module: Module) -> None:
        setattr(self, self._index(index), module)

    def __delitem__(self, index: int | slice) -> None:
        modules = list(self)
        del modules[index]
        self._replace(modules)

    def append(self, module: Module) -> Self:
        """Add a part at the end."""
        self.register_module(str(len(self)), module)
        return self

    def insert(self, index: int, module: Module) -> Self:
        """Add a part before the one at an index."""
        modules = list(self)
        modules.insert(index, module)
        self._replace(modules)
        return self

    def extend(self, modules: Iterable[Module]) -> Self:
        """Add parts at the end."""
        for module in modules:
            self.append(module)
        return self

    def pop(self, index: int = -1) -> Module:
        """Take a part away and give it."""
        modules = list(self)
        taken: Module = modules.pop(index)
        self._replace(modules)
        return taken


class Sequential(_Numbered):
    """Parts that are called one after the other; from an OrderedDict they have names. Source: torch.nn.Sequential."""

    def __init__(self, *args: Any) -> None:
        super().__init__()
        named = isinstance(args[0], Mapping) if len(args) == 1 else False
        for name, module in args[0].items() if named else enumerate(args):
            self.register_module(str(name), module)

    def forward(self, input: Any) -> Any:
        """The last part's result on the one before's, and so on back to the input."""
        for module in self._modules.values():
            input = module(input)
        return input

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return type(self)(OrderedDict(list(self._modules.items())[index]))
        return self._modules[self._index(index)]

    def __add__(self, other: Sequential) -> Sequential:
        return Sequential(*self, *other)


class ModuleList(_Numbered):
    """A list of parts; it is not called itself. Source: torch.nn.ModuleList."""

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__()
        self.extend(modules or ())

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return type(self)(list(self)[index])
        return self._modules[self._index(index)]

    def __add__(self, other: Iterable[Module]) -> ModuleList:
        return ModuleList([*self, *other])

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__}("]
        numbered = groupby(enumerate(map(repr, self)), key=lambda pair: pair[1])
        for text, group in numbered:
            indices = [i for i, _ in group]
            first, last, count = indices[0], indices[-1], len(indices)
            label = f"({first}): " if count == 1 else f"({first}-{last}): {count} x "
            lines.append("  " + label + text.replace("\n", "\n  "))
        return "\n".join([*lines, ")"]) if len(self) else f"{type(self).__name__}()"


class ModuleDict(Module):
    """Parts by key, in order; it is not called itself. Source: torch.nn.ModuleDict."""

    _modules: dict[str, Any]

    def __init__(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]] | None = None) -> None:
        super().__init__()
        self.update(modules or {})

    def update(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]]) -> None:
        """Add or replace parts."""
        for key, module in dict(modules).items():
            self[key] = module

    def keys(self) -> Iterable[str]:
        """The keys in order."""
        return self._modules.keys()

    def values(self) -> Iterable[Any]:
        """The parts in order."""
        return self._modules.values()

    def items(self) -> Iterable[tuple[str, Any]]:
        """Keys and parts in order."""
        return self._modules.items()

    def pop(self, key: str) -> Any:
        """Take a part away and give it."""
        return self._modules.pop(key)

    def clear(self) -> None:
        """Take all parts away."""
        self._modules.clear()

    def __getitem__(self, key: str) -> Any:
        return self._modules[key]

    def __setitem__(self, key: str, module: Module) -> None:
        self.register_module(key, module)

    def __delitem__(self, key: str) -> None:
        del self._modules[key]

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __contains__(self, key: str) -> bool:
        return key in self._modules


def _parameter(value: Any) -> Parameter:
    return value if isinstance(value, Parameter) else Parameter(value, isinstance(value, Tensor))


class ParameterList(Module):
    """A list of parameters under the names "0", "1", …; tensors become parameters. Source: torch.nn.ParameterList."""

    _parameters: dict[str, Any]

    def __init__(self, values: Iterable[Any] | None = None) -> None:
        super().__init__()
        self.extend(values or ())

    def append(self, value: Any) -> Self:
        """Add a parameter at the end."""
        self.register_parameter(str(len(self)), _parameter(value))
        return self

    def extend(self, values: Iterable[Any]) -> Self:
        """Add parameters at the end."""
        for value in values:
            self.append(value)
        return self

    def __getitem__(self, index: int | slice) -> Any:
        return list(self)[index]

    def __setitem__(self, index: int, value: Any) -> None:
        self._parameters[list(self._parameters)[index]] = _parameter(value)

    def __len__(self) -> int:
        return len(self._parameters)

    def __iter__(self) -> Iterator[Parameter]:
        return iter(self._parameters.values())

    def extra_repr(self) -> str:
        """One line a parameter."""
        return "\n".join(f"({i}): Parameter of {p.dtype.name} with shape {p.shape}" for i, p in enumerate(self))


class ParameterDict(Module):
    """Parameters by key, in order; tensors become parameters. Source: torch.nn.ParameterDict."""

    _parameters: dict[str, Any]

    def __init__(self, parameters: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        for key, value in (parameters or {}).items():
            self[key] = value

    def keys(self) -> Iterable[str]:
        """The keys in order."""
        return self._parameters.keys()

    def values(self) -> Iterable[Parameter]:
        """The parameters in order."""
        return self._parameters.values()

    def items(self) -> Iterable[tuple[str, Parameter]]:
        """Keys and parameters in order."""
        return self._parameters.items()

    def __getitem__(self, key: str) -> Parameter:
        value: Parameter = self._parameters[key]
        return value

    def __setitem__(self, key: str, value: Any) -> None:
        self.register_parameter(key, _parameter(value))

    def __len__(self) -> int:
        return len(self._parameters)

    def __iter__(self) -> Iterator[str]:
        return iter(self._parameters)

    def __contains__(self, key: str) -> bool:
        return key in self._parameters
