"""Operators on single elements, of tensors and of plain numbers alike."""

from __future__ import annotations

import math
import operator
from typing import Any

from ..errors import EngineError
from ..functions import where
from ..ops import comparison, elementwise
from ..tensor import Tensor, apply
from .arguments import number
from .table import OPERATORS, Function, aten, before, enter, in_place

# Of one tensor, and its form in place.
UNARY = (
    "abs", "absolute", "acos", "acosh", "arccos", "arccosh", "arcsin", "arcsinh", "arctan", "arctanh", "asin", "asinh",
    "atan", "atanh", "bitwise_not", "conj", "cos", "cosh", "erf", "erfc", "erfinv", "exp2", "fix", "frac", "isfinite",
    "isinf", "isnan", "log2", "logical_not", "negative", "reciprocal", "relu", "rsqrt", "sigmoid", "sign", "sinh",
    "square", "tan", "tanh", "trunc", "nan_to_num", "logit", "expm1", "log1p", "log10",
)  # fmt: skip
# Likewise, and of a number.
UNARY_OF_NUMBERS: dict[str, Function] = {
    "neg": operator.neg, "sqrt": math.sqrt, "exp": math.exp, "sin": math.sin, "ceil": math.ceil, "floor": math.floor,
}  # fmt: skip
BINARY = (
    "atan2", "arctan2", "bitwise_and", "bitwise_left_shift", "bitwise_or", "bitwise_right_shift", "bitwise_xor",
    "fmax", "fmin", "hypot", "logaddexp", "logical_and", "logical_or", "logical_xor", "maximum", "minimum", "xlogy",
)  # fmt: skip
COMPARISONS: dict[str, Function] = {
    "eq": operator.eq, "ne": operator.ne, "lt": operator.lt, "le": operator.le, "gt": operator.gt, "ge": operator.ge,
}  # fmt: skip
SYNONYMS = {
    "greater": "gt", "greater_equal": "ge", "less": "lt", "less_equal": "le", "not_equal": "ne", "multiply": "mul",
    "subtract": "sub", "divide": "div", "true_divide": "div",
}  # fmt: skip
SPECIAL = {
    "special_erf": "erf", "special_erfc": "erfc", "special_erfinv": "erfinv", "special_exp2": "exp2",
    "special_expit": "sigmoid", "special_expm1": "expm1", "special_log1p": "log1p", "special_logit": "logit",
    "special_round": "round", "special_xlogy": "xlogy",
}  # fmt: skip


def _of_numbers(method: Function, function: Function) -> Function:
    def either(self: Any, *args: Any, **named: Any) -> Any:
        return method(self, *args, **named) if isinstance(self, Tensor) else function(self, *args, **named)

    return either


def _of_two(method: Function) -> Function:
    def either(self: Any, other: Any) -> Any:
        return method(self if isinstance(self, Tensor) else Tensor(self), other)

    return either


def _compared(primitive: Any, function: Function) -> Function:
    def either(self: Any, other: Any) -> Any:
        if isinstance(self, Tensor) or isinstance(other, Tensor):
            return apply(primitive, self, other)
        return function(self, other)

    return either


for _name in UNARY:
    enter(_name, getattr(Tensor, _name))
for _name, _function in UNARY_OF_NUMBERS.items():
    enter(_name, _of_numbers(getattr(Tensor, _name), _function))
for _name in BINARY:
    enter(_name, _of_two(getattr(Tensor, _name)))
for _name, _function in COMPARISONS.items():
    enter(_name, _compared(getattr(comparison, _name), _function))


@aten("log")
def _(self: Any, base: Any = None) -> Any:
    if isinstance(self, Tensor):
        return self.log()
    return math.log(self) if base is None else math.log(self, base)


@aten("round")
def _(self: Any, *, decimals: int = 0) -> Any:
    return self.round(decimals=decimals) if isinstance(self, Tensor) else float(round(self))


def _scaled(other: Any, alpha: Any) -> Any:
    if type(alpha) is int and alpha == 1:
        return other
    return other * alpha


def _arithmetic(name: str, function: Function) -> Function:
    """Of tensors (with alpha), numbers, text and lists."""
    primitive = getattr(elementwise, name)

    def of_two(self: Any, other: Any, alpha: Any = 1) -> Any:
        if isinstance(self, Tensor) or isinstance(other, Tensor):
            return apply(primitive, self, _scaled(other, alpha))
        return function(self, _scaled(other, alpha))

    return of_two


enter("add", _arithmetic("add", operator.add))
enter("sub", _arithmetic("sub", operator.sub))
enter("mul", _arithmetic("mul", operator.mul))


@aten("rsub")
def _(self: Tensor, other: Any, alpha: Any = 1) -> Any:
    return self.rsub(other, alpha=alpha)


@aten("div")
def divide(self: Any, other: Any, *, rounding_mode: str | None = None) -> Any:
    """self / other; of numbers as well."""
    if isinstance(self, Tensor) or isinstance(other, Tensor):
        return (self if isinstance(self, Tensor) else Tensor(self)).div(other, rounding_mode=rounding_mode)
    try:
        return self / other
    except ZeroDivisionError:
        return math.copysign(math.inf, self) if self else math.nan


