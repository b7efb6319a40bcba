"""What lies between operations on images, and how it goes on once channels are last: arithmetic, joins and views."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ...dtype import Array
from ...sharing import LARGE
from ..ir import Node, Value
from .elementwise import BINARY, UNARY
from .layouts import Layouts, Rule, image_shape, turned_dim


def _elementwise(node: Node, draft: Layouts) -> bool:
    dims = len(node.output.shape)
    if dims in (3, 4) and _prefer_last(node, draft):
        inputs = tuple(draft.fitted(operand, dims) for operand in node.inputs)
        return draft.write(node, node.op, inputs, **node.attributes)
    return _on_flat(node, draft)


def _prefer_last(node: Node, draft: Layouts) -> bool:
    """Whether the operands of the result's own shape, or failing such any of its dims, are made with channels last."""
    alike = [o for o in node.inputs if isinstance(o, Value) and len(o.shape) == len(node.output.shape)]
    whole = [o for o in alike if o.shape == node.output.shape and draft.array(o) is None]
    return any(map(draft.prefers_last, whole or alike))


def _on_flat(node: Node, draft: Layouts) -> bool:
    """A function of single elements of flattened images, which may lie in any order."""
    x = node.inputs[0]
    if len(node.inputs) != 1 or not isinstance(x, Value) or x.name not in draft.flat:
        return False
    source, image = draft.flat[x.name]
    draft.release(node.output)
    output = Value(draft.fresh(node.output.name), node.output.shape, node.output.dtype)
    draft.keep(replace(node, inputs=(source,), outputs=(output,)))
    draft.flat[node.output.name] = (output, image)
    return True


def _join(node: Node, draft: Layouts) -> bool:
    dims = len(node.output.shape)
    parts = [o for o in node.inputs if isinstance(o, Value)]
    if dims not in (3, 4) or not any(map(draft.prefers_last, parts)) or any(len(p.shape) != dims for p in parts):
        return False
    dim = turned_dim(node.attributes.get("dim", 0), dims)
    return draft.write(node, "cat", tuple(map(draft.images, parts)), dim=dim)


def _along_dim(node: Node, draft: Layouts) -> bool:
    """A softmax, which works along one dim."""
    x, dims = node.inputs[0], len(node.output.shape)
    if not draft.prefers_last(x):
        return False
    dim = turned_dim(node.attributes["dim"], dims)
    return draft.write(node, node.op, (draft.images(x),), **{**node.attributes, "dim": dim})


def _pad(node: Node, draft: Layouts) -> bool:
    x, a = node.inputs[0], node.attributes
    if not draft.prefers_last(x):
        return False
    widths: list[tuple[int, int]] = [(0, 0)] * 4
    for dim, width in enumerate(a["widths"]):
        widths[turned_dim(dim, len(a["widths"]))] = width
    return draft.write(node, "pad", (draft.images(x),), **{**a, "widths": tuple(widths)})


def _permute(node: Node, draft: Layouts) -> bool:
    """A permute that brings channels last is there already; one that brings them to the front need not be done."""
    x, dims = node.inputs[0], tuple(d % len(node.output.shape) for d in node.attributes["dims"])
    assert isinstance(x, Value)
    if draft.prefers_last(x) and dims in ((0, 2, 3, 1), (0, 2, 1)):
        image = draft.images(x)
        if len(dims) == 4:
            draft.stand_in(node.output, image)
            return True
        return draft.write_plain(node, "reshape", (image,), shape=node.output.shape)
    if not draft.prefers_last(x) and dims == (0, 3, 1, 2):
        draft.last[node.output.name] = draft.plain(draft.now(x))
        return True
    return False


def _reshape(node: Node, draft: Layouts) -> bool:
    x, shape = node.inputs[0], node.output.shape
    assert isinstance(x, Value)
    if not draft.prefers_last(x):
        return _shuffle(node, draft) or _reshape_of_plain(node, draft)
    n, channels, *sizes = x.shape
    if not all(isinstance(size, int) for size in (channels, *sizes)):
        return False
    pixels = int(np.prod(sizes))  # type: ignore[arg-type]
    image = draft.images(x)
    if shape == (n, channels) and pixels == 1:
        return draft.write_plain(node, "reshape", (image,), shape=shape)
    if shape == (n, channels * pixels):  # type: ignore[operator]
        draft.release(node.output)
        output = Value(draft.fresh(node.output.name), shape, x.dtype)
        draft.keep(Node("reshape", (image,), (output,), {"shape": shape}, node.layer))
        draft.flat[node.output.name] = (output, x)
        return True
    if shape == (n, channels, pixels):
        return draft.write(node, "reshape", (image,), shape=image_shape(shape))
    return False


