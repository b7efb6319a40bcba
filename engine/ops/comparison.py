"""Primitives that compare, decide and work on bits."""

from __future__ import annotations

import numpy as np

from ..dtype import Array, number_as, result_dtype
from ..errors import DtypeError
from .primitive import Primitive, enter, primitive

eq = enter(Primitive("eq", np.equal, "common", "Whether a == b."))
ne = enter(Primitive("ne", np.not_equal, "common", "Whether a != b."))
lt = enter(Primitive("lt", np.less, "common", "Whether a < b."))
le = enter(Primitive("le", np.less_equal, "common", "Whether a <= b."))
gt = enter(Primitive("gt", np.greater, "common", "Whether a > b."))
ge = enter(Primitive("ge", np.greater_equal, "common", "Whether a >= b."))

logical_not = enter(Primitive("logical_not", np.logical_not, None, "Whether an element is 0."))
logical_and = enter(Primitive("logical_and", np.logical_and, "common", "Whether both are other than 0."))
logical_or = enter(Primitive("logical_or", np.logical_or, "common", "Whether either is other than 0."))
logical_xor = enter(Primitive("logical_xor", np.logical_xor, "common", "Whether exactly one is other than 0."))

bitwise_not = enter(Primitive("bitwise_not", np.invert, None, "All bits turned; for bools, not."))
bitwise_and = enter(Primitive("bitwise_and", np.bitwise_and, "common", "The bits that both have."))
bitwise_or = enter(Primitive("bitwise_or", np.bitwise_or, "common", "The bits that either has."))
bitwise_xor = enter(Primitive("bitwise_xor", np.bitwise_xor, "common", "The bits that exactly one has."))
bitwise_left_shift = enter(Primitive("bitwise_left_shift", np.left_shift, "common", "a * 2 ** b, by bits."))
bitwise_right_shift = enter(Primitive("bitwise_right_shift", np.right_shift, "common", "a // 2 ** b, by bits."))


@primitive
def where(condition: Array, a: Array, b: Array) -> Array:
    """a where the condition holds, else b."""
    if condition.dtype != np.bool_ and condition.dtype != np.uint8:
        raise DtypeError(f"where: the condition is {condition.dtype}; expected bool")
    dtype = result_dtype(a, b)
    return np.where(condition, _as(a, dtype), _as(b, dtype))


def _as(operand: Array, dtype: np.dtype[np.generic]) -> Array:
    return (
        operand.astype(dtype, copy=False) if isinstance(operand, np.ndarray) else np.asarray(number_as(operand, dtype))
    )


@where.gradient
def _(g: Array, _out: None, condition: Array, _a: None, _b: None) -> tuple[None, Array, Array]:
    zero = g.dtype.type(0)
    return None, np.where(condition, g, zero), np.where(condition, zero, g)


@primitive
def masked_fill(x: Array, mask: Array, value: Array) -> Array:
    """x with `value` where the mask holds, in x's dtype."""
    if mask.dtype != np.bool_:
        raise DtypeError(f"masked_fill: the mask is {mask.dtype}; expected bool")
    return np.where(mask, _as(value, x.dtype), x)


@masked_fill.gradient
def _(
    g: Array, _out: None, _x: None, mask: Array, _value: None, *, needs: tuple[bool, ...]
) -> tuple[Array | None, ...]:
    zero = g.dtype.type(0)
    return np.where(mask, zero, g), None, (np.asarray(np.where(mask, g, zero).sum()) if needs[2] else None)
