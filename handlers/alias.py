"""What `import torch`, `torchvision` and `ts` answer inside an archive, when PyTorch is not installed.

Only the archive's own files see the aliases: they run with builtins whose `__import__` asks here first. sys.modules
and find_spec stay as they are, so that libraries which probe for torch are not misled. Which name stands for which
is written in alias_names.py.
"""

from __future__ import annotations

import builtins
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import Any, NoReturn

from .alias_names import MODULES, NAMES, NOT_YET, VALUES

_PACKAGE = __name__.rpartition(".")[0]
_OWNERS = {
    "torch": "this server's built-in engine",
    "torchvision": "this server's built-in engine",
    "ts": "numserve",
}


@cache
def aliased_builtins() -> dict[str, Any]:
    """Python's builtins, with an `__import__` that knows the aliases."""
    return {**vars(builtins), "__import__": _import}


@cache
def active(top: str) -> bool:
    """Whether imports of the top-level name are answered here: `ts` always, the others where PyTorch is missing."""
    return top == "ts" or (top in _OWNERS and find_spec("torch") is None and find_spec(top) is None)


class AliasModule(ModuleType):
    """A module whose names are looked up elsewhere, when they are asked for."""

    def __init__(self, name: str) -> None:
        super().__init__(name, f"{name} as {_OWNERS[name.partition('.')[0]]} has it.")
        self.__path__: list[str] = []
        self.__spec__ = ModuleSpec(name, None, is_package=True)
        self.__package__ = name

    def __getattr__(self, name: str) -> Any:
        value = self._submodule(name)
        if value is None:
            value = self._find(name)
        setattr(self, name, value)
        return value

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self._public()})

    def _submodule(self, name: str) -> AliasModule | None:
        full = f"{self.__name__}.{name}"
        return module(full) if full in _KNOWN else None

    def _find(self, name: str) -> Any:
        if name == "__all__":
            return self._public()
        full = f"{self.__name__}.{name}"
        if full in VALUES:
            return VALUES[full]
        if full in NAMES:
            home, _, attribute = NAMES[full].partition(":")
            return getattr(_home(home), attribute)
        for home in MODULES.get(self.__name__, ()):
            if name in _exported(_home(home)):
                return getattr(_home(home), name)
        raise AttributeError(_missing(full), name=name, obj=self)

    def _public(self) -> list[str]:
        prefix = f"{self.__name__}."
        direct = [n.removeprefix(prefix) for n in (*NAMES, *VALUES, *_KNOWN) if n.startswith(prefix)]
        through = [name for home in MODULES.get(self.__name__, ()) for name in _exported(_home(home))]
        return sorted({*through, *(name for name in direct if "." not in name and not name.startswith("_"))})


@cache
def module(name: str) -> AliasModule:
    """The one alias module of that name.

    Raises: ModuleNotFoundError that says who lacks it.
    """
    if name not in _KNOWN:
        raise ModuleNotFoundError(_missing(name), name=name)
    return AliasModule(name)


def _import(
    name: str,
    globals: Mapping[str, object] | None = None,
    locals: Mapping[str, object] | None = None,
    fromlist: Sequence[str] | None = (),
    level: int = 0,
) -> ModuleType:
    """Python's `__import__`, answering for the aliased names."""
    top = name.partition(".")[0]
    if level or not active(top):
        return builtins.__import__(name, globals, locals, fromlist or (), level)
    leaf = module(name)
    for wanted in fromlist or ():
        if wanted != "*" and not hasattr(leaf, wanted):
            _refuse(leaf, wanted)
    return leaf if fromlist else module(top)


def _refuse(leaf: AliasModule, name: str) -> NoReturn:
    raise ImportError(_missing(f"{leaf.__name__}.{name}"), name=f"{leaf.__name__}.{name}")


def _missing(name: str) -> str:
    """Why a name is not there, and what to do."""
    top = name.partition(".")[0]
    reason = next((NOT_YET[part] for part in (name, name.rpartition(".")[0]) if part in NOT_YET), None)
    if reason:
        return f"{name}: {reason}"
    remedy = "" if top == "ts" else f"; installing {'PyTorch' if top == 'torch' else top} in the worker enables it"
    return f"{_OWNERS[top]} has no {name}{remedy}"


def _home(relative: str) -> ModuleType:
    return import_module(relative, _PACKAGE)


def _exported(home: ModuleType) -> Sequence[str]:
    """The public names of a module: those it lists, or all that are no modules themselves."""
    found = (name for name, value in vars(home).items() if not (name.startswith("_") or isinstance(value, ModuleType)))
    return getattr(home, "__all__", None) or list(found)


def _with_parents(names: Sequence[str]) -> frozenset[str]:
    """Every module, and every package on the way to it."""
    parts = [name.split(".") for name in names]
    return frozenset(".".join(each[:depth]) for each in parts for depth in range(1, len(each) + 1))


_KNOWN = _with_parents([*MODULES, *(name.rpartition(".")[0] for name in (*NAMES, *VALUES))])