def _shuffle(node: Node, draft: Layouts) -> bool:
    """Channels that are dealt out: apart in groups by one reshape, turned by a permute, together by this reshape."""
    turn = draft.maker(node.inputs[0])
    apart = draft.maker(turn.inputs[0]) if turn and turn.op == "permute" else None
    if turn is None or apart is None or apart.op != "reshape" or tuple(turn.attributes["dims"]) != (0, 2, 1, 3, 4):
        return False
    source = draft.source_of(apart.inputs[0])
    if source is None or source.shape != node.output.shape or apart.output.shape[3:] != source.shape[2:]:
        return False
    n, groups, each, height, width = apart.output.shape
    dealt, gathered = (n, height, width, groups, each), (n, height, width, each, groups)
    parts = draft.add("reshape", (draft.images(source),), source, dealt, layer=apart.layer, shape=dealt)
    turned = draft.add("permute", (parts,), source, gathered, layer=turn.layer, dims=(0, 1, 2, 4, 3))
    return draft.write(node, "reshape", (turned,), shape=image_shape(node.output.shape))


def _reshape_of_plain(node: Node, draft: Layouts) -> bool:
    """(N, C) as images of one pixel."""
    x, shape = node.inputs[0], node.output.shape
    assert isinstance(x, Value)
    if len(shape) not in (3, 4) or shape[:2] != x.shape or set(shape[2:]) != {1}:
        return False
    return draft.write(node, "reshape", (draft.plain(x),), shape=image_shape(shape))


def _part(node: Node, draft: Layouts) -> bool:
    """A slice of an image, or pixels of it."""
    x, index = node.inputs[0], node.attributes["index"]
    if not draft.prefers_last(x) or any(i is None for i in index):
        return False
    assert isinstance(x, Value)
    dims = len(x.shape)
    turned: list[Any] = [slice(None)] * 4
    for dim, item in enumerate(index):
        turned[turned_dim(dim, dims)] = item
    if all(isinstance(i, slice) for i in index):
        return draft.write(node, "getitem", (draft.images(x),), index=tuple(turned))
    if dims == 4 and len(index) == 4 and len(node.output.shape) == 2 and all(isinstance(i, int) for i in index[2:]):
        return draft.write_plain(node, "getitem", (draft.images(x),), index=tuple(turned))
    return False


def _linear(node: Node, draft: Layouts) -> bool:
    """A linear layer on flattened images: its weights' columns are put into the order of the pixels.

    Weights so large that they should not be there twice stay as they are; the images are turned in every run.
    """
    x, weight = node.inputs[0], node.inputs[1]
    array = draft.array(weight)
    if not isinstance(x, Value) or x.name not in draft.flat or array is None or array.ndim != 2:
        return False
    if array.nbytes >= LARGE:
        return False
    assert isinstance(weight, Value)
    source, image = draft.flat[x.name]
    channels = image.shape[1]
    assert isinstance(channels, int)
    order = draft.derived(weight.name, ("flat", weight.name, channels), lambda: _by_pixel(array, channels))
    draft.keep(replace(node, inputs=(source, order, *node.inputs[2:])))
    return True


def _by_pixel(array: Array, channels: int) -> Array:
    """Weights (O, C·H·W) as (O, H·W·C)."""
    return np.ascontiguousarray(array.reshape(len(array), channels, -1).swapaxes(1, 2)).reshape(array.shape)


VIEW_RULES: Mapping[str, Rule] = {
    "cat": _join, "softmax": _along_dim, "log_softmax": _along_dim, "pad": _pad, "permute": _permute,
    "reshape": _reshape, "getitem": _part, "linear": _linear,
    **dict.fromkeys((*UNARY, *BINARY), _elementwise),
}  # fmt: skip
