"""Fourier transforms, as products with the matrices of sines and cosines."""

from __future__ import annotations

import numpy as np

from ...errors import FormatError
from ..calls import Call
from ..elements import ELEMENTS
from ..items import Item
from .shaping import padded
from .table import operator


def _turns(count: int, kept: int, inverse: bool) -> tuple[np.ndarray, np.ndarray]:
    """The cosines and sines of a transform of `count` points, for its first `kept` results."""
    angle = 2 * np.pi * np.outer(np.arange(count), np.arange(kept)) / count
    sines = np.sin(angle) if inverse else -np.sin(angle)
    share = count if inverse else 1
    return np.cos(angle) / share, sines / share


def transformed(at: Call, x: Item, count: int, onesided: bool, inverse: bool) -> Item:
    """A transform along the last dim but one of x (…, n, 1 or 2), its last dim being real and imaginary part."""
    kind = x.element
    x = at.cast(x, ELEMENTS[11])  # sums of that many turns need the digits
    size = x.shape[-2]
    if size > count:
        x = at.part(x, -2, 0, count)
    elif size < count:
        x = padded(at, x, [*[(0, 0)] * (x.ndim - 2), (0, count - size), (0, 0)])
    if onesided and inverse:
        return at.cast(_back_to_real(at, x, count), kind)
    cosines, sines = _turns(count, count // 2 + 1 if onesided else count, inverse)
    real = at.pick(x, -1, 0)
    cos, sin = at.constant(cosines, x), at.constant(sines, x)
    parts = [at("matmul", real, cos), at("matmul", real, sin)]
    if x.shape[-1] == 2:
        imaginary = at.pick(x, -1, 1)
        parts = [
            at("sub", parts[0], at("matmul", imaginary, sin)),
            at("add", parts[1], at("matmul", imaginary, cos)),
        ]
    return at.cast(at("stack", *parts, dim=x.ndim - 1), kind)


def _back_to_real(at: Call, x: Item, count: int) -> Item:
    """The inverse of a transform of which one half is given, the other being its mirror."""
    kept = count // 2 + 1
    angle = 2 * np.pi * np.outer(np.arange(kept), np.arange(count)) / count
    weight = np.full((kept, 1), 2.0)
    weight[0] = 1
    if count % 2 == 0:
        weight[-1] = 1
    cos, sin = (at.constant(weight * f(angle) / count, x) for f in (np.cos, np.sin))
    half = at.part(x, -2, 0, kept)
    real = at("matmul", at.pick(half, -1, 0), cos)
    whole = at("sub", real, at("matmul", at.pick(half, -1, 1), sin)) if x.shape[-1] == 2 else real
    return at("reshape", whole, shape=(*whole.shape, 1))


@operator("DFT")
def dft(at: Call, x: Item, length: Item | None = None, axis: Item | None = None) -> Item:
    """The discrete Fourier transform along an axis."""
    default = -2 if at.version >= 20 else 1
    given = int(at.one(axis, "the axis")) if axis is not None else at.integer("axis", default)
    along = at.axis(given, x.ndim)
    if along == x.ndim - 1:
        raise FormatError("the last axis holds the real and imaginary parts")
    inverse, onesided = at.flag("inverse"), at.flag("onesided")
    size = x.shape[along]
    usual = 2 * (size - 1) if inverse and onesided else size
    count = usual if length is None else int(at.one(length, "the length"))
    order = [*(d for d in range(x.ndim - 1) if d != along), along, x.ndim - 1]
    moved = at("permute", x, dims=tuple(order))
    back = tuple(np.argsort(order).tolist())
    return at("permute", transformed(at, moved, count, onesided, inverse), dims=back)


@operator("STFT")
def stft(at: Call, signal: Item, step: Item, window: Item | None = None, length: Item | None = None) -> Item:
    """Transforms of frames that move along a signal."""
    hop = int(at.one(step, "the step"))
    count = int(at.one(length, "the length")) if length is not None else window.shape[0] if window is not None else None
    if count is None:
        raise FormatError("neither a window nor a frame's length is given")
    flat = signal if signal.ndim == 3 else at("reshape", signal, shape=(*signal.shape, 1))
    frames = at("window", flat, dim=1, size=count, step=hop)  # (batch, frames, parts, count)
    frames = at("permute", frames, dims=(0, 1, 3, 2))
    if window is not None:
        frames = at("mul", frames, at("reshape", window, shape=(count, 1)))
    return transformed(at, frames, count, at.flag("onesided", True), False)
