"""The one place where a plug-in's name becomes an object: a table of built-ins, then the entry points."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from importlib.metadata import EntryPoints


class PluginNotFound(LookupError):
    """No built-in and no installed entry point has the name."""


def resolve(group: str, name: str, builtin: Mapping[str, str]) -> Any:
    """Return what `name` stands for in `group`: its row in `builtin` ("module:attribute"), else an entry point.

    Raises: PluginNotFound, naming what there is instead.
    """
    if name in builtin:
        return load(builtin[name])
    installed = entry_points(group=f"numserve.{group}")
    for entry in installed:
        if entry.name == name:
            return entry.load()
    known = ", ".join(sorted({*builtin, *(entry.name for entry in installed)}))
    raise PluginNotFound(f"no {group} plug-in is called {name!r}; there are: {known}")


def entry_points(*, group: str) -> EntryPoints:
    """What is installed in `group`."""
    from importlib.metadata import entry_points as installed  # brings e-mail along; most names are built in

    return installed(group=group)


def load(reference: str) -> Any:
    """Import "module:attribute" and return the attribute."""
    module, _, attribute = reference.partition(":")
    return getattr(import_module(module), attribute)
