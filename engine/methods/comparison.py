"""Comparison, logic, bits, and choice by a mask."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from ..dtype import Number
from ..ops import comparison as ops
from ..tracing import values_of
from .base import Methods, in_place, of_two, reflected


class ComparisonMethods(Methods):
    """Tensors compared element by element, and masks put to use."""

    __slots__ = ()

    eq = of_two(ops.eq)
    ne = not_equal = of_two(ops.ne)
    lt = less = __lt__ = of_two(ops.lt)
    le = less_equal = __le__ = of_two(ops.le)
    gt = greater = __gt__ = of_two(ops.gt)
    ge = greater_equal = __ge__ = of_two(ops.ge)
    logical_and = of_two(ops.logical_and)
    logical_or = of_two(ops.logical_or)
    logical_xor = of_two(ops.logical_xor)
    bitwise_and = __and__ = of_two(ops.bitwise_and)
    bitwise_or = __or__ = of_two(ops.bitwise_or)
    bitwise_xor = __xor__ = of_two(ops.bitwise_xor)
    bitwise_left_shift = __lshift__ = of_two(ops.bitwise_left_shift)
    bitwise_right_shift = __rshift__ = of_two(ops.bitwise_right_shift)
    __rand__ = reflected(ops.bitwise_and)
    __ror__ = reflected(ops.bitwise_or)
    __rxor__ = reflected(ops.bitwise_xor)

    def __eq__(self, other: object) -> Any:
        return self.eq(other) if _comparable(other) else NotImplemented

    def __ne__(self, other: object) -> Any:
        return self.ne(other) if _comparable(other) else NotImplemented

    def where(self, condition: Self, other: Self | Number) -> Self:
        """This tensor's elements where the condition holds, else the other's. Source: torch.Tensor.where."""
        return condition._apply(ops.where, self, other)

    def masked_fill(self, mask: Self, value: Self | Number) -> Self:
        """A copy with `value` where the mask holds. Source: torch.masked_fill."""
        return self._apply(ops.masked_fill, mask, value)

    logical_and_ = in_place(logical_and)
    logical_or_ = in_place(logical_or)
    masked_fill_ = in_place(masked_fill)
    __iand__ = in_place(bitwise_and)
    __ior__ = in_place(bitwise_or)
    __ixor__ = in_place(bitwise_xor)

    def isclose(self, other: Self, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> Self:
        """Whether |self - other| <= atol + rtol * |other|. Source: torch.isclose."""
        near = np.isclose(values_of(self, "isclose()"), values_of(other, "isclose()"), rtol, atol, equal_nan)
        return self._plain(near)

    def allclose(self, other: Self, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> bool:
        """Whether all elements are close. Source: torch.allclose."""
        return bool(np.allclose(values_of(self, "allclose()"), values_of(other, "allclose()"), rtol, atol, equal_nan))

    def equal(self, other: Self) -> bool:
        """Whether shape and all elements are the same. Source: torch.equal."""
        return np.array_equal(values_of(self, "equal()"), values_of(other, "equal()"))


def _comparable(other: object) -> bool:
    return isinstance(other, (Methods, bool, int, float, complex, np.ndarray, np.generic))
