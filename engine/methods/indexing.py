"""Indexing methods."""

from __future__ import annotations

from typing import Any, Self

from ..ops import indexing as ops
from .base import Methods


class IndexingMethods(Methods):
    """Indexing of tensors."""

    __slots__ = ()

    def __getitem__(self, index: Any) -> Self:
        """The part that `index` selects: a view for numbers, slices, None and Ellipsis, else a copy."""
        return self._apply(ops.getitem, index=index)
