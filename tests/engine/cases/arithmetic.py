"""Arithmetic on two operands."""

import math
import operator

import numpy as np

from .case import case, each, some

A, B, ROW = some(2, 3), some(2, 3), some(3)
POSITIVE = some(2, 3, low=0.5, high=2.0)
WHOLE, DIVISOR = np.array([[-7, 7, 5], [-5, 0, 3]]), np.array([2, -2, 3])
PAIRS = {"alike": (A, B), "broadcast": (some(2, 1), ROW), "number": (A, 1.5)}


def _max(a: float, b: float) -> float:
    return a if a > b else b


def _min(a: float, b: float) -> float:
    return a if a < b else b


ROWS = {
    "add": [
        *(case(*pair, reference=each(operator.add), torch=lambda t, a, b: a + b) for pair in PAIRS.values()),
        case(2, WHOLE, reference=each(operator.add), torch=lambda t, a, b: a + b),
    ],
    "sub": [case(*pair, reference=each(operator.sub), torch=lambda t, a, b: a - b) for pair in PAIRS.values()],
    "mul": [case(*pair, reference=each(operator.mul), torch=lambda t, a, b: a * b) for pair in PAIRS.values()],
    "div": [
        *(case(*pair, reference=each(operator.truediv), torch=lambda t, a, b: a / b) for pair in PAIRS.values()),
        case(1.0, A, reference=each(operator.truediv), torch=lambda t, a, b: a / b),
    ],
    "floor_divide": [
        case(WHOLE, DIVISOR, reference=each(operator.floordiv), torch=lambda t, a, b: a // b),
        case(A, B, reference=each(operator.floordiv), torch=lambda t, a, b: (a // b).detach()),
    ],
    "trunc_divide": [
        case(
            WHOLE,
            DIVISOR,
            reference=each(lambda a, b: int(a / b)),
            torch=lambda t, a, b: t.div(a, b, rounding_mode="trunc"),
        ),
        case(
            A,
            B,
            reference=each(lambda a, b: float(int(a / b))),
            torch=lambda t, a, b: t.div(a, b, rounding_mode="trunc").detach(),
        ),
    ],
    "remainder": [
        case(A, B, reference=each(operator.mod), torch=lambda t, a, b: a % b),
        case(WHOLE, DIVISOR, reference=each(operator.mod), torch=lambda t, a, b: a % b),
    ],
    "fmod": [
        case(A, B, reference=each(math.fmod), torch=lambda t, a, b: t.fmod(a, b)),
        case(WHOLE, DIVISOR, reference=each(lambda a, b: int(math.fmod(a, b))), torch=lambda t, a, b: t.fmod(a, b)),
    ],
    "pow": [
        case(POSITIVE, B, reference=each(operator.pow), torch=lambda t, a, b: a**b),
        case(A, 3, reference=each(operator.pow), torch=lambda t, a, b: a**b),
        case(A, 2, reference=each(operator.pow), torch=lambda t, a, b: a**b),
        case(A, 0, reference=each(operator.pow), torch=lambda t, a, b: a**b),
        case(2.0, B, reference=each(operator.pow), torch=lambda t, a, b: a**b),
        case(WHOLE, np.array(2), reference=each(operator.pow), torch=lambda t, a, b: a**b),
    ],
    "maximum": [
        case(A, B, reference=each(_max), torch=lambda t, a, b: t.maximum(a, b)),
        case(A, A.copy(), reference=each(_max), torch=lambda t, a, b: t.maximum(a, b), smooth=False),
    ],
    "minimum": [
        case(A, B, reference=each(_min), torch=lambda t, a, b: t.minimum(a, b)),
        case(A, A.copy(), reference=each(_min), torch=lambda t, a, b: t.minimum(a, b), smooth=False),
    ],
    "fmax": [case(A, B, reference=each(_max), torch=lambda t, a, b: t.fmax(a, b))],
    "fmin": [case(A, B, reference=each(_min), torch=lambda t, a, b: t.fmin(a, b))],
    "atan2": [case(A, B, reference=each(math.atan2), torch=lambda t, a, b: t.atan2(a, b))],
    "hypot": [case(A, B, reference=each(math.hypot), torch=lambda t, a, b: t.hypot(a, b))],
    "logaddexp": [
        case(
            A,
            B,
            reference=each(lambda a, b: math.log(math.exp(a) + math.exp(b))),
            torch=lambda t, a, b: t.logaddexp(a, b),
        )
    ],
    "xlogy": [
        case(A, POSITIVE, reference=each(lambda a, b: a * math.log(b)), torch=lambda t, a, b: t.xlogy(a, b)),
        case(np.zeros(2), np.array([0.0, 2.0]), smooth=False, reference=each(lambda a, b: 0.0)),
    ],
    "clamp": [
        case(
            A,
            min=-1.0,
            max=0.5,
            reference=each(lambda x: min(max(x, -1.0), 0.5)),
            torch=lambda t, x: x.clamp(-1.0, 0.5),
        ),
        case(A, min=0.0, reference=each(lambda x: max(x, 0.0)), torch=lambda t, x: x.clamp(min=0.0)),
        case(WHOLE, max=2, reference=each(lambda x: min(x, 2)), torch=lambda t, x: x.clamp(max=2)),
    ],
}
