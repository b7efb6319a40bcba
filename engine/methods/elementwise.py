"""Arithmetic, comparison and functions of single elements."""

from __future__ import annotations

from typing import Any, Self

from ..dtype import Number
from ..ops import elementwise as ops
from .base import Methods


class ElementwiseMethods(Methods):
    """Element by element, with broadcasting and PyTorch's dtype rules."""

    __slots__ = ()

    def add(self, other: Self | Number, *, alpha: Number = 1) -> Self:
        """self + alpha * other. Source: torch.add."""
        return self._apply(ops.add, other if alpha == 1 else alpha * other)

    def mul(self, other: Self | Number) -> Self:
        """self * other. Source: torch.mul."""
        return self._apply(ops.mul, other)

    def relu(self) -> Self:
        """max(x, 0). Source: torch.relu."""
        return self._apply(ops.relu)

    def relu_(self) -> Self:
        """relu() in place."""
        return self._become(self._before().relu())

    __add__ = add
    __mul__ = __rmul__ = mul

    def __radd__(self, other: Any) -> Self:
        return self.add(other)
