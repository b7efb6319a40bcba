"""Arithmetic, comparison and functions of single elements."""

from __future__ import annotations

from typing import Any, Self

from ..dtype import Number
from ..errors import EngineError
from ..ops import activation, comparison, elementwise, unary
from .base import Methods, in_place, of_one, of_two, reflected


class UnaryMethods(Methods):
    """Functions of single elements."""

    __slots__ = ()

    neg = negative = __neg__ = of_one(unary.neg)
    abs = absolute = __abs__ = of_one(unary.abs)
    sign = of_one(unary.sign)
    square = of_one(unary.square)
    reciprocal = of_one(unary.reciprocal)
    exp = of_one(unary.exp)
    exp2 = of_one(unary.exp2)
    expm1 = of_one(unary.expm1)
    log = of_one(unary.log)
    log2 = of_one(unary.log2)
    log10 = of_one(unary.log10)
    log1p = of_one(unary.log1p)
    sqrt = of_one(unary.sqrt)
    rsqrt = of_one(unary.rsqrt)
    sin = of_one(unary.sin)
    cos = of_one(unary.cos)
    tan = of_one(unary.tan)
    asin = arcsin = of_one(unary.asin)
    acos = arccos = of_one(unary.acos)
    atan = arctan = of_one(unary.atan)
    sinh = of_one(unary.sinh)
    cosh = of_one(unary.cosh)
    tanh = of_one(unary.tanh)
    asinh = arcsinh = of_one(unary.asinh)
    acosh = arccosh = of_one(unary.acosh)
    atanh = arctanh = of_one(unary.atanh)
    erf = of_one(unary.erf)
    erfc = of_one(unary.erfc)
    erfinv = of_one(unary.erfinv)
    sigmoid = of_one(unary.sigmoid)
    relu = of_one(activation.relu)
    floor = of_one(unary.floor)
    ceil = of_one(unary.ceil)
    trunc = fix = of_one(unary.trunc)
    frac = of_one(unary.frac)
    isnan = of_one(unary.isnan)
    isinf = of_one(unary.isinf)
    isfinite = of_one(unary.isfinite)
    logical_not = of_one(comparison.logical_not)
    bitwise_not = __invert__ = of_one(comparison.bitwise_not)
    clone = of_one(unary.clone)

    conj = of_one(unary.conj)
    real = property(of_one(unary.real))
    imag = property(of_one(unary.imag))

    def round(self, *, decimals: int = 0) -> Self:
        """The nearest number with so many decimals; halves go to the even one. Source: torch.round."""
        return self._apply(unary.round, decimals=decimals)

    def nan_to_num(self, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None) -> Self:
        """Other numbers in place of nan, inf and -inf. Source: torch.nan_to_num."""
        return self._apply(unary.nan_to_num, nan=nan, posinf=posinf, neginf=neginf)

    def logit(self, eps: float | None = None) -> Self:
        """log(x / (1 - x)), x first kept eps away from 0 and 1. Source: torch.logit."""
        x = self if eps is None else self._apply(elementwise.clamp, min=eps, max=1 - eps)
        return x._apply(elementwise.div, x._reflect(elementwise.sub, 1)).log()

    neg_ = negative_ = in_place(neg)
    abs_ = absolute_ = in_place(abs)
    exp2_ = in_place(exp2)
    expm1_ = in_place(expm1)
    log2_ = in_place(log2)
    log10_ = in_place(log10)
    tan_ = in_place(tan)
    frac_ = in_place(frac)
    erfc_ = in_place(erfc)
    logit_ = in_place(logit)
    sign_ = in_place(sign)
    square_ = in_place(square)
    reciprocal_ = in_place(reciprocal)
    exp_ = in_place(exp)
    log_ = in_place(log)
    log1p_ = in_place(log1p)
    sqrt_ = in_place(sqrt)
    rsqrt_ = in_place(rsqrt)
    sin_ = in_place(sin)
    cos_ = in_place(cos)
    tanh_ = in_place(tanh)
    erf_ = in_place(erf)
    erfinv_ = in_place(erfinv)
    sigmoid_ = in_place(sigmoid)
    relu_ = in_place(relu)
    floor_ = in_place(floor)
    ceil_ = in_place(ceil)
    trunc_ = in_place(trunc)
    round_ = in_place(round)
    nan_to_num_ = in_place(nan_to_num)


