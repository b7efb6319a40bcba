"""Functions of single elements."""

import math
from collections.abc import Callable
from statistics import NormalDist
from typing import Any

import numpy as np
from numserve.engine.dtype import float32, float64, int64

from .case import Case, case, each, some

X = some(2, 3)
SMALL = some(2, 3, low=-0.9, high=0.9)
POSITIVE = some(2, 3, low=0.2, high=3.0)
ABOVE_1 = some(2, 3, low=1.1, high=3.0)
COMPLEX = np.array([1 + 2j, -3j])
ODD = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1.0])


def row(function: Callable[[float], Any], name: str, *inputs: np.ndarray) -> list[Case]:
    return [case(x, reference=each(function), torch=lambda t, x: getattr(t, name)(x)) for x in inputs or (X,)]


ROWS = {
    "neg": row(lambda x: -x, "neg"),
    "abs": row(abs, "abs"),
    "sign": row(lambda x: math.copysign(1.0, x), "sign"),
    "square": row(lambda x: x * x, "square"),
    "reciprocal": row(lambda x: 1 / x, "reciprocal"),
    "conj": [case(COMPLEX, reference=each(complex.conjugate), torch=lambda t, x: t.conj(x).resolve_conj())],
    "real": [
        case(COMPLEX, reference=each(lambda z: z.real), torch=lambda t, x: x.real),
        case(X, reference=each(float)),
    ],
    "imag": [case(COMPLEX, reference=each(lambda z: z.imag), torch=lambda t, x: x.imag)],
    "exp": row(math.exp, "exp"),
    "exp2": row(lambda x: 2**x, "exp2"),
    "expm1": row(math.expm1, "expm1"),
    "log": row(math.log, "log", POSITIVE),
    "log2": row(math.log2, "log2", POSITIVE),
    "log10": row(math.log10, "log10", POSITIVE),
    "log1p": row(math.log1p, "log1p", POSITIVE),
    "sqrt": row(math.sqrt, "sqrt", POSITIVE),
    "rsqrt": row(lambda x: x**-0.5, "rsqrt", POSITIVE),
    "sin": row(math.sin, "sin"),
    "cos": row(math.cos, "cos"),
    "tan": row(math.tan, "tan", SMALL),
    "asin": row(math.asin, "asin", SMALL),
    "acos": row(math.acos, "acos", SMALL),
    "atan": row(math.atan, "atan"),
    "sinh": row(math.sinh, "sinh"),
    "cosh": row(math.cosh, "cosh"),
    "tanh": row(math.tanh, "tanh"),
    "asinh": row(math.asinh, "asinh"),
    "acosh": row(math.acosh, "acosh", ABOVE_1),
    "atanh": row(math.atanh, "atanh", SMALL),
    "erf": row(math.erf, "erf", X, some(20, 3, low=-6, high=6)),
    "erfc": row(math.erfc, "erfc", X, some(20, 3, low=-6, high=6)),
    "erfinv": row(lambda x: NormalDist().inv_cdf((x + 1) / 2) / math.sqrt(2), "erfinv", SMALL),
    "floor": row(lambda x: float(math.floor(x)), "floor"),
    "ceil": row(lambda x: float(math.ceil(x)), "ceil"),
    "trunc": row(lambda x: float(math.trunc(x)), "trunc"),
    "frac": row(lambda x: x - math.trunc(x), "frac"),
    "isnan": row(math.isnan, "isnan", ODD),
    "isinf": row(math.isinf, "isinf", ODD),
    "isfinite": row(math.isfinite, "isfinite", ODD),
    "sigmoid": row(lambda x: 1 / (1 + math.exp(-x)), "sigmoid"),
    "clone": row(float, "clone"),
    "contiguous": [case(X.T, reference=each(float), torch=lambda t, x: x.contiguous())],
    "round": [
        case(X, reference=each(lambda x: float(round(x))), torch=lambda t, x: t.round(x)),
        case(
            np.array([0.5, 1.5, 2.5, -0.5]),
            smooth=False,
            reference=each(lambda x: float(round(x))),
            torch=lambda t, x: t.round(x),
        ),
        case(X, decimals=1, reference=each(lambda x: round(x, 1)), torch=lambda t, x: t.round(x, decimals=1)),
    ],
    "cast": [
        case(X, dtype=float64, reference=each(float), torch=lambda t, x: x.to(t.float64)),
        case(X, dtype=int64, reference=each(int), torch=lambda t, x: x.to(t.int64)),
        case(X, dtype=float32, smooth=False, reference=lambda x: np.float32(x), torch=lambda t, x: x.to(t.float32)),
    ],
    "nan_to_num": [
        case(X, reference=each(float), torch=lambda t, x: t.nan_to_num(x)),
        case(
            ODD,
            nan=2.0,
            posinf=3.0,
            neginf=-3.0,
            smooth=False,
            reference=lambda x: np.array([0, -0.0, 3, -3, 2, 1]),
            torch=lambda t, x: t.nan_to_num(x, 2.0, 3.0, -3.0),
        ),
    ],
}
