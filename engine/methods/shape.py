"""Shape methods."""

from __future__ import annotations

from .base import Methods


class ShapeMethods(Methods):
    """Shape of tensors."""

    __slots__ = ()

    @property
    def shape(self) -> tuple[int, ...]:
        """Size along each dim."""
        return self.array.shape
