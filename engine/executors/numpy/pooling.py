"""Pools over NHWC images: maxima and sums along rows, then along columns; and means of whole images."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
from numpy.lib.stride_tricks import as_strided

from ...dtype import Array
from ...graph.plan import Step
from .convolution import padded
from .products import NEAR
from .workshop import Bench, Block, Call, Candidates, Workshop, blocks


def pool(step: Step, shop: Workshop) -> Candidates:
    """max_pool_nhwc and avg_pool_nhwc."""
    (x, *_), y = step.inputs, step.output
    assert isinstance(x, np.ndarray)
    images, height, width, channels = y.shape
    per_pixel = 4 * channels * math.prod(step.attributes["stride"])
    cut = blocks(images, height, width, max(width, NEAR // per_pixel), shop.threads)
    scale = _scale(step, x) if step.op == "avg_pool_nhwc" else None
    return {"rows and columns": partial(shop.each, cut, partial(_block, step, x, y, scale))}


def _block(step: Step, x: Array, y: Array, scale: Array | None, bench: Bench, block: Block) -> list[Call]:
    a = step.attributes
    images, lines = block
    (kh, kw), (sh, sw), (top, left) = a["kernel"], a["stride"], a["padding"][:2]
    dh, dw = a.get("dilation", (1, 1))
    function, nothing = (np.maximum, -math.inf) if step.op == "max_pool_nhwc" else (np.add, 0.0)
    into = y[images, lines]
    n, count, width, channels = into.shape
    first = lines.start * sh - top
    rows = first, first + (count - 1) * sh + (kh - 1) * dh + 1
    columns = -left, (width - 1) * sw + (kw - 1) * dw + 1 - left
    calls, strip = padded(x[images], rows, columns, bench, nothing)
    # Along y first, where whole lines are neighbours; and along x over lines of every sw-th pixel, put side by side.
    tall = bench.take(n, count, strip.shape[2], channels)
    calls += _folded(function, [strip[:, i * dh :][:, : (count - 1) * sh + 1 : sh] for i in range(kh)], tall)
    phases: dict[int, Array] = {}
    for phase in sorted({j * dw % sw for j in range(kw)}) if sw > 1 else ():
        every = tall[:, :, phase::sw]
        phases[phase] = bench.take(*every.shape)
        calls.append(partial(np.copyto, phases[phase], every))
    starts = (divmod(j * dw, sw) for j in range(kw))
    taps = [phases.get(phase, tall)[:, :, start : start + width] for start, phase in starts]
    calls += _folded(function, taps, into)
    if scale is not None:
        calls.append(partial(np.multiply, into, scale[lines], into))
    return calls


def _folded(function: np.ufunc, parts: list[Array], into: Array) -> list[Call]:
    """Calls that put function(…function(parts[0], parts[1])…) into an array."""
    if len(parts) == 1:
        return [partial(np.copyto, into, parts[0])]
    calls: list[Call] = [partial(function, parts[0], parts[1], out=into)]
    return calls + [partial(function, into, part, out=into) for part in parts[2:]]


def _scale(step: Step, x: Array) -> Array:
    """What the sum of each window is multiplied by, (rows, columns, 1)."""
    a, sizes, counts = step.attributes, x.shape[1:3], step.output.shape[1:3]
    if a.get("divisor"):
        return np.full((counts[0], 1, 1), 1 / a["divisor"], np.float32)
    top, left, bottom, right = a["padding"]
    along = []
    for size, count, kernel, stride, before, after in zip(
        sizes, counts, a["kernel"], a["stride"], (top, left), (bottom, right), strict=True
    ):
        start = np.arange(count) * stride - before
        stop = np.minimum(start + kernel, size + after)
        if not a.get("count_include_pad", False):
            start, stop = np.maximum(start, 0), np.minimum(stop, size)
        along.append(1 / (stop - start))
    return np.asarray(np.multiply.outer(*along)[:, :, None], np.float32)


def mean(step: Step, shop: Workshop) -> Candidates:
    """mean_nhwc: every image's pixels times one over their number, as a product."""
    x, y = step.inputs[0], step.output
    assert isinstance(x, np.ndarray)
    n, height, width, channels = x.shape
    weight = np.full((1, height * width), 1 / (height * width), np.float32)
    pixels = as_strided(x, (n, height * width, channels), (x.strides[0], x.strides[2], x.strides[3]), writeable=False)
    into = as_strided(y, (n, 1, channels), (y.strides[0], 0, y.strides[-1]))
    parts = shop.shares(n, x.size)
    return {"product": lambda: [[partial(np.matmul, weight, pixels[a:b], into[a:b])] for _, a, b in parts]}
