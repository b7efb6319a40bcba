"""FastForward, which takes the place of a model's forward, so that who calls the model takes the fast path too."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from ..engine import is_grad_enabled, nn
from ..engine.tracing import TRACING
from .fast_path import FastPath


class FastForward:
    """Runs a model by its fast path where no gradients are recorded, and as it is where they are.

    It is an attribute of the model alone, `forward`, in front of its class's: `del model.forward` takes it away.
    """

    @classmethod
    def of(cls, model: Any) -> FastForward | None:
        """The one that a model has."""
        forward = vars(model).get("forward")
        return forward if isinstance(forward, cls) else None

    def __init__(self, path: FastPath) -> None:
        self.path = path
        self.__wrapped__ = path.model.forward  # what inspect.signature() follows

    def __call__(self, *args: Any, **named: Any) -> Any:
        """What the model's own forward gives."""
        if is_grad_enabled() or self.path.running or TRACING.watcher is not None:
            return self.__wrapped__(*args, **named)
        return self.path.call(self.__wrapped__, args, named)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        """A copied model runs as its class says."""
        return deepcopy(self.__wrapped__, memo)


def attach(path: FastPath) -> FastPath:
    """Have all calls of a path's model take it, where the model is a module of the engine; returns the path."""
    if isinstance(path.model, nn.Module):
        if FastForward.of(path.model):
            del path.model.forward
        path.model.forward = FastForward(path)
    if path.inner:
        attach(path.inner)
    return path