class ElementwiseMethods(UnaryMethods):
    """Arithmetic with broadcasting and PyTorch's dtype rules."""

    __slots__ = ()

    def add(self, other: Self | Number, *, alpha: Number = 1) -> Self:
        """self + alpha * other. Source: torch.add."""
        return self._apply(elementwise.add, _times(other, alpha))

    def sub(self, other: Self | Number, *, alpha: Number = 1) -> Self:
        """self - alpha * other. Source: torch.sub."""
        return self._apply(elementwise.sub, _times(other, alpha))

    def div(self, other: Self | Number, *, rounding_mode: str | None = None) -> Self:
        """self / other; rounding_mode "floor" or "trunc" rounds. Source: torch.div."""
        if rounding_mode is None:
            return self._apply(elementwise.div, other)
        if rounding_mode not in ("floor", "trunc"):
            raise EngineError(f"div: rounding_mode {rounding_mode!r}; expected None, 'floor' or 'trunc'")
        return self._apply(elementwise.floor_divide if rounding_mode == "floor" else elementwise.trunc_divide, other)

    mul = multiply = __mul__ = of_two(elementwise.mul)
    floor_divide = __floordiv__ = of_two(elementwise.floor_divide)
    remainder = __mod__ = of_two(elementwise.remainder)
    fmod = of_two(elementwise.fmod)
    pow = __pow__ = of_two(elementwise.pow)
    maximum = of_two(elementwise.maximum)
    minimum = of_two(elementwise.minimum)
    fmax = of_two(elementwise.fmax)
    fmin = of_two(elementwise.fmin)
    atan2 = arctan2 = of_two(elementwise.atan2)
    hypot = of_two(elementwise.hypot)
    logaddexp = of_two(elementwise.logaddexp)
    xlogy = of_two(elementwise.xlogy)

    __add__ = of_two(elementwise.add)
    __sub__ = of_two(elementwise.sub)
    __truediv__ = of_two(elementwise.div)
    subtract = sub
    divide = true_divide = div
    __radd__ = reflected(elementwise.add)
    __rsub__ = reflected(elementwise.sub)
    __rmul__ = reflected(elementwise.mul)
    __rtruediv__ = reflected(elementwise.div)
    __rfloordiv__ = reflected(elementwise.floor_divide)
    __rmod__ = reflected(elementwise.remainder)
    __rpow__ = reflected(elementwise.pow)

    def rsub(self, other: Self | Number, *, alpha: Number = 1) -> Self:
        """other - alpha * self. Source: torch.rsub."""
        scaled: Self = _times(self, alpha)
        return scaled._reflect(elementwise.sub, other)

    def clamp(self, min: Any = None, max: Any = None) -> Self:
        """Elements below `min` or above `max` brought there; the limits are numbers or tensors. Source: torch.clamp."""
        if not isinstance(min, Methods) and not isinstance(max, Methods):
            return self._apply(elementwise.clamp, min=min, max=max)
        low = self if min is None else self._apply(elementwise.maximum, min)
        return low if max is None else low._apply(elementwise.minimum, max)

    clip = clamp

    def clamp_min(self, min: Any) -> Self:
        """Elements below `min` brought there. Source: torch.clamp_min."""
        return self.clamp(min=min)

    def clamp_max(self, max: Any) -> Self:
        """Elements above `max` brought there. Source: torch.clamp_max."""
        return self.clamp(max=max)

    def lerp(self, end: Self, weight: Self | Number) -> Self:
        """self + weight * (end - self). Source: torch.lerp."""
        return self + (end - self) * weight

    def addcmul(self, tensor1: Self, tensor2: Self, *, value: Number = 1) -> Self:
        """self + value * tensor1 * tensor2. Source: torch.addcmul."""
        return self.add(tensor1.mul(tensor2), alpha=value)

    def addcdiv(self, tensor1: Self, tensor2: Self, *, value: Number = 1) -> Self:
        """self + value * tensor1 / tensor2. Source: torch.addcdiv."""
        return self.add(tensor1.div(tensor2), alpha=value)

    add_ = in_place(add)
    sub_ = subtract_ = in_place(sub)
    mul_ = multiply_ = in_place(mul)
    div_ = divide_ = true_divide_ = in_place(div)
    pow_ = in_place(pow)
    floor_divide_ = in_place(floor_divide)
    remainder_ = in_place(remainder)
    fmod_ = in_place(fmod)
    clamp_ = clip_ = in_place(clamp)
    clamp_min_ = in_place(clamp_min)
    clamp_max_ = in_place(clamp_max)
    lerp_ = in_place(lerp)
    addcmul_ = in_place(addcmul)
    addcdiv_ = in_place(addcdiv)
    __iadd__ = add_
    __isub__ = sub_
    __imul__ = mul_
    __itruediv__ = div_
    __ifloordiv__ = floor_divide_
    __imod__ = remainder_
    __ipow__ = pow_


def _times(other: Any, alpha: Number) -> Any:
    return other if type(alpha) is int and alpha == 1 else other * alpha
