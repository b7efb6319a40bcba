"""Convolutions and their transposes."""

from __future__ import annotations

import numpy as np

from ...errors import FormatError
from ..calls import Call
from ..elements import ELEMENTS
from ..items import Item
from .shaping import padded
from .table import operator
from .windows import area, geometry, halves


@operator("Conv")
def conv(at: Call, x: Item, weight: Item, bias: Item | None = None) -> Item:
    """Cross-correlation."""
    kernel = weight.shape[2:]
    if at.integers("kernel_shape", kernel) != kernel:
        raise FormatError(f"kernel_shape is {at.integers('kernel_shape')}, yet the weight is {weight.shape}")
    windows = geometry(at, x.shape[2:], kernel)
    return at(
        "conv", x, weight, bias,
        stride=windows.stride, padding=windows.padding, dilation=windows.dilation, groups=at.integer("group", 1),
    )  # fmt: skip


@operator("ConvTranspose")
def conv_transpose(at: Call, x: Item, weight: Item, bias: Item | None = None) -> Item:
    """The transpose of a convolution."""
    kernel, dims = weight.shape[2:], weight.ndim - 2
    stride, dilation = at.integers("strides", (1,) * dims), at.integers("dilations", (1,) * dims)
    extra = at.integers("output_padding", (0,) * dims)
    span = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    whole = [(n - 1) * s + w + e for n, s, w, e in zip(x.shape[2:], stride, span, extra, strict=True)]
    how, wanted = at.text("auto_pad", "NOTSET"), at.integers("output_shape", None)
    if wanted is not None:
        room = [halves(w - n, how) for w, n in zip(whole, wanted[-dims:], strict=True)]
    elif how.startswith("SAME"):
        room = [halves(w - n * s, how) for w, n, s in zip(whole, x.shape[2:], stride, strict=True)]
    else:
        pads = at.integers("pads", (0,) * 2 * dims) if how in ("NOTSET", "") else (0,) * 2 * dims
        room = list(zip(pads[:dims], pads[dims:], strict=True))
    inside = tuple((max(0, a), max(0, b)) for a, b in room)
    result = at(
        "conv_transpose", x, weight, bias, stride=stride, padding=inside, output_padding=extra, dilation=dilation,
        groups=at.integer("group", 1),
    )  # fmt: skip
    outside = [(0, 0), (0, 0), *((max(0, -a), max(0, -b)) for a, b in room)]
    return padded(at, result, outside)


@operator("ConvInteger")
def conv_integer(at: Call, x: Item, weight: Item, x_zero: Item | None = None, w_zero: Item | None = None) -> Item:
    """A convolution of whole numbers."""
    return at.cast(whole_conv(at, x, weight, x_zero, w_zero), ELEMENTS[6])


def whole_conv(at: Call, x: Item, weight: Item, x_zero: Item | None, w_zero: Item | None) -> Item:
    """A convolution of whole numbers less their zero points, in float64, which holds every sum exactly."""
    windows = geometry(at, x.shape[2:], weight.shape[2:])
    return at(
        "conv", centred(at, x, x_zero), centred(at, weight, w_zero, 0), None,
        stride=windows.stride, padding=windows.padding, dilation=windows.dilation, groups=at.integer("group", 1),
    )  # fmt: skip


def centred(at: Call, x: Item, zero: Item | None, axis: int | None = None) -> Item:
    """x less its zero point, one for all or one a slice of an axis, in float64."""
    wide = at.cast(x, ELEMENTS[11])
    if zero is None:
        return wide
    point = at.cast(zero, ELEMENTS[11])
    if axis is not None and point.ndim == 1 and point.shape[0] > 1:
        point = at("reshape", point, shape=tuple(-1 if d == axis else 1 for d in range(x.ndim)))
    return at("sub", wide, point)


