"""Copies: concatenations, and views that had to become arrays of their own."""

from __future__ import annotations

import ctypes

import numpy as np

from ...dtype import Array
from ...graph.plan import Step
from .structures import Copy, Kind
from .work import Candidates, Shop, Unsupported, Work, address, array


def join(step: Step, shop: Shop) -> Candidates:
    """The parts of a concatenation that are not in place yet."""
    dim = step.attributes.get("dim", 0) % step.output.ndim
    works, start = [], 0
    for index in range(len(step.inputs)):
        part = array(step, index)
        place = (slice(None),) * dim + (slice(start, start + part.shape[dim]),)
        start += part.shape[dim]
        if part.ctypes.data != step.output[place].ctypes.data:
            works.append(copy_of(part, step.output[place]))
    return {"copy": lambda: works}


def moved(step: Step, shop: Shop) -> Candidates:
    """A view that had to become a copy: permute, getitem, expand, clone, contiguous."""
    x, y = array(step, 0), step.output
    if step.op == "permute":
        x = x.transpose(step.attributes["dims"])
    elif step.op == "getitem":
        x = x[(*step.attributes["index"], ...)]
    elif step.op == "reshape":
        x, y = (x.reshape(y.shape), y) if x.flags.c_contiguous else (x, _as_shape(y, x.shape))
    if x.shape != y.shape:
        x = np.broadcast_to(x, y.shape)
    works = [copy_of(x, y)]
    return {"copy": lambda: works}


def _as_shape(x: Array, shape: tuple[int, ...]) -> Array:
    if not x.flags.c_contiguous:
        raise Unsupported
    return x.reshape(shape)


def copy_of(x: Array, y: Array) -> Work:
    """Copy between two views of one shape, of six dims at most; its units are the steps of the first dim."""
    if x.ndim > 6:
        raise Unsupported
    missing = 6 - x.ndim
    sizes = [1] * missing + list(x.shape)
    from_ = [0] * missing + [s // 4 for s in x.strides]
    to = [0] * missing + [s // 4 for s in y.strides]
    order = _leading(sizes)
    six = ctypes.c_int64 * 6
    arguments = Copy(
        x=address(x), y=address(y), sizes=six(*[sizes[i] for i in order]),
        x_strides=six(*[from_[i] for i in order]), y_strides=six(*[to[i] for i in order]),
    )  # fmt: skip
    return Work(Kind.COPY, arguments, sizes[order[0]], 0, (x, y))


def _leading(sizes: list[int]) -> list[int]:
    """The order of dims with the first one that can be divided among threads in front."""
    first = next((i for i, size in enumerate(sizes[:-1]) if size > 1), 0)
    return [first, *(i for i in range(6) if i != first)]
