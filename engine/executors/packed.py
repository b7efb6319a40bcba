"""Packed, the weights of programs in the orders that algorithms read them in."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..dtype import Array
from ..sharing import let_go, shared


class _Kept:
    """An array that is there as long as anybody sees its memory, through whatever view.

    NumPy's views refer to the memory's first array and not to the array they are taken of, so that is the one to watch.
    """

    def __init__(self, array: Array) -> None:
        owner = array
        while isinstance(owner.base, np.ndarray):
            owner = owner.base
        owner = owner if owner.flags.c_contiguous else array
        self._owner = weakref.ref(owner)
        self._is_owner = owner is array
        self._offset = array.ctypes.data - owner.ctypes.data
        self._shape, self._strides, self._dtype = array.shape, array.strides, array.dtype

    def __call__(self) -> Array | None:
        """The array; None where its memory is gone."""
        owner = self._owner()
        if owner is None or self._is_owner:
            return owner
        return np.ndarray(self._shape, self._dtype, owner.data, self._offset, self._strides)


class Packed:
    """Weights brought into an algorithm's own order, kept as long as a program uses them and shared by all."""

    def __init__(self) -> None:
        self._kept: dict[tuple[Any, ...], _Kept] = {}
        self._sources: dict[int, Array] = {}
        self._final = False

    def get(self, source: Array, kind: object, make: Callable[[], Array]) -> Array:
        """What `make` gives for a constant, made once for each kind."""
        key = (source.ctypes.data, source.shape, kind)
        kept = self._kept.get(key)
        found = kept() if kept else None
        if found is None:
            self._sources.setdefault(source.ctypes.data, source)  # so that its address stays its own
            found = make()
            self._kept[key] = _Kept(found)
        if self._final:
            found = shared(found)
            self._kept[key] = _Kept(found)
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
