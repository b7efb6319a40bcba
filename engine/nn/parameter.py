"""Parameter and Buffer: the tensors a module keeps, and the two ways a parameter spares work and memory.

A blank parameter is filled when its values are first asked for, so that building a model whose checkpoint follows costs
nothing. A borrowed one reads an array that it does not own (a mapped file) and copies it before the first change.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np

from ..dtype import Array, DType, float32, of
from ..size import Size
from ..tensor import Tensor

Fill = Callable[[Array], None]


class Parameter(Tensor):
    """A tensor that a module lists among its parameters; it asks for a gradient unless told otherwise."""

    __slots__ = ("_array", "_blank", "_fill")
    _array: Array
    _blank: bool
    _fill: Fill | None

    def __init__(self, data: Any = None, requires_grad: bool = True) -> None:
        array = data.array if isinstance(data, Tensor) else np.empty(0, np.float32) if data is None else data
        super().__init__(array, requires_grad)

    @classmethod
    def blank(cls, size: Sequence[int], dtype: DType | None = None) -> Self:
        """A parameter without values yet: an initialiser or a checkpoint gives them."""
        parameter = cls(np.empty(tuple(size), (dtype or float32).numpy))
        parameter._blank = True
        parameter._fill = None
        return parameter

    def fill(self, fill: Fill) -> None:
        """Let `fill` write the values in place: at their first use where nobody has seen them yet, else now."""
        if self._blank:
            self._fill = fill
        else:
            self._own()
            fill(self._array)
            self.version[0] += 1

    def fill_from(self, array: Array) -> None:
        """Take a copy of an array of the same shape and dtype."""
        if self._blank:
            self.array = array.copy()
        else:
            self.fill(lambda own: np.copyto(own, array))

    def borrow(self, array: Array) -> None:
        """Take over an array of the same shape and dtype without copying it; it is copied before the first change."""
        view = array.view()
        view.flags.writeable = False
        self.array = view

    @property
    def array(self) -> Array:
        """The NumPy array itself."""
        if self._blank:
            self._settle()
        return self._array

    @array.setter
    def array(self, value: Array) -> None:
        self._array = value
        self._blank, self._fill = False, None

    # What is known without the values must not ask for them.

    @property
    def shape(self) -> Size:
        """Size along each dim."""
        return Size(self._array.shape)

    def size(self, dim: int | None = None) -> Any:
        """The shape, or the size along one dim."""
        return self.shape if dim is None else self.shape[dim]

    def numel(self) -> int:
        """How many elements there are."""
        return self._array.size

    @property
    def dtype(self) -> DType:
        """The type of the elements."""
        return of(self._array)

    @property
    def data(self) -> Tensor:
        """The same memory without history, fit to be written to."""
        self._own()
        return self.detach()

    @data.setter
    def data(self, value: Tensor) -> None:
        self.array = value.array

    def accumulate(self, share: Array) -> None:
        """Add to `.grad`; what has a gradient is about to be changed."""
        self._own()
        super().accumulate(share)

    def _settle(self) -> None:
        # Filled first: another thread that comes by meanwhile must fill it too (with the same), not read it.
        if self._fill is not None:
            self._fill(self._array)
        self._blank, self._fill = False, None

    def _own(self) -> None:
        if not self.array.flags.writeable:
            self._array = self._array.copy()

    def _before(self) -> Tensor:  # type: ignore[override]  # what it was is a plain tensor
        self._own()
        return super()._before()

    def _become(self, result: Tensor) -> Self:
        self._own()
        super()._become(result)
        return self

    def __repr__(self) -> str:
        return f"Parameter containing:\n{super().__repr__()}"


class Buffer(Tensor):
    """A tensor that a module keeps as state without training it; assigning one to a module registers it."""

    __slots__ = ("persistent",)

    def __init__(self, data: Any, *, persistent: bool = True) -> None:
        super().__init__(data.array if isinstance(data, Tensor) else data)
        self.persistent = persistent

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        copy = type(self)(self.array.copy(), persistent=self.persistent)
        memo[id(self)] = copy
        return copy
