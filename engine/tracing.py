"""Who watches the operations of the present thread, if anybody does."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, Protocol

from .dtype import Array
from .ops.primitive import Primitive


class Watcher(Protocol):
    """What is told of everything that tensors do."""

    def run(self, primitive: Primitive, operands: Sequence[Any], attributes: dict[str, Any]) -> Any:
        """What a primitive gives for operands, tensors among them: an array or a tuple of arrays."""

    def ran(
        self, primitive: Primitive, operands: Sequence[Any], attributes: dict[str, Any], outputs: Sequence[Any]
    ) -> None:
        """A primitive gave outputs."""

    def changing(self, tensor: Any) -> None:
        """A tensor is about to be changed in place."""

    def became(self, tensor: Any, result: Any) -> None:
        """A tensor took a result's values into its memory."""

    def read(self, tensor: Any, how: str) -> None:
        """Values leave the engine, as numbers or an array."""


class Tracing(threading.local):
    """The watcher of each thread."""

    watcher: Watcher | None = None


TRACING = Tracing()


def values_of(tensor: Any, how: str) -> Array:
    """A tensor's array, where what happens next depends on its values; who watches is told."""
    if TRACING.watcher is not None:
        TRACING.watcher.read(tensor, how)
    array: Array = tensor.array
    return array
