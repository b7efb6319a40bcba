"""Steps element by element: arithmetic, functions, bounds."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

from ...dtype import Array
from ...graph.plan import Step
from .activation import activated, function_of, number
from .workshop import Call, Candidates, Parts, Workshop

BINARY = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide, "maximum": np.maximum,
    "minimum": np.minimum, "pow": np.power,
}  # fmt: skip
UNARY = {
    "neg": np.negative, "abs": np.abs, "square": np.square, "reciprocal": np.reciprocal, "exp": np.exp,
    "expm1": np.expm1, "log": np.log, "log1p": np.log1p, "sqrt": np.sqrt, "sin": np.sin, "cos": np.cos,
    "tan": np.tan, "exp2": np.exp2, "log2": np.log2, "log10": np.log10, "sinh": np.sinh, "cosh": np.cosh,
    "floor": np.floor, "ceil": np.ceil, "trunc": np.trunc,
}  # fmt: skip


def is_plain(step: Step) -> bool:
    """Whether all is float32, but for masks, so that NumPy's rules and the engine's agree."""
    inputs = step.inputs[:3] if step.op == "scaled_dot_product_attention" else step.inputs
    arrays = [a for a in (*inputs, *step.outputs) if isinstance(a, np.ndarray)]
    numbers = [i for i in step.inputs if not isinstance(i, np.ndarray)]
    return all(a.dtype == np.float32 for a in arrays) and not any(isinstance(n, complex) for n in numbers)


def binary(step: Step, shop: Workshop) -> Candidates:
    """a op b, then the activation that was fused to it."""
    function = BINARY[step.op.removesuffix("_act")]
    a, b = (np.float32(i) if not isinstance(i, np.ndarray) else i for i in step.inputs)  # type: ignore[arg-type]
    activation = step.attributes.get("activation", "")

    def parts() -> Parts:
        made: Parts = []
        for bench, start, stop, dim in _shares(step.output, shop):
            out = _part(step.output, step.output.ndim, dim, start, stop)
            one, other = (_part(x, out.ndim, dim, start, stop) for x in (a, b))
            calls: list[Call] = [partial(function, one, other, out=out)]
            made.append(calls + (activated(out, out, activation, bench) if activation else []))
        return made

    return {"in place": parts}


def unary(step: Step, shop: Workshop) -> Candidates:
    """A function of each element."""
    x, name = step.inputs[0], activation_of(step)
    assert isinstance(x, np.ndarray)

    def parts() -> Parts:
        made: Parts = []
        for bench, start, stop, dim in _shares(step.output, shop):
            source, out = (_part(a, a.ndim, dim, start, stop) for a in (x, step.output))
            function = UNARY.get(step.op)
            made.append([partial(function, source, out)] if function else activated(source, out, name, bench))
        return made

    return {"in place": parts}


def activation_of(step: Step) -> str:
    """The name under which an activation's primitive is known as the end of another step."""
    if step.op == "leaky_relu":
        return f"leaky_relu:{step.attributes.get('negative_slope', 0.01)}"
    if step.op == "elu" and step.attributes.get("scale", 1) == step.attributes.get("input_scale", 1) == 1:
        return f"elu:{step.attributes.get('alpha', 1.0)}"
    if step.op == "softplus":
        return "softplus:{}:{}".format(*(step.attributes.get(n, d) for n, d in (("beta", 1.0), ("threshold", 20.0))))
    if step.op == "gelu" and step.attributes.get("approximate", "none") == "tanh":
        return "gelu_tanh"
    return step.op


def is_unary(step: Step) -> bool:
    """Whether a step is a function that is known here."""
    return step.op in UNARY or function_of(activation_of(step)) is not None


def _shares(out: Array, shop: Workshop) -> list[tuple[Any, int, int, int]]:
    """The threads' shares along the longest dim but the last: (bench, start, stop, dim)."""
    if not out.ndim:
        return [(shop.benches[0], 0, 1, -1)]
    dim = max(range(max(1, out.ndim - 1)), key=lambda d: out.shape[d])
    return [(bench, a, b, dim) for bench, a, b in shop.shares(out.shape[dim], out.size)]


def _part(x: Any, ndim: int, dim: int, start: int, stop: int) -> Any:
    """What belongs to a share of the output, for an operand that may be stretched to it."""
    if dim < 0 or not isinstance(x, np.ndarray):
        return x
    own = dim - (ndim - x.ndim)
    return x if own < 0 or x.shape[own] == 1 else x[(slice(None),) * own + (slice(start, stop),)]


def clamp(step: Step, shop: Workshop) -> Candidates:
    """Between two bounds."""
    x, out = step.inputs[0], step.output
    assert isinstance(x, np.ndarray)
    low, high = (step.attributes.get(name) for name in ("min", "max"))
    low, high = number(-math.inf if low is None else low), number(math.inf if high is None else high)
    return {"in place": lambda: [[partial(x.clip, low, high, out)]]}
