"""Operators of the language itself: properties of tensors, conversion between tensors and numbers, exceptions."""

from __future__ import annotations

import builtins
import logging
import math
from typing import Any, NoReturn

from .. import autograd
from ..device import CPU, device
from ..errors import EngineError, ScriptError
from ..tensor import Tensor
from .arguments import CODES, number
from .table import aten, enter, refuse
from .text import shown

_log = logging.getLogger(__name__)


class Count(Tensor):
    """A number that a trace wrote as a tensor; while a module is watched, it stays a number."""

    __slots__ = ()


# Between tensors and numbers


@aten("prim::NumToTensor")
def _(a: Any) -> Tensor:
    return Count(a)


@aten("item", "ScalarImplicit", "_local_scalar_dense")
def _(self: Tensor) -> Any:
    return self.item()


@aten("Int", "IntImplicit")
def to_int(value: Any) -> int:
    """A number, text or one-element tensor as an integer, rounded towards zero."""
    return int(value.item()) if isinstance(value, Tensor) else int(value)


@aten("Float", "FloatImplicit")
def to_float(value: Any) -> float:
    """A number, text or one-element tensor as a float."""
    return float(value.item()) if isinstance(value, Tensor) else float(value)


@aten("Bool")
def to_bool(value: Any) -> bool:
    """Whether a number or one-element tensor is other than zero."""
    return bool(value.item()) if isinstance(value, Tensor) else bool(value)


@aten("Complex")
def _(real: Any, imag: Any = 0.0) -> complex:
    return complex(number(real), number(imag))


@aten("prim::tolist")
def _(self: Tensor) -> Any:
    return self.tolist()


# What tensors are


@aten("prim::dtype")
def _(a: Tensor) -> int:
    return CODES[a.dtype.name]


@aten("prim::device")
def _(a: Tensor) -> device:
    return CPU


@aten("device")
def _(a: Any, index: int | None = None) -> device:
    return device(a, index)


@aten("prim::type")
def _(self: device) -> str:
    return self.type


@aten("prim::index")
def _(self: device) -> int | None:
    return self.index


@aten("prim::shape")
def _(a: Tensor) -> list[int]:
    return list(a.array.shape)


@aten("prim::layout")
def _(a: Tensor) -> int:
    return 0


@aten("prim::data")
def _(a: Tensor) -> Tensor:
    return a.detach()


@aten("prim::grad")
def _(a: Tensor) -> Tensor | None:
    return a.grad


@aten("prim::requires_grad")
def _(a: Tensor) -> bool:
    return a.requires_grad


@aten("is_leaf")
def _(a: Tensor) -> bool:
    return a.is_leaf


@aten("prim::itemsize")
def _(a: Tensor) -> int:
    return a.array.itemsize


@aten("element_size")
def _(self: Tensor) -> int:
    return self.array.itemsize


@aten("prim::nbytes")
def _(a: Tensor) -> int:
    return a.array.nbytes


@aten("get_device")
def _(self: Tensor) -> int:
    return -1


@aten("prim::is_cpu")
def _(a: Tensor) -> bool:
    return True


def _no(*_: Any) -> bool:
    return False


for _name in (
    "cuda", "ipu", "maia", "meta", "mkldnn", "mps", "mtia", "nested", "quantized", "sparse", "sparse_csr",
    "vulkan", "xla", "xpu",
):  # fmt: skip
    enter(f"prim::is_{_name}", _no)
for _name in (
    "is_autocast_enabled", "is_autocast_cpu_enabled", "is_scripting", "cudnn_is_acceptable", "is_conj", "is_neg",
    "is_inference",
):  # fmt: skip
    enter(_name, _no)


# Of numbers and lists


@aten("prim::min")
def _(*values: Any) -> Any:
    return _extreme(builtins.min, values)


@aten("prim::max")
def _(*values: Any) -> Any:
    return _extreme(builtins.max, values)


def _extreme(function: Any, values: tuple[Any, ...]) -> Any:
    chosen = values[0] if len(values) == 1 else values
    if not chosen:
        raise EngineError("min and max of an empty list")
    return function(chosen)


@aten("prim::abs")
def _(a: Any) -> Any:
    return abs(a)


@aten("prim::rangelist")
def _(n: int) -> list[int]:
    return list(range(n))


@aten("prim::TupleIndex")
def _(tup: Any, index: int) -> Any:
    return tup[index]


@aten("prim::unchecked_unwrap_optional", "_unwrap_optional")
def _(optional: Any) -> Any:
    if optional is None:
        raise ScriptError("an Optional that is None was unwrapped")
    return optional


@aten("prim::unchecked_cast")
def _(x: Any) -> Any:
    return x


for _name in ("degrees", "radians", "fabs", "gcd", "frexp", "modf", "ldexp", "copysign", "gamma", "lgamma"):
    enter(_name, getattr(math, _name))


@aten("divmod")
def _(x: Any, y: Any) -> Any:
    if not y:
        raise EngineError("divmod: division by zero")
    return divmod(x, y)


# What goes wrong, and what is said


@aten("prim::RaiseException")
def _(msg: Any, cls: str | None = None) -> NoReturn:
    kind = (cls or "").rpartition(".")[2]
    raise ScriptError(f"{kind}: {msg}" if kind else str(msg))


@aten("warn")
def _(message: str, stacklevel: int = 2, category: str = "") -> None:
    _log.warning("%s", message)


@aten("prim::Print")
def _(*values: Any) -> None:
    _log.info("%s", " ".join(map(shown, values)))


@aten("is_grad_enabled")
def _() -> bool:
    return autograd.is_grad_enabled()


@aten("set_grad_enabled")
def _(val: bool) -> None:
    """Passed over: what a program computes is the same with and without gradients."""


@aten("wait")
def _(self: Any) -> Any:
    return self


@aten("manual_seed")
def _(seed: int) -> None:
    """Passed over: NumPy's numbers are other ones in any case."""


@aten(
    "_assert_async", "_assert_scalar", "_assert_tensor_metadata", "sym_constrain_range", "sym_constrain_range_for_size"
)
def _(*_: Any, **__: Any) -> None:
    """Passed over: what does not fit fails where it is used."""


refuse("backward", "gradients inside of programs are not there")
refuse("save", "programs write no files here")


# How loops over range(start, stop, step) are written


@aten("__range_length")
def _(lo: int, hi: int, step: int) -> int:
    if not step:
        raise EngineError("range: a step of zero")
    return len(range(lo, hi, step))


@aten("__derive_index")
def _(index: int, start: int, step: int) -> int:
    return start + index * step


@aten("prim::EnumName")
def _(enum: Any) -> str:
    return str(enum.name)


@aten("prim::EnumValue")
def _(enum: Any) -> Any:
    return enum.value
