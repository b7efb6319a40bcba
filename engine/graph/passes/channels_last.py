"""to_channels_last(), which has images flow as (N, H, W, C) from the first operation that wants them so to the last."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from ...dtype import Array, float32
from ..ir import Graph, Node, Operand, Shape, Value
from ..memory import at_home
from .draft import Draft
from .elementwise import BINARY, UNARY

Rule = Callable[[Node, "Layouts"], bool]


def to_channels_last(graph: Graph) -> Graph:
    """Lower convolutions, pools and norms to those of images with channels last, and lay out what lies between so.

    A sequence (N, C, L) is an image of height 1. What has no such form gets its inputs as they were.
    """
    draft = Layouts(graph)
    for node in graph.nodes:
        rule = RULES.get(node.op)
        if rule is None or not rule(node, draft):
            draft.keep(node, inputs=tuple(map(draft.plain, node.inputs)))
    for value in graph.outputs:
        draft.stand_in(value, draft.plain(value))
    return draft.finish()


class Layouts(Draft):
    """A draft that knows for each value which layouts of it there are.

    `last` has the images with channels last, `flat` those of them that were flattened, (N, H·W·C): what makes these
    takes the old value's name, and other layouts of it are made when they are asked for.
    """

    def __init__(self, graph: Graph) -> None:
        super().__init__(graph)
        self.last: dict[str, Value] = {}
        self.flat: dict[str, tuple[Value, Value]] = {}
        self._plain: dict[str, Value] = {}
        self._asked: dict[str, Value] = {}
        self._sources: dict[str, Value] = {}

    def prefers_last(self, operand: Operand) -> bool:
        """Whether a value is made with channels last."""
        return isinstance(operand, Value) and operand.name in self.last

    def plain(self, operand: Operand) -> Any:
        """A value as it was in the old graph."""
        if not isinstance(operand, Value) or not (operand.name in self.last or operand.name in self.flat):
            return operand
        if operand.name not in self._plain:
            made = self._plain[operand.name] = self._made_plain(operand)
            self._sources[made.name] = operand
        return self._plain[operand.name]

    def _made_plain(self, value: Value) -> Value:
        if value.name not in self.flat:
            return self._first(self.last[value.name], value.shape)
        flat, image = self.flat[value.name]
        shape = image_shape(image.shape)
        whole = self._first(self.add("reshape", (flat,), value, shape, shape=shape), image.shape)
        return self.add("reshape", (whole,), value, value.shape, shape=value.shape)

    def _first(self, image: Value, shape: Shape) -> Value:
        """An image with channels last as one with channels first."""
        if len(shape) == 4:
            return self.add("permute", (image,), image, shape, dims=(0, 3, 1, 2))
        n, channels, length = shape
        rows = self.add("reshape", (image,), image, (n, length, channels), shape=(n, length, channels))
        return self.add("permute", (rows,), image, shape, dims=(0, 2, 1))

    def images(self, operand: Operand) -> Any:
        """A value with channels last; numbers as they are."""
        if not isinstance(operand, Value):
            return operand
        if operand.name in self.last:
            return self.last[operand.name]
        if operand.name not in self._asked:
            self._asked[operand.name] = self._turned(operand)
        return self._asked[operand.name]

    def _turned(self, value: Value) -> Value:
        array, plain = self.array(value), self.plain(value)
        if array is not None:
            return self.derived(value.name, ("turned", value.name, array.ndim), lambda: _turned_array(array))
        if len(value.shape) == 4:
            return self.add("permute", (plain,), value, image_shape(value.shape), dims=(0, 2, 3, 1))
        n, channels, length = value.shape
        rows = self.add("permute", (plain,), value, (n, length, channels), dims=(0, 2, 1))
        return self.add("reshape", (rows,), value, image_shape(value.shape), shape=image_shape(value.shape))

    def fitted(self, operand: Operand, dims: int) -> Any:
        """An operand of an elementwise operation on images of so many dims before they were turned."""
        if not isinstance(operand, Value) or not operand.shape:
            return self.plain(operand)
        if len(operand.shape) == dims:
            return self.images(operand)
        shape = (1,) * (dims - len(operand.shape)) + operand.shape
        array = self.array(operand)
        if array is not None:
            whole = array.reshape((1,) * (dims - array.ndim) + array.shape)
            return self.derived(operand.name, ("turned", operand.name, dims), lambda: _turned_array(whole))
        return self.images(self.add("reshape", (self.plain(operand),), operand, shape, shape=shape))

    def write(self, node: Node, op: str, inputs: tuple[Any, ...], **attributes: Any) -> bool:
        """Write what an old node becomes, its output being an image with channels last."""
        self.release(node.output)
        output = Value(self.fresh(node.output.name), image_shape(node.output.shape), node.output.dtype)
        self.keep(Node(op, inputs, (output,), attributes, node.layer))
        self.last[node.output.name] = output
        return True

    def write_plain(self, node: Node, op: str, inputs: tuple[Any, ...], **attributes: Any) -> bool:
        """Write what an old node becomes, its output being as it was."""
        self.keep(replace(node, op=op, inputs=inputs, attributes=attributes))
        return True

    def source_of(self, plain: Operand) -> Value | None:
        """The value of the old graph that one is the plain layout of, if it is made with channels last."""
        return self._sources.get(plain.name) if isinstance(plain, Value) else None

    def is_image(self, operand: Operand) -> bool:
        """Whether a value is a float32 image or sequence of known size."""
        return (
            isinstance(operand, Value) and operand.dtype == float32 and len(operand.shape) in (3, 4)
            and all(isinstance(size, int) for size in operand.shape[1:])
        )  # fmt: skip


def image_shape(shape: Shape) -> Shape:
    """The shape of an image or sequence with channels last."""
    n, channels, *sizes = shape
    return (n, *(1,) * (2 - len(sizes)), *sizes, channels)


def _turned_array(array: Array) -> Array:
    """A constant with channels last."""
    n, channels, *sizes = array.shape
    turned = np.moveaxis(array, 1, -1)
    return np.ascontiguousarray(turned.reshape(n, *(1,) * (2 - len(sizes)), *sizes, channels))


def _turned_dim(dim: int, dims: int) -> int:
    """Where a dim of a value of so many dims lies once channels are last."""
    return {3: (0, 3, 2), 4: (0, 3, 1, 2)}[dims][dim % dims]


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
        bias = draft.derived(f"{weight.name.removesuffix('weight')}bias", ("none", count), lambda: _zeros(count))
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


def _resized(node: Node, draft: Layouts) -> bool:
    """Means over even parts, or every pixel several times."""
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
    return node.attributes["mode"].startswith("nearest") and _repeated(node, x, draft)


def _repeated(node: Node, x: Value, draft: Layouts) -> bool:
    """Every pixel so many times along both dims."""
    n, height, width, channels = image_shape(x.shape)
    sizes, scales = image_shape(node.output.shape)[1:3], node.attributes.get("scales") or ()
    if any(s % a for s, a in zip(sizes, (height, width), strict=True)):  # type: ignore[operator]
        return False
    times = tuple(s // a for s, a in zip(sizes, (height, width), strict=True))  # type: ignore[operator]
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
    sizes = list(zip(x.shape[2:], y.shape[2:], strict=True))
    if any(not isinstance(a, int) or not isinstance(b, int) or not b or a % b for a, b in sizes):
        return None
    return _pair(tuple(a // b for a, b in sizes), 1)  # type: ignore[operator]


def _mean(node: Node, draft: Layouts) -> bool:
    x, a = node.inputs[0], node.attributes
    dim = a.get("dim")
    if not draft.is_image(x) or not draft.prefers_last(x) or a.get("dtype") not in (None, float32) or dim is None:
        return False
    assert isinstance(x, Value)
    dims = {d % len(x.shape) for d in ((dim,) if isinstance(dim, int) else dim)}
    if dims != set(range(2, len(x.shape))):
        return False
    if not a.get("keepdim", False):
        return draft.write_plain(node, "mean_nhwc", (draft.images(x),))
    mean = draft.add("mean_nhwc", (draft.images(x),), node.output, node.output.shape[:2], layer=node.layer)
    shape = image_shape(node.output.shape)
    return draft.write(node, "reshape", (mean,), shape=shape)


def _norm(node: Node, draft: Layouts) -> bool:
    x, *rest = node.inputs
    if node.output.dtype != float32 or len(node.output.shape) not in (2, 3, 4) or not isinstance(x, Value):
        return False
    if any(operand is not None and draft.array(operand) is None for operand in rest):
        return False
    weight, bias, mean, variance = (None if o is None else np.asarray(draft.array(o), np.float64) for o in rest)
    assert mean is not None and variance is not None and isinstance(rest[2], Value)
    scale = (1 if weight is None else weight) / np.sqrt(variance + node.attributes["eps"])
    shift = (0 if bias is None else bias) - mean * scale
    stem = rest[2].name.removesuffix("running_mean")
    values = (
        draft.constant(f"{stem}scale", scale.astype(np.float32)),
        draft.constant(f"{stem}shift", shift.astype(np.float32)),
    )
    if len(x.shape) == 2:
        return draft.write_plain(node, "affine_nhwc", (draft.plain(x), *values), activation="")
    return draft.is_image(x) and draft.write(node, "affine_nhwc", (draft.images(x), *values), activation="")


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
    dim = _turned_dim(node.attributes.get("dim", 0), dims)
    return draft.write(node, "cat", tuple(map(draft.images, parts)), dim=dim)


def _along_dim(node: Node, draft: Layouts) -> bool:
    """A softmax, which works along one dim."""
    x, dims = node.inputs[0], len(node.output.shape)
    if not draft.prefers_last(x):
        return False
    dim = _turned_dim(node.attributes["dim"], dims)
    return draft.write(node, node.op, (draft.images(x),), **{**node.attributes, "dim": dim})


def _pad(node: Node, draft: Layouts) -> bool:
    x, a = node.inputs[0], node.attributes
    if not draft.prefers_last(x):
        return False
    widths: list[tuple[int, int]] = [(0, 0)] * 4
    for dim, width in enumerate(a["widths"]):
        widths[_turned_dim(dim, len(a["widths"]))] = width
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
        turned[_turned_dim(dim, dims)] = item
    if all(isinstance(i, slice) for i in index):
        return draft.write(node, "getitem", (draft.images(x),), index=tuple(turned))
    if dims == 4 and len(index) == 4 and len(node.output.shape) == 2 and all(isinstance(i, int) for i in index[2:]):
        return draft.write_plain(node, "getitem", (draft.images(x),), index=tuple(turned))
    return False


def _linear(node: Node, draft: Layouts) -> bool:
    """A linear layer on flattened images: its weights' columns are put into the order of the pixels."""
    x, weight = node.inputs[0], node.inputs[1]
    array = draft.array(weight)
    if not isinstance(x, Value) or x.name not in draft.flat or array is None or array.ndim != 2:
        return False
    assert isinstance(weight, Value)
    source, image = draft.flat[x.name]
    _, channels, *sizes = image.shape

    assert isinstance(channels, int)
    order = draft.derived(weight.name, ("flat", weight.name, channels), lambda: _by_pixel(array, channels))
    draft.keep(replace(node, inputs=(source, order, *node.inputs[2:])))
    return True


def _by_pixel(array: Array, channels: int) -> Array:
    """Weights (O, C·H·W) as (O, H·W·C)."""
    return np.ascontiguousarray(array.reshape(len(array), channels, -1).swapaxes(1, 2)).reshape(array.shape)


RULES: dict[str, Rule] = {
    "conv": _convolution, "max_pool": _pool, "avg_pool": _pool, "interpolate": _resized, "mean": _mean,
    "adaptive_max_pool": _greatest_of_parts, "batch_norm": _norm, "cat": _join, "softmax": _along_dim,
    "log_softmax": _along_dim, "pad": _pad, "permute": _permute, "reshape": _reshape, "getitem": _part,
    "linear": _linear,
    **dict.fromkeys((*UNARY, *BINARY), _elementwise),
}  # fmt: skip
