"""Pools and resizing, checked against loops over every window."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .case import case, some

X = some(2, 3, 6, 5)
TIES = np.random.default_rng(1).integers(0, 2, (1, 2, 5, 6)).astype(np.float64)


def _window(x: np.ndarray, index: tuple[int, ...], a: dict[str, Any]) -> dict[tuple[int, ...], np.ndarray]:
    """What a window holds of the input, by place."""
    held = {}
    for point in itertools.product(*map(range, a["kernel"])):
        spread = zip(index, point, a["stride"], a["dilation"], a["padding"], strict=True)
        place = tuple(i * s + p * d - before for i, p, s, d, (before, _) in spread)
        if all(0 <= p < n for p, n in zip(place, x.shape[2:], strict=True)):
            held[place] = x[(slice(None), slice(None), *place)]
    return held


def _each(x: np.ndarray, counts: tuple[int, ...], a: dict[str, Any], function: Callable[..., Any]) -> np.ndarray:
    out = np.empty((*x.shape[:2], *counts))
    for index in np.ndindex(*counts):
        out[(slice(None), slice(None), *index)] = function(_window(x, index, a), index)
    return out


def _max_case(x: np.ndarray, counts: tuple[int, ...], places: bool = False, **given: Any) -> Any:
    dims = len(counts)
    a = {"stride": given["kernel"], "padding": ((0, 0),) * dims, "dilation": (1,) * dims, "ceil_mode": False, **given}
    flat = np.arange(math.prod(x.shape[2:])).reshape(x.shape[2:])

    def largest(held: Any, _: Any) -> Any:
        return np.max(list(held.values()), axis=0)

    def where(held: Any, _: Any) -> Any:
        return np.array([flat[p] for p in held])[np.argmax(list(held.values()), axis=0)]

    return case(x, **a, reference=lambda x: _each(x, counts, a, where if places else largest))


def _avg_case(x: np.ndarray, counts: tuple[int, ...], **given: Any) -> Any:
    dims = len(counts)
    a = {
        "stride": given["kernel"], "padding": ((0, 0),) * dims, "ceil_mode": False,
        "count_include_pad": True, "divisor": None, **given,
    }  # fmt: skip

    def size(index: tuple[int, ...], held: Any) -> int:
        if a["divisor"]:
            return a["divisor"]
        if not a["count_include_pad"]:
            return len(held)
        ends = zip(index, a["kernel"], a["stride"], a["padding"], x.shape[2:], strict=True)
        return math.prod(min(i * s - before + k, n + after) - (i * s - before) for i, k, s, (before, after), n in ends)

    def mean(held: Any, index: tuple[int, ...]) -> Any:
        return sum(held.values()) / size(index, held)

    return case(x, **a, reference=lambda x: _each(x, counts, {**a, "dilation": (1,) * dims}, mean))


WINDOWS: list[tuple[np.ndarray, tuple[int, ...], dict[str, Any]]] = [
    (X, (3, 2), {"kernel": (2, 2)}),
    (X, (3, 3), {"kernel": (3, 3), "stride": (2, 2), "padding": ((1, 1), (1, 1))}),
    (X, (3, 2), {"kernel": (2, 3), "stride": (2, 3), "ceil_mode": True}),
    (X, (2, 2), {"kernel": (2, 2), "stride": (4, 4), "ceil_mode": True}),
    (some(1, 1, 2, 3), (1, 2), {"kernel": (2, 2), "stride": (3, 3), "padding": ((1, 1), (1, 1)), "ceil_mode": True}),
    (X, (2, 2), {"kernel": (1, 1), "stride": (4, 3)}),
    (some(2, 2, 7), (3,), {"kernel": (3,), "stride": (2,)}),
    (np.zeros((0, 2, 4, 4)), (2, 2), {"kernel": (2, 2)}),
]
DILATED: tuple[np.ndarray, tuple[int, ...], dict[str, Any]] = (
    X,
    (2, 3),
    {"kernel": (3, 2), "stride": (1, 1), "dilation": (2, 2)},
)


def _adaptive(x: np.ndarray, size: tuple[int, int], function: Callable[..., Any]) -> np.ndarray:
    out = np.empty((*x.shape[:2], *size))
    for index in np.ndindex(*size):
        part = tuple(slice(i * n // s, -(-(i + 1) * n // s)) for i, n, s in zip(index, x.shape[2:], size, strict=True))
        out[(..., *index)] = function(x[(..., *part)], part)
    return out


FLAT = np.arange(30).reshape(6, 5)
ADAPTIVE = [(1, 1), (3, 2), (4, 5), (8, 3)]


def _first_place(window: np.ndarray, part: tuple[slice, ...]) -> np.ndarray:
    return FLAT[part].ravel()[window.reshape(*window.shape[:2], -1).argmax(-1)]


def _resized(**attributes: Any) -> Any:
    """torch is the reference; the formulas' other writing would be the same formulas."""
    names = {"linear": "bilinear", "cubic": "bicubic", "lanczos": "lanczos"}
    mode, scales = attributes["mode"].removeprefix("antialias-"), attributes.get("scales")
    options: dict[str, Any] = {"mode": names.get(mode, mode), "size": attributes["size"]}
    if mode in names:
        options["align_corners"] = attributes.get("align_corners", False)
    if mode != attributes["mode"]:
        options["antialias"] = True
    if scales:
        options.pop("size")
        options["scale_factor"] = scales
    return case(X, **attributes, torch=lambda t, x: t.nn.functional.interpolate(x, **options))


