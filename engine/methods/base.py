"""What the families of methods know of the tensor they become part of."""

from __future__ import annotations

from typing import Any, Self

from ..dtype import Array
from ..ops.primitive import Primitive


class Methods:
    """A tensor, seen from its methods."""

    __slots__ = ()
    array: Array

    def _apply(self, primitive: Primitive, *operands: Any, **attributes: Any) -> Self:
        """Run a primitive of one output with this tensor as its first operand."""
        raise NotImplementedError

    def _apply_many(self, primitive: Primitive, *operands: Any, **attributes: Any) -> tuple[Self, ...]:
        """Run a primitive of several outputs with this tensor as its first operand."""
        raise NotImplementedError

    def _before(self) -> Self:
        """This tensor as it is now, as an operand of an in-place operation."""
        raise NotImplementedError

    def _become(self, result: Self) -> Self:
        """Take a result's values into this memory, and its history."""
        raise NotImplementedError
