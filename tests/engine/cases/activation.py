"""Activations."""

import math

import numpy as np

from .case import case, each, some

X = some(3, 5, low=-4.0, high=4.0)


def _logistic(x: float) -> float:
    return 1 / (1 + math.exp(-x))


ROWS = {
    "relu": [
        case(X, reference=each(lambda x: max(x, 0.0)), torch=lambda t, x: t.relu(x)),
        case(
            np.array([0.0, -1.0, 2.0]),
            smooth=False,
            reference=each(lambda x: max(x, 0.0)),
            torch=lambda t, x: t.relu(x),
        ),
    ],
    "leaky_relu": [
        case(X, reference=each(lambda x: x if x > 0 else 0.01 * x), torch=lambda t, x: t.nn.functional.leaky_relu(x)),
        case(
            X,
            negative_slope=0.3,
            reference=each(lambda x: x if x > 0 else 0.3 * x),
            torch=lambda t, x: t.nn.functional.leaky_relu(x, 0.3),
        ),
    ],
    "elu": [
        case(X, reference=each(lambda x: x if x > 0 else math.expm1(x)), torch=lambda t, x: t.nn.functional.elu(x)),
        case(
            X,
            alpha=0.5,
            input_scale=2.0,
            reference=each(lambda x: x if x > 0 else 0.5 * math.expm1(2 * x)),
            torch=lambda t, x: t.where(x > 0, x, 0.5 * t.expm1(2 * x)),
        ),
        case(X, alpha=1.6732632423543772, scale=1.0507009873554805, torch=lambda t, x: t.selu(x)),
    ],
    "gelu": [
        case(
            X,
            reference=each(lambda x: x * (1 + math.erf(x / math.sqrt(2))) / 2),
            torch=lambda t, x: t.nn.functional.gelu(x),
        ),
        case(
            X,
            approximate="tanh",
            reference=each(lambda x: x / 2 * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))),
            torch=lambda t, x: t.nn.functional.gelu(x, approximate="tanh"),
        ),
    ],
    "silu": [case(X, reference=each(lambda x: x * _logistic(x)), torch=lambda t, x: t.nn.functional.silu(x))],
    "softplus": [
        case(X, reference=each(lambda x: math.log1p(math.exp(x))), torch=lambda t, x: t.nn.functional.softplus(x)),
        case(
            X,
            beta=2.0,
            threshold=3.0,
            reference=each(lambda x: x if 2 * x > 3 else math.log1p(math.exp(2 * x)) / 2),
            torch=lambda t, x: t.nn.functional.softplus(x, 2.0, 3.0),
        ),
    ],
    "logsigmoid": [
        case(X, reference=each(lambda x: math.log(_logistic(x))), torch=lambda t, x: t.nn.functional.logsigmoid(x))
    ],
    "mish": [
        case(
            X,
            reference=each(lambda x: x * math.tanh(math.log1p(math.exp(x)))),
            torch=lambda t, x: t.nn.functional.mish(x),
        )
    ],
    "hardsigmoid": [
        case(
            X,
            reference=each(lambda x: min(max(x / 6 + 0.5, 0.0), 1.0)),
            torch=lambda t, x: t.nn.functional.hardsigmoid(x),
        )
    ],
    "hardswish": [
        case(
            X,
            reference=each(lambda x: x * min(max(x / 6 + 0.5, 0.0), 1.0)),
            torch=lambda t, x: t.nn.functional.hardswish(x),
        )
    ],
}
