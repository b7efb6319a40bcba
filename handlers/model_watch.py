"""ModelWatch, which notices that a model is not what it was when it was compiled."""

from __future__ import annotations

from typing import Any

from ..engine.nn import Module
from ..engine.nn.changes import CHANGES

TABLES = ("_parameters", "_buffers", "_modules", "_forward_hooks", "_forward_pre_hooks")
HOOKS = TABLES[3:]
PLAIN = (bool, int, float, str)


class ModelWatch:
    """A model's weights, parts, attributes and hooks as they were.

    Weights are looked at each time, all else only where some module was changed meanwhile. What is written into the
    array that a weight's numpy() gives, or changed within a list or dict, is not seen.
    """

    def __init__(self, model: Module) -> None:
        self._model = model
        self._count = CHANGES.count
        self._state = _state_of(model)
        self._weights = [(t, t.array, t.version[0]) for t in (*model.parameters(), *model.buffers())]

    def changed(self) -> bool:
        """Whether anything is not as it was."""
        if CHANGES.count != self._count:
            self._count = CHANGES.count
            if not _same(_state_of(self._model), self._state):
                return True
        return not all(t.array is array and t.version[0] == version for t, array, version in self._weights)


def hooked_layer(model: Module) -> str | None:
    """The first layer that has a hook around its forward, which a plan would not call; "" for the model itself."""
    return next((name for name, layer in model.named_modules() if any(vars(layer)[table] for table in HOOKS)), None)


def _state_of(model: Module) -> list[Any]:
    """All that there is in a model and its parts, as one list."""
    found: list[Any] = []
    for layer in model.modules():
        for name, value in vars(layer).items():
            found += (name, *value.values()) if name in TABLES else (name, value)
    return found


def _same(here: list[Any], there: list[Any]) -> bool:
    return len(here) == len(there) and all(
        a is b or (type(a) is type(b) and isinstance(a, PLAIN) and a == b) for a, b in zip(here, there, strict=True)
    )