@operator("CausalConvWithState")
def causal_conv_with_state(
    at: Call, x: Item, weight: Item, bias: Item | None = None, past: Item | None = None
) -> tuple[Item, Item]:
    """A depthwise convolution that looks back alone, with the end of what came before as its padding."""
    room = weight.shape[-1] - 1
    if past is None:
        whole = padded(at, x, [*[(0, 0)] * (x.ndim - 1), (room, 0)])
    else:
        whole = at("cat", past, x, dim=x.ndim - 1)
    dims = x.ndim - 2
    one, none = (1,) * dims, ((0, 0),) * dims
    result = at("conv", whole, weight, bias, stride=one, padding=none, dilation=one, groups=x.shape[1])
    activation = at.text("activation", "none").lower()
    if activation in ("silu", "swish"):
        result = at("silu", result)
    elif activation != "none":
        raise FormatError(f"activation {activation!r}; expected none, silu or swish")
    size = whole.shape[-1]
    return result, at.part(whole, -1, size - room, size)


@operator("DeformConv")
def deform_conv(
    at: Call, x: Item, weight: Item, offsets: Item, bias: Item | None = None, mask: Item | None = None
) -> Item:
    """A convolution that looks at moved places, each weighed by a mask; for images of two dims."""
    if x.ndim != 4:
        raise FormatError(f"DeformConv of {x.ndim - 2} dims; expected 2")
    windows = geometry(at, x.shape[2:], weight.shape[2:])
    counts = windows.counts(x.shape[2:], False)
    groups, shared = at.integer("group", 1), at.integer("offset_group", 1)
    points = area(windows)
    # In float64, so that places that fall on pixels do so exactly.
    wide = at.cast(offsets, ELEMENTS[11])
    moved = at("reshape", wide, shape=(x.shape[0], shared, points, 2, *counts))
    columns = []
    for place, point in enumerate(np.ndindex(*windows.kernel)):
        grid = []
        for d in range(2):
            start = np.arange(counts[d]) * windows.stride[d] - windows.padding[d][0] + point[d] * windows.dilation[d]
            shape = (1, 1, -1, 1) if d == 0 else (1, 1, 1, -1)
            by = at("getitem", moved, index=(slice(None), slice(None), place, d))
            where = at("add", by, at.constant(start.reshape(shape), wide))
            grid.append(at("div", at("add", at("mul", where, 2.0), 1.0), float(x.shape[2 + d])))
        grids = at("sub", at("stack", grid[1], grid[0], dim=4), 1.0)
        images = at("reshape", x, shape=(x.shape[0] * shared, x.shape[1] // shared, *x.shape[2:]))
        flat = at("reshape", grids, shape=(x.shape[0] * shared, *counts, 2))
        column = at("grid_sample", images, flat, mode="bilinear", padding_mode="zeros", align_corners=False)
        column = at("reshape", column, shape=(x.shape[0], shared, x.shape[1] // shared, *counts))
        if mask is not None:
            factor = at("reshape", mask, shape=(x.shape[0], shared, points, *counts))
            column = at("mul", column, at.part(factor, 2, place, place + 1))
        columns.append(at("reshape", column, shape=(x.shape[0], x.shape[1], *counts)))
    whole = at("reshape", at("stack", *columns, dim=2), shape=(x.shape[0], x.shape[1] * points, *counts))
    kernel = at("reshape", weight, shape=(weight.shape[0], weight.shape[1] * points, 1, 1))
    one, none = (1, 1), ((0, 0), (0, 0))
    return at("conv", whole, kernel, bias, stride=one, padding=none, dilation=one, groups=groups)


@operator("Col2Im")
def col2im(at: Call, x: Item, image: Item, block: Item) -> Item:
    """Columns of windows added up to images: the transpose of taking them."""
    sizes, kernel = at.whole(image, "the image's shape"), at.whole(block, "the block's shape")
    windows = geometry(at, sizes, kernel)
    counts = windows.counts(sizes, False)
    points = area(windows)
    channels = x.shape[1] // points
    # One channel a point of the window, and a weight that puts each at its point.
    weight = np.eye(points).reshape(points, 1, *kernel)
    rows = at("reshape", x, shape=(x.shape[0] * channels, points, *counts))
    spread = at(
        "conv_transpose", rows, at.constant(weight, x), None, stride=windows.stride, padding=windows.padding,
        output_padding=tuple(
            n + sum(p) - ((c - 1) * s + d * (k - 1) + 1)
            for n, p, c, s, d, k in zip(
                sizes, windows.padding, counts, windows.stride, windows.dilation, kernel, strict=True
            )
        ),
        dilation=windows.dilation, groups=1,
    )  # fmt: skip
    return at("reshape", spread, shape=(x.shape[0], channels, *sizes))
