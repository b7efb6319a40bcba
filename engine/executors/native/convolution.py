"""Convolutions and products of matrices: how a step may be cut into units, and by which algorithm."""

from __future__ import annotations

import ctypes
from functools import partial

import numpy as np

from ...dtype import Array
from ...graph.memory import aligned
from ...graph.plan import Step
from ...sharing import LARGE
from . import winograd
from .copies import copy_of
from .images import Images
from .packing import pack, panel_widths, panels
from .structures import Convolution, Depthwise, Kind, Tap
from .work import (
    L2_BYTES,
    Candidates,
    Maker,
    Shop,
    Unsupported,
    Work,
    address,
    array,
    constant,
    finish_of,
    optional,
)

MAX_TAPS = 64  # as in convolution.h
PANEL_BYTES = 400_000  # of a panel's weights that are used again and again while they stay near
FEW_CHANNELS = 8  # so few that a row of the filter is read as one tap
DEEPEST = 512  # floats read at a tap of a product


def conv_candidates(step: Step, shop: Shop) -> Candidates:
    """A convolution over NHWC images."""
    weight = constant(step, 1)
    groups, channels = step.attributes["groups"], weight.shape[2]
    if groups > 1 and channels == 1 and weight.shape[3] == groups and optional(step, 4) is None:
        return {"depthwise": partial(_depthwise, step, shop)}
    found: dict[str, Maker] = {name: partial(_direct, step, shop, *cut) for name, cut in _cuts(step, shop).items()}
    if winograd.fits(step) and not shop.exact:
        found |= winograd.candidates(step, shop)
    return found


def gemm_candidates(step: Step, shop: Shop) -> Candidates:
    """A product with constant weights."""
    constant(step, 1)
    return {name: partial(_product, step, shop, *cut) for name, cut in _cuts(step, shop).items()}


