"""What convolutions, pools, norms and resizes of images become once channels are last."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...dtype import Array, float32
from ...ops.upsampling import matrices
from ..ir import Node, Value
from ..memory import at_home
from .draft import bias_beside
from .layouts import Layouts, Rule, image_shape, sizes_of
from .scaling import scaling_of


def _pair(values: tuple[int, ...], fill: int) -> tuple[int, int]:
    return (fill, *values) if len(values) == 1 else tuple(values)  # type: ignore[return-value]


def _sides(padding: tuple[tuple[int, int], ...]) -> tuple[int, int, int, int]:
    """(top, left, bottom, right)."""
    (top, bottom), (left, right) = ((0, 0), *padding)[-2:]
    return top, left, bottom, right


def _convolution(node: Node, draft: Layouts) -> bool:
    x, weight, bias = node.inputs
    array, offset = draft.array(weight), draft.array(bias)
    known = array is not None and array.dtype == np.float32 and (bias is None or offset is not None)
    if not known or not draft.is_image(x) or not draft.is_image(node.output):
        return False
    assert array is not None and isinstance(weight, Value)
    a = node.attributes
    turned = draft.derived(weight.name, ("image", weight.name), lambda: _image_weight(array))
    if not isinstance(bias, Value):
        count = len(array)
        bias = draft.derived(bias_beside(weight), ("none", count), lambda: _zeros(count))
    return draft.write(
        node, "conv_nhwc", (draft.images(x), turned, bias, None, None, None), stride=_pair(a["stride"], 1),
        padding=_sides(a["padding"]), dilation=_pair(a["dilation"], 1), groups=a["groups"], activation="",
    )  # fmt: skip


def _image_weight(array: Array) -> Array:
    """(O, C, kH, kW) or (O, C, k) as (kH, kW, C, O)."""
    array = array[:, :, None] if array.ndim == 3 else array
    return at_home(array.transpose(2, 3, 1, 0))


def _zeros(count: int) -> Array:
    return np.zeros(count, np.float32)


def _pool(node: Node, draft: Layouts) -> bool:
    x, a = node.inputs[0], node.attributes
    if not draft.is_image(x) or not draft.is_image(node.output) or len(a["kernel"]) != len(node.output.shape) - 2:
        return False
    assert isinstance(x, Value)
    padding, added = _reached(x.shape[2:], node.output.shape[2:], a)
    kernel, stride = _pair(a["kernel"], 1), _pair(a["stride"], 1)
    if node.op == "max_pool":
        dilation = _pair(a["dilation"], 1)
        return draft.write(
            node, "max_pool_nhwc", (draft.images(x),), kernel=kernel, stride=stride, padding=padding, dilation=dilation
        )
    if added and a["count_include_pad"] and a["divisor"] is None:
        return False  # what ceil_mode adds counts for nothing, unlike the padding
    return draft.write(
        node, "avg_pool_nhwc", (draft.images(x),), kernel=kernel, stride=stride, padding=padding,
        count_include_pad=a["count_include_pad"], divisor=a["divisor"],
    )  # fmt: skip


def _reached(sizes: Any, counts: Any, a: Any) -> tuple[tuple[int, int, int, int], bool]:
    """The padding that the windows reach into, and whether that is more than was given."""
    sides, added = [], False
    for dim, (size, count) in enumerate(zip(sizes, counts, strict=True)):
        before, after = a["padding"][dim]
        span = a.get("dilation", (1,) * len(sizes))[dim] * (a["kernel"][dim] - 1) + 1
        needed = max((count - 1) * a["stride"][dim] + span - before - size, 0)
        added |= a["ceil_mode"] and needed > after
        sides.append((before, needed if a["ceil_mode"] else after))
    return _sides(tuple(sides)), added


def _spread(node: Node, draft: Layouts) -> bool:
    """A transposed convolution as one that gives all pixels of a tile at once, which are then put in their places.

    A tile is as large as the stride. Pixel r of tile q is the sum over m of x[q - m] · weight[stride · m + r].
    """
    x, weight, bias = node.inputs
    array, offset, a = draft.array(weight), draft.array(bias), node.attributes
    known = array is not None and array.dtype == np.float32 and (bias is None or offset is not None)
    if not known or a["groups"] != 1 or set(a["dilation"]) != {1} or not draft.is_image(x):
        return False
    if not draft.is_image(node.output):
        return False
    assert array is not None and isinstance(weight, Value) and isinstance(x, Value)
    n, channels, wanted = x.shape[0], array.shape[1], sizes_of(node.output.shape)
    stride, before = _pair(a["stride"], 1), _sides(a["padding"])[:2]
    taps = [-(-k // s) for k, s in zip(_pair(array.shape[2:], 1), stride, strict=True)]
    tiles = [(p + size - 1) // s + 1 for p, size, s in zip(before, wanted, stride, strict=True)]
    after = [count - size for count, size in zip(tiles, sizes_of(x.shape), strict=True)]
    if min(after) < 0:
        return False
    turned = draft.derived(weight.name, ("spread", weight.name, stride), lambda: _tile_weight(array, stride))
    each = _zeros(channels) if offset is None else offset
    shift = draft.derived(bias_beside(weight), ("spread", bias, stride), lambda: np.tile(each, stride[0] * stride[1]))
    made = draft.add(
        "conv_nhwc", (draft.images(x), turned, shift, None, None, None), node.output,
        (n, *tiles, turned.shape[3]), layer=node.layer, stride=(1, 1), dilation=(1, 1), groups=1, activation="",
        padding=(taps[0] - 1, taps[1] - 1, *after),
    )  # fmt: skip
    if stride != (1, 1):
        (rows, columns), (sh, sw) = tiles, stride
        apart, placed = (n, rows, columns, sh, sw, channels), (n, rows, sh, columns, sw, channels)
        made = draft.add("reshape", (made,), node.output, apart, layer=node.layer, shape=apart)
        made = draft.add("permute", (made,), node.output, placed, layer=node.layer, dims=(0, 1, 3, 2, 4, 5))
        whole = (n, rows * sh, columns * sw, channels)
        made = draft.add("reshape", (made,), node.output, whole, layer=node.layer, shape=whole)
    index = (slice(None), *(slice(p, p + size) for p, size in zip(before, wanted, strict=True)))
    return draft.write(node, "getitem", (made,), index=index)


def _tile_weight(array: Array, stride: tuple[int, int]) -> Array:
    """(C, O, kH, kW) or (C, O, k) as (rows, columns, C, tile · O), the taps turned round."""
    array = array[:, :, None] if array.ndim == 3 else array
    taps = [-(-k // s) for k, s in zip(array.shape[2:], stride, strict=True)]
    room = [(0, m * s - k) for m, s, k in zip(taps, stride, array.shape[2:], strict=True)]
    full = np.pad(array, ((0, 0), (0, 0), *room))
    apart = full.reshape(*array.shape[:2], taps[0], stride[0], taps[1], stride[1])[:, :, ::-1, :, ::-1]
    return at_home(apart.transpose(2, 4, 0, 3, 5, 1)).reshape(*taps, len(array), -1)


def _resized(node: Node, draft: Layouts) -> bool:
    """Means over even parts, every pixel several times, or sums of neighbours."""
    x = node.inputs[0]
    if not draft.prefers_last(x) or not draft.is_image(x) or not draft.is_image(node.output):
        return False
    assert isinstance(x, Value)
    kernel = _even_parts(x, node.output)
    if kernel is not None and node.attributes["mode"] == "area":
        return draft.write(
            node, "avg_pool_nhwc", (draft.images(x),), kernel=kernel, stride=kernel, padding=(0, 0, 0, 0),
            count_include_pad=False, divisor=None,
        )  # fmt: skip
    if set(x.shape[2:]) == {1}:
        return draft.write(node, "expand", (draft.images(x),), shape=image_shape(node.output.shape))
    if node.attributes["mode"].startswith("nearest"):
        return _repeated(node, x, draft)
    return _weighted(node, x, draft)


def _weighted(node: Node, x: Value, draft: Layouts) -> bool:
    """Rows, then columns, as sums of what they lie between: products with a matrix from the left."""
    a, image = node.attributes, draft.images(x)
    (n, height, width, channels), scales = image.shape, a.get("scales")
    sizes = node.output.shape[2:]
    found = matrices(x.shape[2:], sizes, a["mode"], a.get("align_corners", False), scales)  # type: ignore[arg-type]
    down, across = ([None] * (2 - len(found)) + found)[:2]
    if down is not None:
        rows, wide = (n, height, width * channels), (n, len(down), width * channels)
        flat = draft.add("reshape", (image,), x, rows, layer=node.layer, shape=rows)
        matrix = draft.constant(f"{node.output.name}.rows", down.astype(np.float32))
        summed = draft.add("matmul", (matrix, flat), x, wide, layer=node.layer)
        shape = (n, len(down), width, channels)
        image = draft.add("reshape", (summed,), x, shape, layer=node.layer, shape=shape)
    if across is None:
        return draft.write(node, "reshape", (image,), shape=image_shape(node.output.shape))
    matrix = draft.constant(f"{node.output.name}.columns", across.astype(np.float32))
    return draft.write(node, "matmul", (matrix, image))


def _repeated(node: Node, x: Value, draft: Layouts) -> bool:
    """Every pixel so many times along both dims."""
    n, channels, (height, width) = x.shape[0], x.shape[1], sizes_of(x.shape)
    sizes, scales = sizes_of(node.output.shape), node.attributes.get("scales") or ()
    if any(s % a for s, a in zip(sizes, (height, width), strict=True)):
        return False
    times = tuple(s // a for s, a in zip(sizes, (height, width), strict=True))
    if any(scale is not None and scale != t for scale, t in zip(scales, times[-len(scales) :], strict=False)):
        return False
    apart, repeated = (n, height, 1, width, 1, channels), (n, height, times[0], width, times[1], channels)
    pixels = draft.add("reshape", (draft.images(x),), x, apart, layer=node.layer, shape=apart)
    tiles = draft.add("expand", (pixels,), x, repeated, layer=node.layer, shape=repeated)
    return draft.write(node, "reshape", (tiles,), shape=image_shape(node.output.shape))


def _greatest_of_parts(node: Node, draft: Layouts) -> bool:
    x = node.inputs[0]
    if not draft.is_image(x) or not draft.is_image(node.output):
        return False
    assert isinstance(x, Value)
    kernel = _even_parts(x, node.output)
    return kernel is not None and draft.write(
        node, "max_pool_nhwc", (draft.images(x),), kernel=kernel, stride=kernel, padding=(0, 0, 0, 0), dilation=(1, 1)
    )


def _even_parts(x: Value, y: Value) -> tuple[int, int] | None:
    """The parts of which each gives one value, where the sizes divide evenly."""
    (height, width), (rows, columns) = sizes_of(x.shape), sizes_of(y.shape)
    if not rows or not columns or height % rows or width % columns:
        return None
    return height // rows, width // columns


def _mean(node: Node, draft: Layouts) -> bool:
    x, a = node.inputs[0], node.attributes
    if not _is_over_images(node, draft) or a.get("dtype") not in (None, float32):
        return False
    if not a.get("keepdim", False):
        return draft.write_plain(node, "mean_nhwc", (draft.images(x),))
    mean = draft.add("mean_nhwc", (draft.images(x),), node.output, node.output.shape[:2], layer=node.layer)
    return draft.write(node, "reshape", (mean,), shape=image_shape(node.output.shape))


def _is_over_images(node: Node, draft: Layouts) -> bool:
    """Whether a reduction gives one number for each channel of an image."""
    x, dim = node.inputs[0], node.attributes.get("dim")
    if not isinstance(x, Value) or not draft.is_image(x) or not draft.prefers_last(x) or dim is None:
        return False
    dims = len(x.shape)
    return {d % dims for d in ((dim,) if isinstance(dim, int) else dim)} == set(range(2, dims))


def _greatest(node: Node, draft: Layouts) -> bool:
    """The greatest value of each channel: a pool with one window."""
    x = node.inputs[0]
    if not isinstance(x, Value) or not _is_over_images(node, draft):
        return False
    n, height, width, channels = image_shape(x.shape)
    image = draft.add(
        "max_pool_nhwc", (draft.images(x),), x, (n, 1, 1, channels), layer=node.layer, kernel=(height, width),
        stride=(1, 1), padding=(0, 0, 0, 0), dilation=(1, 1),
    )  # fmt: skip
    if node.attributes.get("keepdim", False):
        draft.last[node.output.name] = image
        return True
    return draft.write_plain(node, "reshape", (image,), shape=node.output.shape)


def _norm(node: Node, draft: Layouts) -> bool:
    x = node.inputs[0]
    found = scaling_of(node, draft, 1) if node.output.dtype == float32 else None
    rows = len(node.output.shape) == 2
    if found is None or not (rows or draft.is_image(x)):
        return False
    stem = node.layer or node.output.name
    scale = draft.constant(f"{stem}.scale", found.scale.astype(np.float32))
    shift = draft.constant(f"{stem}.shift", found.shift.astype(np.float32))
    if rows:
        return draft.write_plain(node, "affine_nhwc", (draft.plain(x), scale, shift), activation="")
    return draft.write(node, "affine_nhwc", (draft.images(x), scale, shift), activation="")


IMAGE_RULES: Mapping[str, Rule] = {
    "conv": _convolution, "max_pool": _pool, "avg_pool": _pool, "interpolate": _resized, "mean": _mean,
    "conv_transpose": _spread, "amax": _greatest, "adaptive_max_pool": _greatest_of_parts, "batch_norm": _norm,
}  # fmt: skip
