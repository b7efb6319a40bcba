"""Resizing: PyTorch's ways by its primitive, all others by a small matrix for each dim."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from ...dtype import Array
from ...errors import FormatError
from ..calls import Call
from ..elements import ELEMENTS
from ..items import Item
from .table import operator

MOST = 1 << 16
"""Times that a dim may grow: more is no picture and no sound, but a file that is damaged or means harm."""


class Rule:
    """What the attributes of a Resize say about every dim alike."""

    def __init__(self, at: Call) -> None:
        self.mode = at.text("mode", "nearest")
        self.place = at.text("coordinate_transformation_mode", "half_pixel" if at.version > 10 else "asymmetric")
        self.nearest = at.text("nearest_mode", "round_prefer_floor" if at.version > 10 else "floor")
        self.cubic = at.number("cubic_coeff_a", -0.75)
        self.exclude = at.flag("exclude_outside")
        self.antialias = at.flag("antialias")
        self.filling = at.number("extrapolation_value", 0.0)
        if self.place not in _PLACES:
            raise FormatError(f"coordinate_transformation_mode {self.place!r}; expected one of {', '.join(_PLACES)}")

    def places(self, size: int, out: int, scale: float, roi: tuple[float, float]) -> Array:
        """Where the outputs lie among the inputs of a dim."""
        return _PLACES[self.place](np.arange(out, dtype=np.float64), size, out, scale, roi)

    def beyond(self, places: Array, size: int) -> Array:
        """Which places get the value for what lies outside."""
        return np.asarray(((places < 0) | (places > size - 1)) & (self.place == "tf_crop_and_resize"))

    def chosen(self, places: Array, size: int) -> Array:
        """The nearest inputs."""
        return np.clip(_NEAREST[self.nearest](places), 0, size - 1).astype(np.int64)

    def matrix(self, places: Array, size: int, scale: float) -> Array:
        """What each input (a column) counts for each output (a row)."""
        stretch = min(scale, 1.0) if self.antialias else 1.0
        reach = (1 if self.mode == "linear" else 2) / stretch
        first = np.floor(places - reach).astype(np.int64)
        taps = [first + step for step in range(math.ceil(2 * reach) + 2)]
        weights = [self._kernel(np.abs(places - tap) * stretch) for tap in taps]
        if self.exclude:
            weights = [np.where((t < 0) | (t >= size), 0, w) for t, w in zip(taps, weights, strict=True)]
        total = np.sum(weights, axis=0)
        matrix, rows = np.zeros((len(places), size)), np.arange(len(places))
        for tap, weight in zip(taps, weights, strict=True):
            np.add.at(matrix, (rows, np.clip(tap, 0, size - 1)), weight / np.where(total == 0, 1, total))
        return matrix

    def _kernel(self, distance: Array) -> Array:
        if self.mode == "linear":
            return np.asarray(np.maximum(0, 1 - distance))
        a = self.cubic
        near = ((a + 2) * distance - (a + 3)) * distance * distance + 1
        far = a * (((distance - 5) * distance + 8) * distance - 4)
        return np.where(distance <= 1, near, np.where(distance < 2, far, 0))


Place = Callable[[Array, int, int, float, tuple[float, float]], Array]


def _half_pixel_symmetric(x: Array, size: int, out: int, scale: float, roi: tuple[float, float]) -> Array:
    adjustment = out / (scale * size)
    return size / 2 * (1 - adjustment) + (x + 0.5) / scale - 0.5


def _aligned(x: Array, size: int, out: float) -> Array:
    return x * ((size - 1) / (out - 1)) if out != 1 else x * 0.0


def _cropped(x: Array, size: int, out: int, scale: float, roi: tuple[float, float]) -> Array:
    start, end = roi
    if out == 1:
        return 0.5 * (start + end) * (size - 1) + 0 * x
    return start * (size - 1) + x * (end - start) * (size - 1) / (out - 1)


# Where an output lies among the inputs. Source: ONNX Resize-19.
_PLACES: dict[str, Place] = {
    "half_pixel": lambda x, size, out, scale, roi: (x + 0.5) / scale - 0.5,
    "half_pixel_symmetric": _half_pixel_symmetric,
    "pytorch_half_pixel": lambda x, size, out, scale, roi: (x + 0.5) / scale - 0.5 if out > 1 else x * 0.0,
    "align_corners": lambda x, size, out, scale, roi: _aligned(x, size, scale * size),
    "asymmetric": lambda x, size, out, scale, roi: x / scale,
    "tf_half_pixel_for_nn": lambda x, size, out, scale, roi: (x + 0.5) / scale,
    "tf_crop_and_resize": _cropped,
}
_NEAREST: dict[str, Callable[[Array], Array]] = {
    "floor": np.floor,
    "ceil": np.ceil,
    "round_prefer_floor": lambda x: np.ceil(x - 0.5),
    "round_prefer_ceil": lambda x: np.floor(x + 0.5),
}


@operator("Resize")
def resize(at: Call, x: Item, roi: Item | None = None, scales: Item | None = None, sizes: Item | None = None) -> Item:
    """x at other sizes, which scales or sizes say."""
    if at.version < 11:
        roi, scales = None, roi
    axes = [at.axis(a, x.ndim) for a in at.integers("axes", tuple(range(x.ndim)))]
    by, to = _targets(at, x, axes, scales, sizes)
    box = at.values(roi, "the roi").reshape(-1) if roi is not None and 0 not in roi.shape else None
    edges = [(float(box[n]), float(box[n + len(axes)])) if box is not None else (0.0, 1.0) for n in range(len(axes))]
    return _resized(at, x, axes, by, to, edges)


def _targets(
    at: Call, x: Item, axes: Sequence[int], scales: Item | None, sizes: Item | None
) -> tuple[list[float], list[int]]:
    """The scale and the size of each dim."""
    before = [x.shape[a] for a in axes]
    if sizes is None or 0 in sizes.shape:
        by = [float(s) for s in at.values(scales, "the scales").reshape(-1)]
        return by, [math.floor(n * s) for n, s in zip(before, by, strict=True)]
    wanted = list(at.whole(sizes, "the sizes"))
    policy = at.text("keep_aspect_ratio_policy", "stretch")
    by = [w / n for w, n in zip(wanted, before, strict=True)]
    if policy != "stretch":
        one = min(by) if policy == "not_larger" else max(by)
        by = [one] * len(by)
        wanted = [math.floor(one * n + 0.5) for n in before]
    return by, wanted


def _resized(
    at: Call, x: Item, axes: Sequence[int], by: Sequence[float], to: Sequence[int], edges: Sequence[tuple[float, float]]
) -> Item:
    rule = Rule(at)
    for axis, size in zip(axes, to, strict=True):
        if size > MOST * x.shape[axis]:
            raise FormatError(
                f"{at.where} makes {size} of the {x.shape[axis]} of dim {axis}; at most {MOST} times as many"
            )
    changed = [
        (axis, scale, size, edge)
        for axis, scale, size, edge in zip(axes, by, to, edges, strict=True)
        if rule.place == "tf_crop_and_resize" or size != x.shape[axis] or scale != 1
    ]
    if not changed:
        return x
    if mode := _mode_of_torch(rule, x, changed):
        first = min(axis for axis, *_ in changed)
        scale_of = {axis: scale for axis, scale, *_ in changed}
        size_of = {axis: size for axis, _, size, _ in changed}
        rest = range(first, x.ndim)
        return at(
            "interpolate", x, size=tuple(size_of.get(d, x.shape[d]) for d in rest), mode=mode,
            align_corners=rule.place == "align_corners", scales=tuple(scale_of.get(d, 1.0) for d in rest),
        )  # fmt: skip
    return _by_matrices(at, x, rule, changed)


Changed = Sequence[tuple[int, float, int, tuple[float, float]]]


def _mode_of_torch(rule: Rule, x: Item, changed: Changed) -> str:
    """What torch.nn.functional.interpolate calls it; "" where it has no such thing."""
    if rule.antialias or rule.exclude or not x.floating or any(axis < 2 for axis, *_ in changed):
        return ""
    if rule.mode == "nearest":
        if (rule.place, rule.nearest) == ("asymmetric", "floor"):
            return "nearest"
        return ""
    usual = rule.place == "half_pixel" or (
        rule.place == "align_corners" and all(size == scale * x.shape[axis] for axis, scale, size, _ in changed)
    )
    usual = usual or (rule.place == "pytorch_half_pixel" and all(size > 1 for _, _, size, _ in changed))
    if not usual or (rule.mode == "cubic" and rule.cubic != -0.75):
        return ""
    return "linear" if rule.mode == "linear" else "cubic"


def _by_matrices(at: Call, x: Item, rule: Rule, changed: Changed) -> Item:
    kind, outside = x.element, None
    if not x.floating:
        x = at.cast(x, ELEMENTS[1])
    for axis, scale, size, edge in changed:
        before = x.shape[axis]
        places = rule.places(before, size, scale, edge)
        out = rule.beyond(places, before)
        if rule.mode == "nearest":
            x = at("index", x, at.constant(rule.chosen(places, before)), dims=(axis,))
        else:
            matrix = rule.matrix(places, before, scale)
            dims = [d for d in range(x.ndim) if d != axis] + [axis]
            back = np.argsort(dims).tolist()
            x = at(
                "permute", at("linear", at("permute", x, dims=tuple(dims)), at.constant(matrix, x)), dims=tuple(back)
            )
        if out.any():
            shape = [-1 if d == axis else 1 for d in range(x.ndim)]
            outside = out.reshape(shape) if outside is None else outside | out.reshape(shape)
    if outside is not None:
        x = at("where", at.constant(outside), at.constant(rule.filling, x), x)
    return x if x.element is kind else at.cast(x, kind)


@operator("Upsample")
def upsample(at: Call, x: Item, scales: Item | None = None) -> Item:
    """Resize as it was before opset 10."""
    by = at.numbers("scales") if scales is None else [float(s) for s in at.values(scales, "the scales").reshape(-1)]
    to = [math.floor(n * s) for n, s in zip(x.shape, by, strict=True)]
    rule = Rule(at)
    rule.place, rule.nearest = "asymmetric", "floor"
    changed = [(d, s, n, (0.0, 1.0)) for d, (s, n) in enumerate(zip(by, to, strict=True)) if s != 1]
    if not changed:
        return x
    if rule.mode == "nearest" and all(d > 1 for d, *_ in changed) and x.floating:
        sizes, factors = tuple(to[2:]), tuple(by[2:])
        return at("interpolate", x, size=sizes, mode="nearest", align_corners=False, scales=factors)
    return _by_matrices(at, x, rule, changed)
