"""Steps over rows: layer norm, softmax, and an affine map by channel."""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from ...graph.plan import Step
from .activation import finish, number, on_rows
from .workshop import Bench, Call, Candidates, Workshop, rows_of

BLOCK = 65_536  # elements


def _cut(shop: Workshop, rows: int, width: int) -> list[slice]:
    """The blocks of rows that all threads' shares are made of."""
    step = max(1, BLOCK // max(1, width))
    parts = shop.shares(rows, rows * width)
    return [slice(s, min(s + step, b)) for _, a, b in parts for s in range(a, b, step)]


def layer_norm(step: Step, shop: Workshop) -> Candidates:
    """x at mean 0 and variance 1 over the last dims; means and variances are products."""
    x, weight, bias = step.inputs
    assert isinstance(x, np.ndarray)
    width = math.prod(x.shape[x.ndim - step.attributes["dims"] :])
    source, into = (rows_of(a).reshape(-1, width) for a in (x, step.output))
    scale, shift = (p.reshape(width) if isinstance(p, np.ndarray) else None for p in (weight, bias))
    eps, share = np.float32(step.attributes["eps"]), np.full((width, 1), 1 / width, np.float32)

    def block(bench: Bench, rows: slice) -> list[Call]:
        part, out = source[rows], into[rows]
        squares, edge = bench.take(*part.shape), bench.take(len(part), 1)
        calls: list[Call] = [
            partial(np.matmul, part, share, edge),
            partial(np.subtract, part, edge, out),
            partial(np.multiply, out, out, squares),
            partial(np.matmul, squares, share, edge),
            partial(np.add, edge, eps, edge),
            partial(np.sqrt, edge, edge),
            partial(np.divide, out, edge, out),
        ]
        for function, row in ((np.multiply, scale), (np.add, shift)):
            if row is not None:
                calls += on_rows(function, out, row, bench)
        return calls

    return {"products": lambda: shop.each(_cut(shop, len(source), width), block)}


def rms_norm(step: Step, shop: Workshop) -> Candidates:
    """x over the root of its mean square over the last dims."""
    x, weight = step.inputs
    assert isinstance(x, np.ndarray)
    width = math.prod(x.shape[x.ndim - step.attributes["dims"] :])
    source, into = (rows_of(a).reshape(-1, width) for a in (x, step.output))
    scale = weight.reshape(width) if isinstance(weight, np.ndarray) else None
    eps, share = step.attributes["eps"], np.full((width, 1), 1 / width, np.float32)
    eps = number(float(np.finfo(np.float32).eps) if eps is None else eps)

    def block(bench: Bench, rows: slice) -> list[Call]:
        part, out = source[rows], into[rows]
        edge = bench.take(len(part), 1)
        calls: list[Call] = [
            partial(np.multiply, part, part, out),
            partial(np.matmul, out, share, edge),
            partial(np.add, edge, eps, edge),
            partial(np.sqrt, edge, edge),
            partial(np.divide, part, edge, out),
        ]
        return calls + ([] if scale is None else on_rows(np.multiply, out, scale, bench))

    return {"products": lambda: shop.each(_cut(shop, len(source), width), block)}


def group_norm(step: Step, shop: Workshop) -> Candidates:
    """x (N, C, …) at mean 0 and variance 1 over groups of channels: a copy, whose rows are normalised."""
    x, weight, bias = step.inputs
    assert isinstance(x, np.ndarray)
    (images, channels), groups = x.shape[:2], step.attributes["groups"]
    eps, width = number(step.attributes["eps"]), x[0].size // groups
    share = np.full((width, 1), 1 / width, np.float32)

    def block(bench: Bench, some: slice) -> list[Call]:
        part, out = x[some], step.output[some]
        copy, squares = bench.take(*part.shape), bench.take(len(part) * groups, width)
        rows, by_channel = copy.reshape(-1, width), copy.reshape(len(part), channels, -1)
        edge = bench.take(len(rows), 1)
        calls: list[Call] = [
            partial(np.copyto, copy, part),
            partial(np.matmul, rows, share, edge),
            partial(np.subtract, rows, edge, rows),
            partial(np.multiply, rows, rows, squares),
            partial(np.matmul, squares, share, edge),
            partial(np.add, edge, eps, edge),
            partial(np.sqrt, edge, edge),
            partial(np.divide, rows, edge, rows),
        ]
        for function, values in ((np.multiply, weight), (np.add, bias)):
            if isinstance(values, np.ndarray):
                calls.append(partial(function, by_channel, values[:, None], by_channel))
        return [*calls, partial(np.copyto, out, copy)]

    return {"products": lambda: shop.each([slice(n, n + 1) for n in range(images)], block)}


def softmax(step: Step, shop: Workshop) -> Candidates:
    """exp(x) over its sum along a dim; `log_softmax` its logarithm."""
    x, out = step.inputs[0], step.output
    assert isinstance(x, np.ndarray)
    dim = step.attributes["dim"]
    source, into = np.moveaxis(x, dim, -1), np.moveaxis(out, dim, -1)
    if source.flags.c_contiguous and into.flags.c_contiguous:
        source, into = rows_of(source), rows_of(into)
    width = source[:1].size if source.ndim > 1 else 1
    logarithm = step.op == "log_softmax"

    def block(bench: Bench, rows: slice) -> list[Call]:
        part, target = source[rows], into[rows]
        edge = bench.take(*part.shape[:-1], 1)
        calls: list[Call] = [partial(np.copyto, target, part)]
        if not logarithm:
            return [
                *calls,
                partial(np.maximum.reduce, target, -1, None, edge, True),
                partial(np.subtract, target, edge, target),
                partial(np.exp, target, target),
                partial(np.add.reduce, target, -1, None, edge, True),
                partial(np.divide, target, edge, target),
            ]
        raised = bench.take(*part.shape)
        return [
            partial(np.maximum.reduce, part, -1, None, edge, True),
            partial(np.subtract, part, edge, target),
            partial(np.exp, target, raised),
            partial(np.add.reduce, raised, -1, None, edge, True),
            partial(np.log, edge, edge),
            partial(np.subtract, target, edge, target),
        ]

    if source.ndim == 1:
        source, into = source[None], into[None]
    return {"rows": lambda: shop.each(_cut(shop, len(source), width), block)}


def affine(step: Step, shop: Workshop) -> Candidates:
    """x · scale + shift by channel, then the activation."""
    x, scale, shift = step.inputs
    assert isinstance(x, np.ndarray) and isinstance(scale, np.ndarray) and isinstance(shift, np.ndarray)
    source, into = rows_of(x), rows_of(step.output)

    def block(bench: Bench, rows: slice) -> list[Call]:
        calls: list[Call] = [partial(np.multiply, source[rows], scale, into[rows])]
        return calls + finish(into[rows], shift, None, step.attributes.get("activation", ""), bench)

    return {"rows": lambda: shop.each(_cut(shop, *source.shape), block)}