def _cuts(step: Step, shop: Shop) -> dict[str, tuple[int, int, int]]:
    """Ways to cut the work: (widest panel, pixels a unit takes, panels it takes; 0 is all).

    Large weights are packed in panels of one width, which the programs for all batches share.
    """
    pixels, large = step.output.size // step.output.shape[-1], constant(step, 1).nbytes >= LARGE
    widest = max(1, shop.library.max_vectors - 1) if large else shop.widest(pixels)
    if pixels == 1:
        return {"stream": (widest, 1, 1)}
    low = optional(step, 4) if step.op == "conv_nhwc" else None
    per_thread = -(-pixels // shop.threads)
    row_bytes = 4 * array(step, 1).shape[-2] * (9 if step.op == "conv_nhwc" and array(step, 1).shape[0] > 1 else 1)
    near = max(28, min(per_thread, L2_BYTES // 4 // row_bytes // 28 * 28))
    cuts = {
        f"direct rows {near}": (widest, near, 0),
        f"direct rows {min(near, 56)}": (widest, min(near, 56), 0),
    }
    if low is not None:
        cuts[f"direct rows {min(per_thread, 224)}"] = (widest, min(per_thread, 224), 0)
    else:
        cuts["direct panels"] = (widest, pixels, 1)
        if not large:
            cuts["direct narrow panels"] = (2, pixels, 1)
        cuts["direct halves"] = (widest, max(28, -(-pixels // 2)), 1)
    return cuts if shop.threads > 1 or low is not None else {k: v for k, v in cuts.items() if k != "direct halves"}


def _product(step: Step, shop: Shop, widest: int, pixels: int, at_once: int) -> list[Work]:
    weight = constant(step, 1)
    return [_convolution(step, shop, Images(step), weight[None, None], (widest, pixels, at_once))]


def _direct(step: Step, shop: Shop, widest: int, pixels: int, at_once: int) -> list[Work]:
    weight, images = constant(step, 1), Images(step)
    if images.shape[3] <= FEW_CHANNELS and images.groups == 1 and weight.shape[1] > 1 and images.dilation[1] == 1:
        return _few_channels(step, shop, images, weight, (widest, pixels, at_once))
    return [_convolution(step, shop, images, weight, (widest, pixels, at_once))]


def _few_channels(step: Step, shop: Shop, images: Images, weight: Array, cut: tuple[int, int, int]) -> list[Work]:
    """Copy the images into a frame of zeros, in which a row of the filter is one run of floats."""
    (n, h, w, c), (top, left, bottom, right) = images.shape, images.padding
    frame = aligned((n, h + top + bottom, w + left + right, c))
    frame.fill(0)
    into = frame[:, top : top + h, left : left + w].transpose(1, 0, 2, 3)
    copy = copy_of(images.x.transpose(1, 0, 2, 3), into)
    images.x, images.ld_x, images.shape, images.padding = frame, c, frame.shape, (0, 0, 0, 0)
    kh, kw, _, out = weight.shape
    merged = weight.reshape(kh, 1, kw * c, out)
    work = _convolution(step, shop, images, merged, cut, wide=kw)
    return [copy, work]


def _convolution(
    step: Step, shop: Shop, images: Images, weight: Array, cut: tuple[int, int, int], wide: int = 1
) -> Work:
    """One step by the direct algorithm; `wide` is how many pixels one tap reads."""
    kh, kw, depth, total = weight.shape
    groups, outputs = images.groups, total // images.groups
    widths = panel_widths(outputs, shop.lanes, min(cut[0], shop.library.max_vectors))
    packed = shop.packed.get(
        constant(step, 1), ("direct", tuple(widths), shop.lanes),
        lambda: pack(_by_group(weight, groups), widths, shop.lanes),
    )  # fmt: skip
    chunks = _chunks(depth, kh * kw)
    taps = _taps(kh, kw, chunks, depth // chunks, images)
    bias = shop.packed.get(constant(step, 2), ("bias", groups, shop.lanes), lambda: _bias(step, shop, groups))
    low, high, unbounded = _bounds(step, shop)
    zeros = aligned((depth // chunks,))
    zeros.fill(0)
    pixels = images.out[0] * images.out[1] * images.out[2]
    block, at_once = min(cut[1], pixels), cut[2] or len(widths)
    structures = panels(widths, shop.lanes)
    flat = kh == kw == wide == 1 and images.stride == (1, 1) and not any(images.padding)
    if low is not None and (not flat or groups > 1):
        raise Unsupported
    arguments = Convolution(
        **images.common(), weights=address(packed), bias=address(bias), low=address(low), high=address(high),
        zeros=address(zeros), taps=ctypes.addressof(taps), panels=ctypes.addressof(structures),
        group_weights=packed.size // groups, stride_y=images.stride[0], stride_x=images.stride[1],
        channels=images.shape[3] // groups, out_channels=outputs, groups=groups, tap_count=len(taps),
        depth=depth // chunks, panel_count=len(widths), block_pixels=block, block_panels=at_once, flat=int(flat),
        block_taps=1 if low is not None else _block_taps(len(taps), depth // chunks, max(widths) * shop.lanes),
        finish=finish_of(step.attributes["activation"]),
    )  # fmt: skip
    units = groups * -(-pixels // block) * -(-len(widths) // at_once)
    scratch = block * arguments.block_taps * arguments.depth if low is not None else 0
    kept = (packed, taps, bias, low, high, unbounded, zeros, structures, images.x, images.y, images.residual)
    return Work(Kind.CONVOLUTION, arguments, units, scratch, kept, (packed,))


def _by_group(weight: Array, groups: int) -> Array:
    """(kh, kw, C, G * O) to (G, kh * kw * C, O)."""
    total = weight.shape[3]
    return weight.reshape(-1, groups, total // groups).transpose(1, 0, 2)


def _bias(step: Step, shop: Shop, groups: int) -> Array:
    values = constant(step, 2).reshape(groups, -1)
    out = aligned((groups, shop.padded(values.shape[1])))
    out.fill(0)
    out[:, : values.shape[1]] = values
    return out


def _bounds(step: Step, shop: Shop) -> tuple[Array | None, Array | None, Array | None]:
    """The lower and upper bounds of the input, infinite where only one of them is given."""
    if step.op == "gemm" or len(step.inputs) < 6:
        return None, None, None
    low, high = optional(step, 4), optional(step, 5)
    if low is None and high is None:
        return None, None, None
    channels = array(step, 0).shape[-1]
    none = np.full(channels, -np.inf if low is None else np.inf, np.float32)
    return (none if low is None else low), (none if high is None else high), none


def _chunks(depth: int, taps: int) -> int:
    """Parts of even size that a tap's channels are cut into, so that blocks of taps are of a good size."""
    wanted = -(-depth // DEEPEST)
    return next((n for n in range(wanted, 4 * wanted + 1) if depth % n == 0), 1)


def _taps(kh: int, kw: int, chunks: int, depth: int, images: Images) -> ctypes.Array[Tap]:
    dy, dx = images.dilation
    width, ld = images.shape[2], images.ld_x
    found = [
        Tap(i * dy, k * dx, (i * dy * width + k * dx) * ld + part * depth)
        for i in range(kh) for k in range(kw) for part in range(chunks)
    ]  # fmt: skip
    return (Tap * len(found))(*found)


def _block_taps(taps: int, depth: int, width: int) -> int:
    return max(1, min(taps, MAX_TAPS, PANEL_BYTES // (4 * depth * width)))


def _depthwise(step: Step, shop: Shop) -> list[Work]:
    weight, images = constant(step, 1), Images(step)
    kh, kw, _, channels = weight.shape
    padded = shop.padded(channels)

    def make() -> Array:
        out = aligned((kh * kw, padded))
        out.fill(0)
        out[:, :channels] = weight.reshape(kh * kw, channels)
        return out

    packed = shop.packed.get(weight, ("depthwise", shop.lanes), make)
    bias, taps = shop.vector(constant(step, 2)), _taps(kh, kw, 1, 1, images)
    zeros = aligned((padded,))
    zeros.fill(0)
    arguments = Depthwise(
        **images.common(), weights=address(packed), bias=address(bias), zeros=address(zeros),
        taps=ctypes.addressof(taps), ld_weights=padded, stride_y=images.stride[0], stride_x=images.stride[1],
        channels=channels, tap_count=kh * kw, finish=finish_of(step.attributes["activation"]),
    )  # fmt: skip
    kept = (packed, bias, taps, zeros, images.x, images.y, images.residual)
    return [Work(Kind.DEPTHWISE, arguments, images.out[0] * images.out[1], 0, kept)]
