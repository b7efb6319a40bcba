"""Functions of single elements on arrays in place: activations, and the end of a convolution or product."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np

from ...dtype import Array
from .workshop import ZERO, Bench, Call

CHUNK = 16_384  # elements of a function in several passes that stay in the nearest cache

_f = np.float32
HALF, ONE, THREE, SIX = map(_f, (0.5, 1, 3, 6))


def _relu(x: Array, out: Array, _bench: Bench) -> list[Call]:
    return [partial(np.maximum, x, ZERO, out=out)]


def _relu6(x: Array, out: Array, _bench: Bench) -> list[Call]:
    return [partial(np.maximum, x, ZERO, out=out), partial(np.minimum, out, SIX, out=out)]


def _sigmoid(x: Array, out: Array, _bench: Bench) -> list[Call]:
    return [
        partial(np.negative, x, out),
        partial(np.exp, out, out),
        partial(np.add, out, ONE, out),
        partial(np.reciprocal, out, out),
    ]


def _silu(x: Array, out: Array, bench: Bench) -> list[Call]:
    gate = bench.take(*x.shape)
    return [*_sigmoid(x, gate, bench), partial(np.multiply, x, gate, out)]


def _hardsigmoid(x: Array, out: Array, _bench: Bench) -> list[Call]:
    return [
        partial(np.add, x, THREE, out),
        partial(np.maximum, out, ZERO, out=out),
        partial(np.minimum, out, SIX, out=out),
        partial(np.multiply, out, _f(1 / 6), out),
    ]


def _hardswish(x: Array, out: Array, bench: Bench) -> list[Call]:
    gate = bench.take(*x.shape)
    return [*_hardsigmoid(x, gate, bench), partial(np.multiply, x, gate, out)]


def _tanh(x: Array, out: Array, _bench: Bench) -> list[Call]:
    return [partial(np.tanh, x, out)]


def _gelu(x: Array, out: Array, bench: Bench) -> list[Call]:
    """x times what the normal distribution has below x: 1/2, and 1/2 less its tail beyond |x| with x's sign."""
    share, power = bench.take(*x.shape), bench.take(*x.shape)
    calls: list[Call] = [
        partial(np.absolute, x, share),
        partial(np.multiply, share, _f(_TAIL / math.sqrt(2)), share),
        partial(np.add, share, ONE, share),
        partial(np.reciprocal, share, share),
        partial(np.multiply, share, _f(_TAILS[0] / 2), power),
    ]
    for coefficient in _TAILS[1:]:
        calls += [partial(np.add, power, _f(coefficient / 2), power), partial(np.multiply, power, share, power)]
    return [
        *calls,
        partial(np.multiply, x, x, share),
        partial(np.multiply, share, _f(-0.5), share),
        partial(np.exp, share, share),
        partial(np.multiply, power, share, power),
        partial(np.subtract, HALF, power, power),
        partial(np.copysign, power, x, power),
        partial(np.add, power, HALF, power),
        partial(np.multiply, power, x, out),
    ]


# erfc(z) = (a1 t + … + a5 t^5) exp(-z²), t = 1 / (1 + p z), to 1.5e-7. Source: Abramowitz and Stegun, 7.1.26.
_TAIL = 0.3275911
_TAILS = (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592)


def _gelu_tanh(x: Array, out: Array, bench: Bench) -> list[Call]:
    gate, root = bench.take(*x.shape), math.sqrt(2 / math.pi)
    return [
        partial(np.multiply, x, x, gate),
        partial(np.multiply, gate, _f(0.044715 * root), gate),
        partial(np.add, gate, _f(root), gate),
        partial(np.multiply, gate, x, gate),
        partial(np.tanh, gate, gate),
        partial(np.add, gate, ONE, gate),
        partial(np.multiply, gate, HALF, gate),
        partial(np.multiply, gate, x, out),
    ]


def _leaky_relu(slope: float) -> Function:
    def calls(x: Array, out: Array, bench: Bench) -> list[Call]:
        scaled = bench.take(*x.shape)
        steep = np.maximum if slope <= 1 else np.minimum
        return [partial(np.multiply, x, _f(slope), scaled), partial(steep, x, scaled, out=out)]

    return calls


def _clamp(low: float, high: float) -> Function:
    return lambda x, out, _bench: [
        partial(np.maximum, x, _f(low), out=out),
        partial(np.minimum, out, _f(high), out=out),
    ]


def _elu(alpha: float) -> Function:
    def calls(x: Array, out: Array, bench: Bench) -> list[Call]:
        below = bench.take(*x.shape)
        return [
            partial(np.minimum, x, ZERO, out=below),
            partial(np.expm1, below, below),
            partial(np.multiply, below, _f(alpha), below),
            partial(np.maximum, x, ZERO, out=out),
            partial(np.add, out, below, out),
        ]

    return calls


def _mish(x: Array, out: Array, bench: Bench) -> list[Call]:
    gate = bench.take(*x.shape)
    return [
        partial(np.logaddexp, x, ZERO, gate),
        partial(np.tanh, gate, gate),
        partial(np.multiply, x, gate, out),
    ]


Function = Callable[[Array, Array, Bench], list[Call]]
FUNCTIONS: dict[str, Function] = {
    "relu": _relu,
    "relu6": _relu6,
    "sigmoid": _sigmoid,
    "silu": _silu,
    "hardsigmoid": _hardsigmoid,
    "hardswish": _hardswish,
    "tanh": _tanh,
    "gelu": _gelu,
    "gelu_tanh": _gelu_tanh,
    "mish": _mish,
}
WITH_NUMBERS: dict[str, Callable[..., Function]] = {"leaky_relu": _leaky_relu, "clamp": _clamp, "elu": _elu}
FEW_PASSES = frozenset({"relu", "relu6", "clamp", "tanh"})


def function_of(activation: str) -> Function | None:
    """What computes an activation by its name, which may have numbers in it ("leaky_relu:0.1"); None if not known."""
    name, *numbers = activation.split(":")
    if name in WITH_NUMBERS:
        return WITH_NUMBERS[name](*map(float, numbers)) if numbers else None
    return FUNCTIONS.get(activation)


def activated(x: Array, out: Array, activation: str, bench: Bench) -> list[Call]:
    """Calls that put an activation of x into `out`, in chunks that stay in the cache."""
    function = function_of(activation)
    assert function is not None, f"no activation is called {activation!r}"
    if activation.partition(":")[0] in FEW_PASSES or x.size <= CHUNK or not x.ndim:
        return function(x, out, bench)
    rows = max(1, CHUNK // max(1, x[:1].size))
    calls: list[Call] = []
    for start in range(0, len(x), rows):
        with bench.again():
            calls += function(x[start : start + rows], out[start : start + rows], bench)
    return calls


def finish(
    y: Array, bias: Array | None, residual: Array | None, activation: str, bench: Bench, source: Array | None = None
) -> list[Call]:
    """Calls that complete y in place: + bias + residual, then the activation; `source` is y elsewhere, to be moved."""
    at = y if source is None else source
    calls: list[Call] = []
    for term in (bias, residual):
        if term is not None:
            calls.append(partial(np.add, at, term, y))
            at = y
    if activation:
        with bench.again():
            calls += activated(at, y, activation, bench)
    elif at is not y:
        calls.append(partial(np.copyto, y, at))
    return calls