@before(4, "div")
def _(self: Any, other: Any, *, rounding_mode: str | None = None) -> Any:
    """Integers were divided to integers."""
    whole = [not _is_floating(x) for x in (self, other)]
    if all(whole) and (isinstance(self, Tensor) or isinstance(other, Tensor)) and rounding_mode is None:
        return divide(self, other, rounding_mode="trunc")
    return divide(self, other, rounding_mode=rounding_mode)


def _is_floating(value: Any) -> bool:
    return value.dtype.is_floating_point if isinstance(value, Tensor) else isinstance(value, (float, complex))


def _whole(name: str, function: Function) -> Function:
    """Of integers and floats with a divisor other than zero."""
    primitive = getattr(elementwise, name)

    def of_two(self: Any, other: Any) -> Any:
        if isinstance(self, Tensor) or isinstance(other, Tensor):
            return apply(primitive, self, other)
        try:
            return function(self, other)
        except ZeroDivisionError:
            raise EngineError(f"{name}: division by zero") from None

    return of_two


enter("floor_divide", _whole("floor_divide", operator.floordiv))
enter("floordiv", _whole("floor_divide", operator.floordiv))
enter("remainder", _whole("remainder", operator.mod))
enter("fmod", _whole("fmod", math.fmod))


@aten("pow")
def _(self: Any, exponent: Any) -> Any:
    if isinstance(self, Tensor) or isinstance(exponent, Tensor):
        return apply(elementwise.pow, self, exponent)
    if isinstance(self, int) and isinstance(exponent, int) and (exponent > 64 and abs(self) > 1):
        raise EngineError(f"pow: {self} to the power of {exponent} is more than an integer holds")
    return self**exponent


@aten("__and__")
def _(self: Any, other: Any) -> Any:
    return self & other


@aten("__or__")
def _(self: Any, other: Any) -> Any:
    return self | other


@aten("__xor__")
def _(self: Any, other: Any) -> Any:
    return self ^ other


@aten("__lshift__")
def _(self: Any, other: Any) -> Any:
    return self << (other if isinstance(self, Tensor) else _bits(other))


@aten("__rshift__")
def _(self: Any, other: Any) -> Any:
    return self.bitwise_right_shift(other) if isinstance(self, Tensor) else self >> _bits(other)


def _bits(count: int) -> int:
    if not 0 <= count < 64:
        raise EngineError(f"a shift by {count} bits; expected 0 to 63")
    return count


@aten("__not__")
def _(self: Any) -> Any:
    return not self


@aten("__is__")
def _(self: Any, other: Any) -> Any:
    return self is other


@aten("__isnot__")
def _(self: Any, other: Any) -> Any:
    return self is not other


@aten("clamp", "clip")
def _(self: Any, min: Any = None, max: Any = None) -> Any:
    if min is None and max is None:
        raise EngineError("clamp: neither min nor max is given")
    if isinstance(self, Tensor):
        return self.clamp(min, max)
    low = self if min is None or self > min else min
    return low if max is None or low < max else max


@aten("clamp_min")
def _(self: Tensor, min: Any) -> Tensor:
    return self.clamp(min=min)


@aten("clamp_max")
def _(self: Tensor, max: Any) -> Tensor:
    return self.clamp(max=max)


@aten("lerp")
def _(self: Tensor, end: Tensor, weight: Any) -> Tensor:
    return self.lerp(end, weight)


@aten("addcmul")
def _(self: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Any = 1) -> Tensor:
    return self.addcmul(tensor1, tensor2, value=value)


@aten("addcdiv")
def _(self: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Any = 1) -> Tensor:
    return self.addcdiv(tensor1, tensor2, value=value)


@aten("where")
def _(condition: Tensor, self: Any = None, other: Any = None) -> Any:
    chosen = where(condition, self, other)
    return list(chosen) if isinstance(chosen, tuple) else chosen


@aten("masked_fill")
def _(self: Tensor, mask: Tensor, value: Any) -> Tensor:
    return self.masked_fill(mask, number(value))


@aten("isclose")
def _(self: Tensor, other: Tensor, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> Tensor:
    return self.isclose(other, rtol, atol, equal_nan)


@aten("allclose")
def _(self: Tensor, other: Tensor, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> bool:
    self._told("allclose()")
    other._told("allclose()")
    return self.allclose(other, rtol, atol, equal_nan)


@aten("equal")
def _(self: Tensor, other: Tensor) -> bool:
    self._told("equal()")
    other._told("equal()")
    return self.equal(other)


for _synonym, _name in (SYNONYMS | SPECIAL).items():
    enter(_synonym, OPERATORS[f"aten::{_name}"])

_OWN_FORMS = ("relu", "conj", "fmax", "fmin", "logaddexp", "maximum", "minimum", "isfinite", "isinf", "isnan")
IN_PLACE = (
    *(name for name in (*UNARY, *UNARY_OF_NUMBERS, *BINARY) if name not in _OWN_FORMS),
    *COMPARISONS, *SYNONYMS, "log", "round", "add", "sub", "mul", "div", "floor_divide", "remainder", "fmod", "pow",
    "clamp", "clip", "clamp_min", "clamp_max", "lerp", "addcmul", "addcdiv", "masked_fill",
)  # fmt: skip
for _name in IN_PLACE:
    enter(f"{_name}_", in_place(_name))
enter("__iand__", in_place("__and__"))
enter("__ior__", in_place("__or__"))
enter("__ixor__", in_place("__xor__"))
