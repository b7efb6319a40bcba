"""Item, what flows between ONNX operators: values that are known, or the outline of values that come later."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..dtype import Array, DType, of
from .elements import Element, element_of


@dataclass(eq=False, slots=True)
class Item:
    """A tensor. `array` holds its values, or is an outline of them where it has a `number` in a recording.

    `element` is its ONNX type, which for bfloat16 and the like is not the array's own.
    """

    array: Array
    element: Element
    number: int | None = None
    name: str = ""

    @property
    def known(self) -> bool:
        """Whether the values are there."""
        return self.number is None

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape, known in either case."""
        return self.array.shape

    @property
    def ndim(self) -> int:
        """The number of its dims."""
        return self.array.ndim

    @property
    def dtype(self) -> DType:
        """The engine's dtype of what carries the values."""
        return of(self.array)

    @property
    def floating(self) -> bool:
        """Whether its values have fractions."""
        return self.array.dtype.kind == "f"


Operand = Item | int | float | bool | complex | None
Thing = Item | list[Any] | None  # what a name can stand for: a tensor, a sequence, an optional that is empty


def known(array: Any, element: Element | None = None, name: str = "") -> Item:
    """An item of values that are there."""
    values = np.asarray(array)
    return Item(values, element or element_of(values), name=name)
