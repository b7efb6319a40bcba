"""Functions of single elements on arrays in place: activations, and the end of a convolution or product."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np

from ...dtype import Array
from .workshop import ZERO, Bench, Call

CHUNK = 16_384  # elements of a function in several passes that stay in the nearest cache
WIDE = 4_096  # elements of a line that NumPy's loops run through without stopping at every row


def number(value: float) -> Array:
    """A float32 as the array without dims that ufuncs take sooner than a number."""
    return np.array(value, np.float32)


HALF, ONE, THREE, SIX, INFINITY = map(number, (0.5, 1, 3, 6, math.inf))


def _relu(x: Array, out: Array, _bench: Bench) -> list[Call]:
    if x.size <= WIDE:
        return [partial(np.maximum, x, np.zeros(x.shape, np.float32), out=out)]
    return [partial(x.clip, ZERO, INFINITY, out)]  # np.maximum with a single number takes NumPy's slow loop


def _relu6(x: Array, out: Array, _bench: Bench) -> list[Call]:
    return [partial(x.clip, ZERO, SIX, out)]


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
        partial(out.clip, ZERO, SIX, out),
        partial(np.multiply, out, number(1 / 6), out),
    ]


def _hardswish(x: Array, out: Array, bench: Bench) -> list[Call]:
    gate = bench.take(*x.shape)
    return [*_hardsigmoid(x, gate, bench), partial(np.multiply, x, gate, out)]


def _tanh(x: Array, out: Array, _bench: Bench) -> list[Call]:
    return [partial(np.tanh, x, out)]


def _gelu(x: Array, out: Array, bench: Bench) -> list[Call]:
    """x times what the normal distribution has below x, which is (1 + tanh(x p(x²))) / 2 to 1e-7."""
    square, gate = bench.take(*x.shape), bench.take(*x.shape)
    calls: list[Call] = [partial(np.multiply, x, x, square), partial(np.multiply, square, number(_NORMAL[-1]), gate)]
    for coefficient in _NORMAL[-2:0:-1]:
        calls += [partial(np.add, gate, number(coefficient), gate), partial(np.multiply, gate, square, gate)]
    calls.append(partial(np.add, gate, number(_NORMAL[0]), gate))
    return [*calls, partial(np.multiply, gate, x, gate), *_gated(x, gate, out)]


# The coefficients of p, fitted for the least largest error of x (1 + tanh(x p(x²))) / 2 over |x| < 6. The last one is
# positive, so that infinity comes out as it should.
_NORMAL = (
    0.7978849414618308, 0.03633308456654072, -3.259496630636428e-05, -5.5306198073103264e-05, 3.964745304305871e-06,
    -1.3226341703211073e-07, 1.7561730875818639e-09,
)  # fmt: skip


def _erf(x: Array, out: Array, bench: Bench) -> list[Call]:
    """tanh(√2 x p(2 x²)), with the p of GELU."""
    wide, square, gate = bench.take(*x.shape), bench.take(*x.shape), bench.take(*x.shape)
    calls: list[Call] = [
        partial(np.multiply, x, number(math.sqrt(2)), wide),
        partial(np.multiply, wide, wide, square),
        partial(np.multiply, square, number(_NORMAL[-1]), gate),
    ]
    for coefficient in _NORMAL[-2:0:-1]:
        calls += [partial(np.add, gate, number(coefficient), gate), partial(np.multiply, gate, square, gate)]
    calls.append(partial(np.add, gate, number(_NORMAL[0]), gate))
    return [*calls, partial(np.multiply, gate, wide, gate), partial(np.tanh, gate, out)]


def _rsqrt(x: Array, out: Array, _bench: Bench) -> list[Call]:
    return [partial(np.sqrt, x, out), partial(np.reciprocal, out, out)]


def _gelu_tanh(x: Array, out: Array, bench: Bench) -> list[Call]:
    gate, root = bench.take(*x.shape), math.sqrt(2 / math.pi)
    return [
        partial(np.multiply, x, x, gate),
        partial(np.multiply, gate, number(0.044715 * root), gate),
        partial(np.add, gate, number(root), gate),
        partial(np.multiply, gate, x, gate),
        *_gated(x, gate, out),
    ]


def _gated(x: Array, gate: Array, out: Array) -> list[Call]:
    """x (1 + tanh(gate)) / 2."""
    return [
        partial(np.tanh, gate, gate),
        partial(np.multiply, gate, HALF, gate),
        partial(np.add, gate, HALF, gate),
        partial(np.multiply, gate, x, out),
    ]


def _leaky_relu(slope: float) -> Function:
    def calls(x: Array, out: Array, bench: Bench) -> list[Call]:
        scaled = bench.take(*x.shape)
        steep = np.maximum if slope <= 1 else np.minimum
        return [partial(np.multiply, x, number(slope), scaled), partial(steep, x, scaled, out=out)]

    return calls


def _clamp(low: float, high: float) -> Function:
    return lambda x, out, _bench: [partial(x.clip, number(low), number(high), out)]


def _elu(alpha: float) -> Function:
    def calls(x: Array, out: Array, bench: Bench) -> list[Call]:
        below = bench.take(*x.shape)
        return [
            partial(x.clip, -INFINITY, ZERO, below),
            partial(np.expm1, below, below),
            partial(np.multiply, below, number(alpha), below),
            partial(x.clip, ZERO, INFINITY, out),
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


def _softplus(beta: float, threshold: float) -> Function:
    """log(1 + exp(beta x)) / beta, which beyond the threshold is x to the last digit or nearly so."""

    def calls(x: Array, out: Array, bench: Bench) -> list[Call]:
        smooth = bench.take(*x.shape)
        return [
            partial(np.multiply, x, number(beta), smooth),
            partial(smooth.clip, -INFINITY, number(threshold), smooth),
            partial(np.exp, smooth, smooth),
            partial(np.log1p, smooth, smooth),
            partial(np.multiply, smooth, number(1 / beta), smooth),
            partial(np.maximum, smooth, x, out=out),  # beyond the threshold x is larger than what was kept below it
        ]

    return calls


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
    "rsqrt": _rsqrt,
    "erf": _erf,
}
WITH_NUMBERS: dict[str, Callable[..., Function]] = {
    "leaky_relu": _leaky_relu,
    "clamp": _clamp,
    "elu": _elu,
    "softplus": _softplus,
}
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


def finish(y: Array, bias: Array | None, residual: Array | None, activation: str, bench: Bench) -> list[Call]:
    """Calls that complete rows in place: + bias + residual, then the activation."""
    calls = [] if bias is None else on_rows(np.add, y, bias, bench)
    if residual is not None:
        calls.append(partial(np.add, y, residual, y))
    if activation:
        with bench.again():
            calls += activated(y, y, activation, bench)
    return calls


def on_rows(function: np.ufunc, y: Array, row: Array, bench: Bench) -> list[Call]:
    """Calls that add a row to every row in place, or the like: to many at once where they lie without gaps.

    Over rows that are short NumPy's loops take longer to begin than to run, and what they read goes through buffers.
    """
    rows, width = y.shape
    several = min(rows, CHUNK // max(1, width))
    if several < 2 or not y.flags.c_contiguous:
        return [partial(function, y, row, out=y)]
    whole, line = y.reshape(-1), bench.packed.get(row, ("line", several), lambda: np.tile(row, several))
    parts = [whole[start : start + line.size] for start in range(0, whole.size, line.size)]
    return [partial(function, part, line[: part.size], out=part) for part in parts]
