"""Operators that arrange elements anew, or make tensors out of a shape."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...errors import FormatError
from ..calls import Call
from ..elements import ELEMENTS, STRING, element
from ..items import Item, Thing, known
from .table import operator

_WINDOW = np.iinfo(np.int64).max


@operator("Identity")
def identity(at: Call, x: Thing) -> Thing:
    """x itself."""
    return x


@operator("Constant")
def constant(at: Call) -> Item:
    """The tensor in one of the attributes."""
    for name, kind in (
        ("value_float", np.float32),
        ("value_floats", np.float32),
        ("value_int", np.int64),
        ("value_ints", np.int64),
    ):
        if at.has(name):
            return known(np.asarray(at.attributes[name].value, kind))
    if at.has("value_string"):
        return known(np.array(at.text("value_string"), object))
    if at.has("value_strings"):
        return known(np.array(at.texts("value_strings"), object))
    return at.tensor("value")


@operator("Shape")
def shape(at: Call, x: Item) -> Item:
    """The sizes of the dims, or of some of them."""
    return at.constant(np.array(x.shape[at.integer("start", 0) : at.integer("end", None)], np.int64))


@operator("Size")
def size(at: Call, x: Item) -> Item:
    """The number of elements."""
    return at.constant(np.array(math.prod(x.shape), np.int64))


@operator("Reshape")
def reshape(at: Call, x: Item, sizes: Item | None = None) -> Item:
    """Another shape; 0 keeps a size, -1 is what remains."""
    wanted = at.integers("shape") if sizes is None else at.whole(sizes, "the shape")
    if not at.flag("allowzero"):
        wanted = tuple(x.shape[d] if n == 0 else n for d, n in enumerate(wanted))
    return reshaped(at, x, wanted)


def reshaped(at: Call, x: Item, wanted: Sequence[int]) -> Item:
    """x in another shape; texts too."""
    if x.element is STRING:
        return known(at.hosted(lambda values: values.reshape(wanted), x))
    return at("reshape", x, shape=tuple(wanted))


@operator("Flatten")
def flatten(at: Call, x: Item) -> Item:
    """Two dims: all before an axis, and the rest."""
    axis = at.integer("axis", 1)
    if not -x.ndim <= axis <= x.ndim:
        raise FormatError(f"there is no axis {axis} among {x.ndim}")
    axis = axis % x.ndim if axis < 0 else axis
    return at("reshape", x, shape=(math.prod(x.shape[:axis]), math.prod(x.shape[axis:])))


@operator("Transpose")
def transpose(at: Call, x: Item) -> Item:
    """The dims in another order, by default turned round."""
    return at("permute", x, dims=at.integers("perm", tuple(reversed(range(x.ndim)))))


@operator("Concat")
def concat(at: Call, *parts: Item) -> Item:
    """The parts one behind the other."""
    axis = at.axis(at.integer("axis", 1), parts[0].ndim)
    if parts[0].element is STRING:
        return known(at.hosted(lambda *values: np.concatenate(values, axis), *parts))
    return at("cat", *parts, dim=axis) if len(parts) > 1 else parts[0]


def axes_of(at: Call, given: Item | None, default: Any = ...) -> tuple[int, ...]:
    """Axes: an input from some opset on, an attribute before."""
    return at.integers("axes", default) if given is None else at.whole(given, "the axes")


@operator("Squeeze")
def squeeze(at: Call, x: Item, axes: Item | None = None) -> Item:
    """Without some dims of size 1, by default all."""
    gone = {at.axis(a, x.ndim) for a in axes_of(at, axes, tuple(d for d, n in enumerate(x.shape) if n == 1))}
    if any(x.shape[d] != 1 for d in gone):
        raise FormatError(f"{x.shape} has other sizes than 1 at the axes {sorted(gone)}")
    return reshaped(at, x, [n for d, n in enumerate(x.shape) if d not in gone])


@operator("Unsqueeze")
def unsqueeze(at: Call, x: Item, axes: Item | None = None) -> Item:
    """With new dims of size 1."""
    new = axes_of(at, axes)
    ndim = x.ndim + len(new)
    places = {at.axis(a, ndim) for a in new}
    if len(places) != len(new):
        raise FormatError(f"the axes {new} name one twice")
    sizes = iter(x.shape)
    return reshaped(at, x, [1 if d in places else next(sizes) for d in range(ndim)])


@operator("Expand")
def expand(at: Call, x: Item, sizes: Item) -> Item:
    """Stretched to a shape as far as that broadcasts."""
    wanted = np.broadcast_shapes(x.shape, at.whole(sizes, "the shape"))
    if x.element is STRING:
        return known(at.hosted(lambda values: np.broadcast_to(values, wanted), x))
    return at("expand", x, shape=wanted)


@operator("Tile")
def tile(at: Call, x: Item, repeats: Item, axis: Item | None = None) -> Item:
    """The whole, so many times along each dim."""
    counts = at.whole(repeats, "the repeats")
    if axis is not None:  # opset 1
        along = at.axis(int(at.one(axis, "the axis")), x.ndim)
        counts = tuple(counts[0] if d == along else 1 for d in range(x.ndim))
    return at("repeat", x, repeats=counts)


@operator("Slice")
def slice_(at: Call, x: Item, starts: Item | None = None, ends: Item | None = None, axes: Item | None = None, steps: Item | None = None) -> Item:  # fmt: skip  # noqa: E501
    """Parts of some dims; attributes before opset 10, then inputs."""
    first = at.integers("starts") if starts is None else at.whole(starts, "the starts")
    last = at.integers("ends") if ends is None else at.whole(ends, "the ends")
    along = axes_of(at, axes, tuple(range(len(first))))
    step = (1,) * len(first) if steps is None else at.whole(steps, "the steps")
    if not len(first) == len(last) == len(along) == len(step):
        raise FormatError(f"{len(first)} starts, {len(last)} ends, {len(along)} axes and {len(step)} steps")
    index: list[slice] = [slice(None)] * x.ndim
    backwards: list[int] = []
    for begin, end, axis, by in zip(first, last, along, step, strict=True):
        d = at.axis(axis, x.ndim)
        begin, end, _ = slice(begin, end if end > -_WINDOW else None, by).indices(x.shape[d])
        if by < 0:
            backwards.append(d)
            count = max(0, -(-(end - begin) // by))
            begin, end, by = (begin + (count - 1) * by, begin + 1, -by) if count else (0, 0, 1)
        index[d] = slice(begin, end, by)
    return _sliced(at, x, index, backwards)


def _sliced(at: Call, x: Item, index: Sequence[slice], backwards: Sequence[int]) -> Item:
    if x.element is STRING:
        return known(at.hosted(lambda values: np.flip(values[tuple(index)], tuple(backwards)), x))
    whole = all(i.indices(n) == (0, n, 1) for i, n in zip(index, x.shape, strict=True))
    part = x if whole else at("getitem", x, index=tuple(index))
    return at("flip", part, dims=tuple(backwards)) if backwards else part


@operator("Split")
def split(at: Call, x: Item, sizes: Item | None = None) -> tuple[Item, ...]:
    """Parts of a dim: of given sizes, or as even as can be."""
    axis = at.axis(at.integer("axis", 0), x.ndim)
    parts = at.integers("split", None) if sizes is None else at.whole(sizes, "the sizes")
    if parts is None:
        count = at.integer("num_outputs", len(at.node.outputs))
        each = -(-x.shape[axis] // count)
        parts = tuple(max(0, min(each, x.shape[axis] - each * i)) for i in range(count))
    return cut(at, x, axis, parts)


def cut(at: Call, x: Item, axis: int, parts: Sequence[int]) -> tuple[Item, ...]:
    """A dim cut into parts of these sizes."""
    if sum(parts) != x.shape[axis] or min(parts, default=0) < 0:
        raise FormatError(f"parts of {tuple(parts)} where dim {axis} has the size {x.shape[axis]}")
    results, start = [], 0
    for part in parts:
        index = (*(slice(None),) * axis, slice(start, start + part))
        results.append(at("getitem", x, index=index))
        start += part
    return tuple(results)


_MODES = {"constant": "constant", "reflect": "reflect", "edge": "replicate", "wrap": "circular"}


@operator("Pad")
def pad(at: Call, x: Item, widths: Item | None = None, value: Item | None = None, axes: Item | None = None) -> Item:
    """Room before and after dims; attributes before opset 11, then inputs."""
    given = at.integers("pads" if at.version > 1 else "paddings") if widths is None else at.whole(widths, "the pads")
    along = range(x.ndim) if axes is None else [at.axis(a, x.ndim) for a in at.whole(axes, "the axes")]
    if len(given) != 2 * len(along):
        raise FormatError(f"{len(given)} pads for {len(along)} axes")
    room = [(0, 0)] * x.ndim
    for place, d in enumerate(along):
        room[d] = (given[place], given[place + len(along)])
    mode = _MODES[at.text("mode", "constant")]
    number: Any = at.number("value", 0.0) if value is None else at.one(value, "the value")
    return padded(at, x, room, mode, number)


def padded(at: Call, x: Item, room: Sequence[tuple[int, int]], mode: str = "constant", value: Any = 0.0) -> Item:
    """x with room around it; negative widths cut."""
    if mode != "constant" and any(min(w) < 0 for w in room):
        inside = tuple(slice(max(0, -a), n - max(0, -b)) for (a, b), n in zip(room, x.shape, strict=True))
        x = at("getitem", x, index=inside)
        room = [(max(0, a), max(0, b)) for a, b in room]
    if not any(map(any, room)):
        return x
    return at("pad", x, widths=tuple(room), mode=mode, value=value)


@operator("CenterCropPad")
def center_crop_pad(at: Call, x: Item, sizes: Item) -> Item:
    """The middle of dims, cut or filled up with zeros to given sizes."""
    along = [at.axis(a, x.ndim) for a in at.integers("axes", tuple(range(x.ndim)))]
    room = [(0, 0)] * x.ndim
    for d, wanted in zip(along, at.whole(sizes, "the shape"), strict=True):
        rest = wanted - x.shape[d]
        room[d] = (rest // 2, rest - rest // 2) if rest >= 0 else (-(-rest // 2), rest + (-rest // 2))
    return padded(at, x, room)


@operator("ConstantOfShape")
def constant_of_shape(at: Call, sizes: Item) -> Item:
    """One value all over a shape."""
    value = at.tensor("value") if at.has("value") else known(np.zeros(1, np.float32))
    filled: Item = at("expand", at("reshape", value, shape=()), shape=at.whole(sizes, "the shape"))
    return Item(filled.array, value.element, filled.number)


@operator("Range")
def range_(at: Call, start: Item, limit: Item, step: Item) -> Item:
    """Numbers from a start up to a limit, a step apart."""
    first, last, by = (at.one(i, "a bound") for i in (start, limit, step))
    count = max(0, math.ceil((last - first) / by))
    if count > 1 << 27:
        raise FormatError(f"a range of {count} numbers")
    return Item(start.element.hold(first + np.arange(count) * by), start.element)


@operator("EyeLike")
def eye_like(at: Call, x: Item) -> Item:
    """1 on a diagonal, else 0, in the shape of another tensor."""
    kind = at.element("dtype", x.element)
    rows, columns = x.shape
    return Item(kind.hold(np.eye(rows, columns, at.integer("k", 0))), kind)


@operator("DepthToSpace")
def depth_to_space(at: Call, x: Item) -> Item:
    """Channels moved into the image."""
    n, c, h, w = x.shape
    by = at.integer("blocksize")
    if at.text("mode", "DCR") == "CRD":
        return at("pixel_shuffle", x, factor=by)
    apart = at("permute", at("reshape", x, shape=(n, by, by, c // by**2, h, w)), dims=(0, 3, 4, 1, 5, 2))
    return at("reshape", apart, shape=(n, c // by**2, h * by, w * by))


@operator("SpaceToDepth")
def space_to_depth(at: Call, x: Item) -> Item:
    """The image's blocks moved into channels."""
    n, c, h, w = x.shape
    by = at.integer("blocksize")
    if at.text("mode", "DCR") == "CRD":
        return at("pixel_unshuffle", x, factor=by)
    apart = at("permute", at("reshape", x, shape=(n, c, h // by, by, w // by, by)), dims=(0, 3, 5, 1, 2, 4))
    return at("reshape", apart, shape=(n, c * by**2, h // by, w // by))


@operator("Trilu")
def trilu(at: Call, x: Item, k: Item | None = None) -> Item:
    """The part of matrices above or below a diagonal, else 0."""
    offset = 0 if k is None else int(at.one(k, "k"))
    return at("triu" if at.flag("upper", True) else "tril", x, diagonal=offset)


@operator("ReverseSequence")
def reverse_sequence(at: Call, x: Item, lengths: Item) -> Item:
    """The first so many of each row turned round."""
    time, batch = at.axis(at.integer("time_axis", 0), x.ndim), at.axis(at.integer("batch_axis", 1), x.ndim)
    counts = np.array(at.whole(lengths, "the lengths"))[:, None]
    steps = np.arange(x.shape[time])[None]
    places = np.where(steps < counts, counts - 1 - steps, steps)
    places = places.T if time < batch else places
    shape = [x.shape[d] if d in (time, batch) else 1 for d in range(x.ndim)]
    index = np.broadcast_to(places.reshape(shape), x.shape)
    return at("gather", x, at.constant(index.astype(np.int64)), dim=time)


@operator("HannWindow")
def hann(at: Call, size: Item) -> Item:
    """A raised cosine."""
    return _window(at, size, (0.5, 0.5))


@operator("HammingWindow")
def hamming(at: Call, size: Item) -> Item:
    """A raised cosine that does not reach 0."""
    return _window(at, size, (25 / 46, 21 / 46))


@operator("BlackmanWindow")
def blackman(at: Call, size: Item) -> Item:
    """Three cosines."""
    return _window(at, size, (0.42, 0.5, 0.08))


def _window(at: Call, size: Item, weights: Sequence[float]) -> Item:
    count = int(at.one(size, "the size"))
    turns = np.arange(count) / (count if at.flag("periodic", True) else max(count - 1, 1))
    values = sum((-1) ** n * w * np.cos(2 * np.pi * n * turns) for n, w in enumerate(weights))
    kind = element(at.integer("output_datatype", 1))
    return Item(kind.hold(np.asarray(values)), kind)


@operator("MelWeightMatrix")
def mel_weight_matrix(at: Call, bins: Item, length: Item, rate: Item, low: Item, high: Item) -> Item:
    """Triangles on the mel scale, as a matrix from a spectrum to the bins."""
    count, size, sampling = (int(at.one(i, "a size")) for i in (bins, length, rate))
    edges = [2595 * math.log10(1 + at.one(i, "an edge") / 700) for i in (low, high)]
    step = (edges[1] - edges[0]) / (count + 2)
    points = edges[0] + np.arange(count + 2) * step
    hertz = 700 * (10 ** (points / 2595) - 1)
    centres = ((size + 1) * hertz // sampling).astype(np.int64)
    spectrum = size // 2 + 1
    result = np.zeros((spectrum, count))
    for n in range(count):
        first, middle, last = centres[n : n + 3]
        rising = np.arange(first, middle + 1)
        result[rising, n] = (rising - first) / (middle - first) if middle > first else 1
        falling = np.arange(middle, last)
        result[falling, n] = (last - falling) / (last - middle)
    kind = ELEMENTS[at.integer("output_datatype", 1)]
    return Item(kind.hold(result), kind)
