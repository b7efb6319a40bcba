"""Other dtypes, copies, and what can be asked of a tensor's dtype."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import creation as make
from ..device import device
from ..dtype import DType, bool_, of, result_dtype
from ..tensor import Tensor
from .arguments import CODES, dtype_of
from .table import aten, enter

Code = DType | int | None


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
