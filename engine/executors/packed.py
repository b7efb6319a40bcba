"""Packed, the weights of programs in the orders that algorithms read them in."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ..dtype import Array
from ..sharing import let_go, shared


class Packed:
    """Weights brought into an algorithm's own order, kept as long as a program uses them and shared by all."""

    def __init__(self) -> None:
        self._kept: weakref.WeakValueDictionary[tuple[Any, ...], Array] = weakref.WeakValueDictionary()
        self._sources: dict[int, Array] = {}
        self._final = False

    def get(self, source: Array, kind: object, make: Callable[[], Array]) -> Array:
        """What `make` gives for a constant, made once for each kind."""
        key = (source.ctypes.data, source.shape, kind)
        found = self._kept.get(key)
        if found is None:
            self._sources.setdefault(source.ctypes.data, source)  # so that its address stays its own
            found = self._kept[key] = make()
        if self._final:
            found = self._kept[key] = shared(found)
            let_go(source)
        return found

    @contextmanager
    def final(self) -> Iterator[None]:
        """What is asked for in between is what programs go on using: it is shared with others where that is wanted."""
        self._final = True
        try:
            yield
        finally:
            self._final = False
