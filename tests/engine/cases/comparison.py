"""Comparison, logic, bits and choice by a mask."""

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from .case import Case, case, each, some

A, B = some(2, 3), some(3)
BITS, OTHER = np.array([[5, -6, 12], [0, 1, 7]]), np.array([3, 1, 2])
YES = np.array([[True, False, True], [False, True, False]])


def pairs(function: Callable[..., Any], name: str, *operands: tuple[Any, Any]) -> list[Case]:
    return [case(*pair, reference=each(function), torch=lambda t, a, b: getattr(t, name)(a, b)) for pair in operands]


ROWS = {
    **{
        name: pairs(getattr(operator, name), name, (A, B), (BITS, OTHER), (A, 0.5))
        for name in ("eq", "ne", "lt", "le", "gt", "ge")
    },
    "logical_and": pairs(lambda a, b: bool(a) and bool(b), "logical_and", (BITS, YES)),
    "logical_or": pairs(lambda a, b: bool(a) or bool(b), "logical_or", (BITS, YES)),
    "logical_xor": pairs(lambda a, b: bool(a) != bool(b), "logical_xor", (BITS, YES)),
    "logical_not": [case(BITS, reference=each(operator.not_), torch=lambda t, x: t.logical_not(x))],
    "bitwise_and": pairs(operator.and_, "bitwise_and", (BITS, OTHER), (YES, ~YES)),
    "bitwise_or": pairs(operator.or_, "bitwise_or", (BITS, OTHER)),
    "bitwise_xor": pairs(operator.xor, "bitwise_xor", (BITS, OTHER)),
    "bitwise_not": [
        case(BITS, reference=each(operator.invert), torch=lambda t, x: ~x),
        case(YES, reference=each(operator.not_), torch=lambda t, x: ~x),
    ],
    "bitwise_left_shift": pairs(operator.lshift, "bitwise_left_shift", (BITS, OTHER)),
    "bitwise_right_shift": pairs(operator.rshift, "bitwise_right_shift", (BITS, OTHER)),
    "where": [
        case(YES, A, B, reference=each(lambda c, a, b: a if c else b), torch=lambda t, c, a, b: t.where(c, a, b)),
        case(YES, A, 0.0, reference=each(lambda c, a, b: a if c else b), torch=lambda t, c, a, b: t.where(c, a, b)),
    ],
    "masked_fill": [
        case(A, YES, 7.0, reference=each(lambda x, m, v: v if m else x), torch=lambda t, x, m, v: x.masked_fill(m, v)),
        case(
            A,
            YES[:1],
            np.array(7.0),
            reference=each(lambda x, m, v: v if m else x),
            torch=lambda t, x, m, v: x.masked_fill(m, v),
        ),
    ],
}
