"""Elementwise work, softmax and layer norm, as work on rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ...dtype import Array
from ...graph.plan import Input, Step
from .structures import Activation, Binary, Finish, Kind, Rowwise
from .work import Candidates, Shop, Unsupported, Work, address, array, constant, finish_of, matrix, optional, share

UNIT_FLOATS = 4096  # the least that is worth a unit of its own


def _bound(value: float | None, none: float) -> float:
    return none if value is None else value


PLAIN = {
    "relu": Finish(Activation.CLAMP, 0, np.inf),
    "sigmoid": Finish(Activation.SIGMOID),
    "tanh": Finish(Activation.TANH),
    "silu": Finish(Activation.SILU),
    "hardswish": Finish(Activation.HARDSWISH),
    "hardsigmoid": Finish(Activation.HARDSIGMOID),
    "exp": Finish(Activation.EXP),
    "erf": Finish(Activation.ERF),
    "sqrt": Finish(Activation.SQRT),
    "rsqrt": Finish(Activation.RSQRT),
    "reciprocal": Finish(Activation.RECIPROCAL),
    "neg": Finish(Activation.NEGATE),
    "abs": Finish(Activation.ABSOLUTE),
    "square": Finish(Activation.SQUARE),
}
WITH_ATTRIBUTES: Mapping[str, Callable[[Mapping[str, Any]], Finish]] = {
    "leaky_relu": lambda a: Finish(Activation.LEAKY_RELU, a.get("negative_slope", 0.01)),
    "gelu": lambda a: Finish(Activation.GELU_TANH if a.get("approximate", "none") == "tanh" else Activation.GELU),
    "clamp": lambda a: Finish(Activation.CLAMP, _bound(a.get("min"), -np.inf), _bound(a.get("max"), np.inf)),
}
OPERATIONS = {
    "add": Binary.ADD,
    "add_act": Binary.ADD,
    "sub": Binary.SUBTRACT,
    "mul": Binary.MULTIPLY,
    "div": Binary.DIVIDE,
    "maximum": Binary.MAXIMUM,
    "minimum": Binary.MINIMUM,
}


def unary(step: Step, shop: Shop) -> Candidates:
    """One activation or function of each value."""
    finish = PLAIN[step.op] if step.op in PLAIN else WITH_ATTRIBUTES[step.op](step.attributes)
    x, y = _flattened(array(step, 0), step.output)
    rows, columns, ld_y = matrix(y)
    work = _rows(
        Kind.UNARY, shop, rows, columns, a=address(x), ld_a=matrix(x)[2], y=address(y), ld_y=ld_y, finish=finish
    )
    return {"direct": lambda: [_keeping(work, x, y)]}


def binary(step: Step, shop: Shop) -> Candidates:
    """Two values into one, each an array, a row for all, a value for each row, or a number."""
    finish = finish_of(step.attributes.get("activation", ""))
    a, b, y = _flattened(_as_array(step.inputs[0]), _as_array(step.inputs[1]), step.output)
    rows, columns, ld_y = matrix(y)
    (ld_a, step_a), (ld_b, step_b) = _steps(a, y), _steps(b, y)
    work = _rows(
        Kind.BINARY, shop, rows, columns, a=address(a), b=address(b), y=address(y), ld_a=ld_a, ld_b=ld_b, ld_y=ld_y,
        step_a=step_a, step_b=step_b, operation=OPERATIONS[step.op], finish=finish,
    )  # fmt: skip
    return {"direct": lambda: [_keeping(work, a, b, y)]}


def affine(step: Step, shop: Shop) -> Candidates:
    """x · scale + shift."""
    x, y = array(step, 0), step.output
    scale, shift = np.ascontiguousarray(constant(step, 1)), np.ascontiguousarray(constant(step, 2))
    rows, columns, ld_y = matrix(y)
    work = _rows(
        Kind.AFFINE, shop, rows, columns, a=address(x), b=address(scale), c=address(shift), y=address(y),
        ld_a=matrix(x)[2], ld_y=ld_y, finish=finish_of(step.attributes["activation"]),
    )  # fmt: skip
    return {"direct": lambda: [_keeping(work, x, y, scale, shift)]}


def softmax(step: Step, shop: Shop) -> Candidates:
    """Over the last dim."""
    x, y = array(step, 0), step.output
    if step.attributes["dim"] % x.ndim != x.ndim - 1:
        raise Unsupported
    rows, columns, ld_y = matrix(y)
    work = _rows(Kind.SOFTMAX, shop, rows, columns, a=address(x), y=address(y), ld_a=matrix(x)[2], ld_y=ld_y)
    return {"direct": lambda: [_keeping(work, x, y)]}


def layer_norm(step: Step, shop: Shop) -> Candidates:
    """Over the last dim, or over several that lie together."""
    x, y, weight, bias = array(step, 0), step.output, optional(step, 1), optional(step, 2)
    dims = step.attributes["dims"]
    if dims > 1:
        x, y = (_merged(part, dims) for part in (x, y))
    if not all(part is None or part.flags.c_contiguous for part in (weight, bias)):
        raise Unsupported
    rows, columns, ld_y = matrix(y)
    work = _rows(
        Kind.LAYER_NORM, shop, rows, columns, a=address(x), b=address(weight), c=address(bias), y=address(y),
        ld_a=matrix(x)[2], ld_y=ld_y, epsilon=step.attributes["eps"],
    )  # fmt: skip
    return {"direct": lambda: [_keeping(work, x, y, weight, bias)]}


def _as_array(value: Input) -> Array:
    if isinstance(value, np.ndarray):
        return value
    if value is None or isinstance(value, complex):
        raise Unsupported
    return np.full(1, value, np.float32)


def _flattened(*arrays: Array) -> tuple[Array, ...]:
    """Long rows instead of short ones where all arrays lie alike without gaps."""
    y = arrays[-1]
    if not all(x.flags.c_contiguous and (x.shape == y.shape or x.size == 1) for x in arrays):
        return arrays
    columns = next((n for n in range(min(UNIT_FLOATS, y.size), 63, -1) if y.size % n == 0), y.size)
    return tuple(x.reshape(1) if x.size == 1 and y.size > 1 else x.reshape(-1, columns) for x in arrays)


def _merged(x: Array, dims: int) -> Array:
    if not x.flags.c_contiguous:
        raise Unsupported
    return x.reshape(*x.shape[:-dims], -1)


def _steps(x: Array, y: Array) -> tuple[int, int]:
    """From one row of an operand to the next, and whether it has a value of its own for each column."""
    if x.size == 1:
        return 0, 0
    if x.shape == y.shape:
        return matrix(x)[2], 1
    if x.shape[-1] == y.shape[-1] == x.size and x.strides[-1] == 4:
        return 0, 1
    if x.shape == (*y.shape[:-1], 1) and x.flags.c_contiguous:
        return 1, 0
    raise Unsupported


def _rows(kind: Kind, shop: Shop, rows: int, columns: int, **fields: Any) -> Work:
    least = max(1, UNIT_FLOATS // columns)
    block = share(rows, shop.threads, least)
    return Work(kind, Rowwise(rows=rows, columns=columns, block_rows=block, **fields), -(-rows // block))


def _keeping(work: Work, *arrays: Array | None) -> Work:
    return Work(work.kind, work.arguments, work.units, work.scratch, arrays)
