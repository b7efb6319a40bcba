"""Functions that a module calls around its forward, and the handles that take them away."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from types import TracebackType
from typing import Any, NamedTuple

from .changes import CHANGES

_IDS = itertools.count()


class Hook(NamedTuple):
    """A function to call, and whether it is given the keyword arguments too."""

    function: Callable[..., Any]
    with_kwargs: bool = False


Hooks = dict[int, Hook]


class RemovableHandle:
    """What registering a hook gives: `remove()` takes it away, and so does the end of a `with` block."""

    def __init__(self, hooks: Hooks) -> None:
        self.id = next(_IDS)
        self._hooks = hooks

    def remove(self) -> None:
        """Take the hook away; once is enough."""
        CHANGES.count += 1
        self._hooks.pop(self.id, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.remove()


def register(hooks: Hooks, hook: Hook, prepend: bool) -> RemovableHandle:
    """Add a hook behind the others, or before them."""
    CHANGES.count += 1
    handle = RemovableHandle(hooks)
    others = dict(hooks) if prepend else {}
    if prepend:
        hooks.clear()
    hooks[handle.id] = hook
    hooks.update(others)
    return handle


def before_forward(
    hooks: Hooks, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments as the pre-hooks leave them."""
    for hook in tuple(hooks.values()):
        if hook.with_kwargs:
            changed = hook.function(module, args, kwargs)
            args, kwargs = changed if changed is not None else (args, kwargs)
        else:
            changed = hook.function(module, args)
            if changed is not None:
                args = changed if isinstance(changed, tuple) else (changed,)
    return args, kwargs


def after_forward(hooks: Hooks, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> Any:
    """The result as the hooks leave it."""
    for hook in tuple(hooks.values()):
        given = (args, kwargs, result) if hook.with_kwargs else (args, result)
        changed = hook.function(module, *given)
        result = result if changed is None else changed
    return result
