"""Operators that make tensors out of nothing, or others' contents and dtypes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import creation as make
from ..device import device
from ..dtype import DType, bool_, float32, int64, of, result_dtype
from ..functions import one_hot
from ..tensor import Tensor
from .arguments import CODES, dtype_of, number, sizes
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


@aten("to", "_to_copy")
def _(self: Tensor, *args: Any, dtype: Code = None, copy: bool = False, **ignored: Any) -> Tensor:
    """(dtype, …), (device, dtype, …), (other, …): a device is passed over; the flags are non_blocking and copy."""
    items = list(args)
    if items and (items[0] is None or isinstance(items[0], (device, str))):
        items.pop(0)
    if items and (items[0] is None or isinstance(items[0], (Tensor, DType)) or type(items[0]) is int):
        wanted = items.pop(0)
        dtype = wanted.dtype if isinstance(wanted, Tensor) else wanted
    flags = [item for item in items if isinstance(item, bool)]
    copy = copy or (len(flags) > 1 and flags[1])
    return self.to(dtype=dtype_of(dtype), copy=copy)


@aten("type_as")
def _(self: Tensor, other: Tensor) -> Tensor:
    return self.type_as(other)


# Tensor(…) of a dtype, as older programs cast. Source: aten::_cast_Float and its like.
for _name in ("byte", "char", "double", "float", "int", "long", "short", "half"):
    enter(f"_cast_{_name.capitalize()}", lambda self, non_blocking=False, _name=_name: getattr(self, _name)())


@aten("clone")
def _(self: Tensor, *, memory_format: int | None = None) -> Tensor:
    return self.clone()


@aten("lift_fresh_copy")
def _(self: Tensor) -> Tensor:
    return self.clone()


@aten("lift_fresh", "lift", "alias")
def _(self: Tensor) -> Tensor:
    return self


@aten("detach", "detach_", "cpu", "resolve_conj", "resolve_neg", "positive")
def _(self: Tensor) -> Tensor:
    return self.detach()


@aten("requires_grad_")
def _(self: Tensor, requires_grad: bool = True) -> Tensor:
    return self


@aten("copy_")
def _(self: Tensor, src: Any, non_blocking: bool = False) -> Tensor:
    return self.copy_(src)


@aten("fill_")
def _(self: Tensor, value: Any) -> Tensor:
    return self.fill_(value)


@aten("fill")
def _(self: Tensor, value: Any) -> Tensor:
    return self.clone().fill_(value)


@aten("zero_")
def _(self: Tensor) -> Tensor:
    return self.zero_()


@aten("real")
def _(self: Tensor) -> Any:
    return self.real if self.dtype.is_complex else self


@aten("imag")
def _(self: Tensor) -> Any:
    return self.imag


@aten("is_floating_point")
def _(self: Tensor) -> bool:
    return self.dtype.is_floating_point


@aten("is_complex")
def _(self: Tensor) -> bool:
    return self.dtype.is_complex


@aten("is_signed")
def _(self: Tensor) -> bool:
    return bool(self.is_signed())


@aten("is_nonzero")
def _(self: Tensor) -> bool:
    return bool(self.item())


@aten("isreal")
def _(self: Tensor) -> Tensor:
    return make.full_like(self, True, dtype=bool_) if not self.dtype.is_complex else self.imag.eq(0)


@aten("result_type")
def _(tensor: Any, other: Any) -> int:
    arrays = [x.array if isinstance(x, Tensor) else x for x in (tensor, other)]
    return CODES[of(np.empty(0, result_dtype(*arrays))).name]


# Random numbers; their sequence is NumPy's.


@aten("rand")
def _(size: Sequence[int], *, dtype: Code = None, **ignored: Any) -> Tensor:
    return make.full(sizes(size), 0.0, dtype=dtype_of(dtype) or float32).uniform_()


@aten("randn")
def _(size: Sequence[int], *, dtype: Code = None, **ignored: Any) -> Tensor:
    return make.full(sizes(size), 0.0, dtype=dtype_of(dtype) or float32).normal_()


@aten("rand_like")
def _(self: Tensor, *, dtype: Code = None, **ignored: Any) -> Tensor:
    return make.zeros_like(self, dtype=dtype_of(dtype)).uniform_()


@aten("randn_like")
def _(self: Tensor, *, dtype: Code = None, **ignored: Any) -> Tensor:
    return make.zeros_like(self, dtype=dtype_of(dtype)).normal_()


@aten("bernoulli_")
def _(self: Tensor, p: float = 0.5, *, generator: Any = None) -> Tensor:
    return self.bernoulli_(p)


@aten("bernoulli")
def _(self: Tensor, p: float | None = None, *, generator: Any = None) -> Tensor:
    return self.bernoulli() if p is None else make.zeros_like(self).bernoulli_(p)


@aten("normal_")
def _(self: Tensor, mean: float = 0.0, std: float = 1.0, *, generator: Any = None) -> Tensor:
    return self.normal_(mean, std)


@aten("uniform_")
def _(self: Tensor, from_: float = 0.0, to: float = 1.0, *, generator: Any = None) -> Tensor:
    return self.uniform_(from_, to)


@aten("multinomial")
def _(self: Tensor, num_samples: int, replacement: bool = False, *, generator: Any = None) -> Tensor:
    return self.multinomial(num_samples, replacement)


@aten("randint")
def _(*args: Any, dtype: Code = None, **ignored: Any) -> Tensor:
    """(high, size) or (low, high, size)."""
    low, high, size = args if len(args) == 3 else (0, *args)
    made = make.full(sizes(size), 0, dtype=dtype_of(dtype) or int64)
    return made.random_(low, high)


@aten("randperm")
def _(n: int, *, dtype: Code = None, **ignored: Any) -> Tensor:
    return make.full([n], 0.0).uniform_().argsort().to(dtype_of(dtype) or int64)
