"""Steps that move elements and change none: copies, joins, lookups, choices."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.lib.stride_tricks import as_strided

from ...dtype import Array
from ...errors import OutOfRangeError
from ...graph.plan import Step
from .workshop import Call, Candidates, Workshop


def can_move(step: Step) -> bool:
    """Whether a step of MOVES can be done by copies between views."""
    if step.op in ("where", "masked_fill"):
        return _mask_of(step).dtype == np.bool_ and _of_one_dtype(step)
    if step.op == "pad":
        constant = step.attributes.get("mode", "constant") == "constant"
        return constant and all(width >= 0 for widths in step.attributes["widths"] for width in widths)
    if step.op == "reshape":
        x = step.inputs[0]
        return step.output.flags.c_contiguous or (isinstance(x, np.ndarray) and x.flags.c_contiguous)
    return step.op != "stack" or _of_one_dtype(step)


def _mask_of(step: Step) -> Array:
    return np.asarray(step.inputs[0] if step.op == "where" else step.inputs[1])


def _of_one_dtype(step: Step) -> bool:
    """Whether all that is moved has the dtype of the output already."""
    mask = _mask_of(step) if step.op != "stack" else None
    return all(i.dtype == step.output.dtype for i in step.inputs if isinstance(i, np.ndarray) and i is not mask)


def join(step: Step, shop: Workshop) -> Candidates:
    """cat and stack: the parts that are not in place already, each copied to where it belongs."""
    out, calls = step.output, list[Call]()
    dim, start = step.attributes.get("dim", 0) % out.ndim, 0
    for part in step.inputs:
        assert isinstance(part, np.ndarray)
        if step.op == "stack":
            part = np.expand_dims(part, dim)
        if part.shape == (0,):
            continue
        target = out[(slice(None),) * dim + (slice(start, start + part.shape[dim]),)]
        start += part.shape[dim]
        if not _same(part, target):
            calls.append(partial(np.copyto, target, part))
    return {"copies": lambda: [calls]}


def _same(a: Array, b: Array) -> bool:
    return (a.ctypes.data, a.strides, a.shape) == (b.ctypes.data, b.strides, b.shape)


def copied(step: Step, shop: Workshop) -> Candidates:
    """Views that could not stay views, such as reshape, permute, getitem, expand, flip; and copies as such."""
    x, out = step.inputs[0], step.output
    assert isinstance(x, np.ndarray)
    target, source = _shown(step, x, out)
    return {"copy": lambda: [[partial(np.copyto, target, source, casting="unsafe")]]}


def _shown(step: Step, x: Array, out: Array) -> tuple[Array, Array]:
    """Views of the output and the input in which the same element has the same place."""
    a = step.attributes
    if step.op == "reshape":
        return (out.reshape(x.shape), x) if out.flags.c_contiguous else (out, x.reshape(out.shape))
    if step.op == "permute":
        return out, x.transpose(a["dims"])
    if step.op == "getitem":
        return out, np.asarray(x[(*a["index"], ...)])
    if step.op == "flip":
        return out, np.flip(x, a["dims"])
    if step.op in ("pixel_shuffle", "pixel_unshuffle"):
        small, large = (x, out) if step.op == "pixel_shuffle" else (out, x)
        apart = _shuffled(small, large, a["factor"])
        return apart if step.op == "pixel_unshuffle" else apart[::-1]
    return out, np.broadcast_to(x, out.shape)


def _shuffled(small: Array, large: Array, factor: int) -> tuple[Array, Array]:
    """(…, C · f², H, W) and (…, C, H · f, W · f), both as (…, C, f, f, H, W)."""
    *batch, channels, height, width = large.shape
    *outer, c, h, w = small.strides
    apart = as_strided(
        small, (*batch, channels, factor, factor, height // factor, width // factor),
        (*outer, c * factor**2, c * factor, c, h, w),
    )  # fmt: skip
    *outer, c, h, w = large.strides
    return apart, as_strided(large, apart.shape, (*outer, c, h, w, h * factor, w * factor))


def padded(step: Step, shop: Workshop) -> Candidates:
    """pad with a value: the value everywhere, then the input in its place."""
    x, out = step.inputs[0], step.output
    assert isinstance(x, np.ndarray)
    inside = out[tuple(slice(a, a + size) for (a, _), size in zip(step.attributes["widths"], x.shape, strict=True))]
    value = np.array(step.attributes.get("value", 0), out.dtype)
    return {"copies": lambda: [[partial(np.copyto, out, value), partial(np.copyto, inside, x)]]}


def chosen(step: Step, shop: Workshop) -> Candidates:
    """where and masked_fill: one operand, then the other where the mask holds."""
    mask, held, other = step.inputs if step.op == "where" else (step.inputs[1], step.inputs[2], step.inputs[0])
    out = step.output
    values = [np.asarray(i, out.dtype) for i in (other, held)]
    calls: list[Call] = [partial(np.copyto, out, values[0]), partial(np.copyto, out, values[1], where=mask)]
    return {"copies": lambda: [calls]}


def embedding(step: Step, shop: Workshop) -> Candidates:
    """Rows of a table; positions are checked before any is used."""
    table, index = step.inputs
    assert isinstance(table, np.ndarray) and isinstance(index, np.ndarray)
    out = step.output

    def look_up() -> None:
        low, high = index.min(), index.max()
        if low < 0 or high >= len(table):
            wrong = low if low < 0 else high
            raise OutOfRangeError(f"embedding: index {wrong} is out of bounds for a table of {len(table)} rows")
        np.take(table, index, 0, out, "clip")  # "raise" would go through a buffer

    return {"lookup": lambda: [[look_up]]}