ROWS = {
    "max_pool": [
        *(_max_case(x, counts, **given) for x, counts, given in [*WINDOWS, DILATED]),
        case(
            TIES,
            kernel=(2, 3),
            stride=(1, 2),
            padding=((1, 1), (1, 1)),
            dilation=(1, 1),
            ceil_mode=False,
            smooth=False,
            torch=lambda t, x: t.nn.functional.max_pool2d(x, (2, 3), (1, 2), 1),
        ),
    ],
    "max_pool_indices": [
        _max_case(x, counts, True, **given)
        for x, counts, given in [*WINDOWS[:-1], DILATED, (TIES, (2, 3), {"kernel": (2, 2)})]
    ],
    "avg_pool": [
        *(_avg_case(x, counts, **given) for x, counts, given in WINDOWS),
        *(_avg_case(x, counts, **given, count_include_pad=False) for x, counts, given in WINDOWS),
        _avg_case(X, (3, 2), kernel=(2, 2), divisor=3),
    ],
    "adaptive_max_pool": [
        case(X, size=size, reference=lambda x, s=size: _adaptive(x, s, lambda w, _: w.max((-2, -1))))
        for size in ADAPTIVE
    ],
    "adaptive_max_pool_indices": [
        case(X, size=size, reference=lambda x, s=size: _adaptive(x, s, _first_place)) for size in ADAPTIVE
    ],
    "interpolate": [
        *(
            case(X, size=size, mode="area", reference=lambda x, s=size: _adaptive(x, s, lambda w, _: w.mean((-2, -1))))
            for size in ADAPTIVE
        ),
        case(X, size=(3, 15), mode="nearest", reference=lambda x: x[:, :, ::2].repeat(3, axis=3)),
        case(
            X,
            size=(11, 9),
            mode="linear",
            align_corners=True,
            torch=lambda t, x: t.nn.functional.interpolate(x, (11, 9), mode="bilinear", align_corners=True),
            reference=lambda x: _between(_between(x, 2), 3),
        ),
        _resized(size=(4, 13), mode="nearest"),
        _resized(size=(4, 13), mode="nearest-exact"),
        _resized(size=(10, 8), mode="nearest", scales=(1.7, 1.7)),
        _resized(size=(4, 13), mode="linear"),
        _resized(size=(10, 8), mode="linear", scales=(1.7, 1.7)),
        _resized(size=(4, 13), mode="cubic"),
        _resized(size=(1, 13), mode="cubic", align_corners=True),
        *(_resized(size=size, mode=f"antialias-{mode}") for mode in ("linear", "cubic") for size in ((2, 3), (9, 2))),
        _resized(size=(2, 3), mode="antialias-linear", align_corners=True),
        _resized(size=(3, 2), mode="antialias-cubic", scales=(0.6, 0.55)),
        _resized(size=(2, 3), mode="antialias-lanczos"),
    ],
    "pixel_shuffle": [
        case(
            some(2, 8, 2, 3),
            factor=2,
            reference=lambda x: _shuffled(x),
            torch=lambda t, x: t.nn.functional.pixel_shuffle(x, 2),
        )
    ],
    "pixel_unshuffle": [
        case(
            some(2, 2, 4, 6),
            factor=2,
            reference=lambda x: _unshuffled(x),
            torch=lambda t, x: t.nn.functional.pixel_unshuffle(x, 2),
        )
    ],
}


def _between(x: np.ndarray, axis: int) -> np.ndarray:
    """The values of an axis with the mean of neighbours between them."""
    x = np.moveaxis(x, axis, 0)
    out = np.empty((2 * len(x) - 1, *x.shape[1:]))
    out[::2], out[1::2] = x, (x[1:] + x[:-1]) / 2
    return np.moveaxis(out, 0, axis)


def _shuffled(x: np.ndarray) -> np.ndarray:
    out = np.empty((len(x), x.shape[1] // 4, x.shape[2] * 2, x.shape[3] * 2))
    for i, j in np.ndindex(2, 2):
        out[:, :, i::2, j::2] = x[:, 2 * i + j :: 4]
    return out


def _unshuffled(x: np.ndarray) -> np.ndarray:
    out = np.empty((len(x), x.shape[1] * 4, x.shape[2] // 2, x.shape[3] // 2))
    for i, j in np.ndindex(2, 2):
        out[:, 2 * i + j :: 4] = x[:, :, i::2, j::2]
    return out
