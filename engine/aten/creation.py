"""Operators that make tensors out of nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import creation as make
from ..device import device
from ..dtype import DType, float32, int64
from ..functions import one_hot
from ..tensor import Tensor
from .arguments import dtype_of, number, sizes
from .table import aten, before, enter

Code = DType | int | None
# Where a tensor is to be, and how its memory is laid out, has no meaning here: programs made elsewhere say "cuda".
IGNORED = ("layout", "device", "pin_memory", "memory_format", "requires_grad", "names")


def _filled(value: float) -> Any:
    def filled(size: Sequence[int], *, dtype: Code = None, **ignored: Any) -> Tensor:
        return make.full(sizes(size), value, dtype=dtype_of(dtype) or float32)

    return filled


def _filled_like(value: float) -> Any:
    def filled(self: Tensor, *, dtype: Code = None, **ignored: Any) -> Tensor:
        return make.full_like(self, value, dtype=dtype_of(dtype))

    return filled


def _new(value: float) -> Any:
    def filled(self: Tensor, size: Sequence[int], *, dtype: Code = None, **ignored: Any) -> Tensor:
        return self.new_full(sizes(size), value, dtype=dtype_of(dtype))

    return filled


for _name, _value in (("zeros", 0), ("ones", 1), ("empty", 0)):
    enter(_name, _filled(_value))
    enter(f"{_name}_like", _filled_like(_value))
    enter(f"new_{_name}", _new(_value))


@aten("full")
def full(size: Sequence[int], fill_value: Any, *, dtype: Code = None, **ignored: Any) -> Tensor:
    """All of one number."""
    return make.full(sizes(size), number(fill_value), dtype=dtype_of(dtype))


@before(5, "full")
def _(size: Sequence[int], fill_value: Any, *, dtype: Code = None, **ignored: Any) -> Tensor:
    """Integers and bools gave floats."""
    return full(size, fill_value, dtype=dtype or float32)


@aten("full_like")
def _(self: Tensor, fill_value: Any, *, dtype: Code = None, **ignored: Any) -> Tensor:
    return make.full_like(self, number(fill_value), dtype=dtype_of(dtype))


@aten("new_full")
def _(self: Tensor, size: Sequence[int], fill_value: Any, *, dtype: Code = None, **ignored: Any) -> Tensor:
    return self.new_full(sizes(size), number(fill_value), dtype=dtype_of(dtype))


@aten("scalar_tensor")
def _(s: Any, *, dtype: Code = None, **ignored: Any) -> Tensor:
    return make.tensor(s, dtype=dtype_of(dtype) or float32)


@aten("tensor", "as_tensor")
def _(data: Any, *, dtype: Code = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    if isinstance(data, list) and any(isinstance(item, Tensor) for item in data):
        data = [number(item) for item in data]
    if data == [] and dtype is None:
        dtype = float32
    return make.tensor(data, dtype=dtype_of(dtype))


@aten("arange")
def _(*args: Any, start: Any = None, end: Any = None, step: Any = None, dtype: Code = None, **ignored: Any) -> Tensor:
    given = [number(a) for a in args if not isinstance(a, device)]
    bounds = given or [b for b in (start, end) if b is not None]
    if step is not None:
        bounds = [*([0] if len(bounds) == 1 else []), *bounds, step]
    return make.arange(*bounds, dtype=dtype_of(dtype))


@aten("linspace")
def linspace(start: Any, end: Any, steps: int, *, dtype: Code = None, **ignored: Any) -> Tensor:
    """Evenly spaced numbers."""
    return make.linspace(number(start), number(end), steps, dtype=dtype_of(dtype) or float32)


@before(8, "linspace")
def _(start: Any, end: Any, steps: int | None = None, *, dtype: Code = None, **ignored: Any) -> Tensor:
    """Without a count, 100 of them."""
    return linspace(start, end, 100 if steps is None else steps, dtype=dtype)


@aten("logspace")
def logspace(start: Any, end: Any, steps: int, base: float = 10.0, *, dtype: Code = None, **ignored: Any) -> Tensor:
    """Powers with evenly spaced exponents."""
    return make.logspace(number(start), number(end), steps, base, dtype=dtype_of(dtype) or float32)


@before(9, "logspace")
def _(
    start: Any, end: Any, steps: int | None = None, base: float = 10.0, *, dtype: Code = None, **ignored: Any
) -> Tensor:
    """Without a count, 100 of them."""
    return logspace(start, end, 100 if steps is None else steps, base, dtype=dtype)


@aten("eye")
def _(n: int, m: int | None = None, *, dtype: Code = None, **ignored: Any) -> Tensor:
    return make.eye(n, m, dtype=dtype_of(dtype) or float32)


@aten("tril_indices")
def _(row: int, col: int, offset: int = 0, *, dtype: Code = None, **ignored: Any) -> Tensor:
    return make.tril_indices(row, col, offset).to(dtype_of(dtype) or int64)


@aten("triu_indices")
def _(row: int, col: int, offset: int = 0, *, dtype: Code = None, **ignored: Any) -> Tensor:
    return make.triu_indices(row, col, offset).to(dtype_of(dtype) or int64)


@aten("one_hot")
def _(self: Tensor, num_classes: int = -1) -> Tensor:
    return one_hot(self, num_classes)
