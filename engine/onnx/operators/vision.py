"""Operators on images and boxes."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...errors import FormatError
from ..calls import Call
from ..items import Item
from .table import operator

_SAMPLED = {
    "linear": "bilinear",
    "cubic": "bicubic",
    "bilinear": "bilinear",
    "bicubic": "bicubic",
    "nearest": "nearest",
}


@operator("GridSample")
def grid_sample(at: Call, x: Item, grid: Item) -> Item:
    """An image at the places of a grid."""
    return at(
        "grid_sample", x, at.cast(grid, x.element), mode=_SAMPLED[at.text("mode", "linear")],
        padding_mode=at.text("padding_mode", "zeros"), align_corners=at.flag("align_corners"),
    )  # fmt: skip


@operator("AffineGrid")
def affine_grid(at: Call, theta: Item, size: Item) -> Item:
    """The places that an affine map sends an image's pixels to."""
    batch, _, *sizes = at.whole(size, "the size")
    align = at.flag("align_corners")

    def steps(count: int) -> Any:
        if align:
            return np.linspace(-1, 1, count)
        return (np.arange(count) * 2 + 1) / count - 1

    axes = np.meshgrid(*map(steps, sizes), indexing="ij")
    places = np.stack([*reversed(axes), np.ones(sizes)], -1).reshape(1, -1, len(sizes) + 1)
    rows = at("matmul", at.constant(places, theta), at("permute", theta, dims=(0, 2, 1)))
    return at("reshape", rows, shape=(batch, *sizes, len(sizes)))


@operator("NonMaxSuppression")
def non_max_suppression(
    at: Call,
    boxes: Item,
    scores: Item,
    most: Item | None = None,
    overlap: Item | None = None,
    least: Item | None = None,
) -> Item:
    """The best boxes of each class, without those that overlap a better one too much."""
    count = 0 if most is None else int(at.one(most, "the number of boxes"))
    threshold = 0.0 if overlap is None else float(at.one(overlap, "the overlap"))
    lowest = None if least is None else float(at.one(least, "the least score"))
    centred = at.flag("center_point_box")

    def chosen(all_boxes: np.ndarray, all_scores: np.ndarray) -> np.ndarray:
        found = []
        for image, (corners, classes) in enumerate(zip(all_boxes, all_scores, strict=True)):
            sides = _sides(corners, centred)
            for kind, row in enumerate(classes):
                found += [(image, kind, box) for box in _best(sides, row, count, threshold, lowest)]
        return np.array(found, np.int64).reshape(-1, 3)

    return at.constant(at.hosted(chosen, boxes, scores))


def _sides(boxes: np.ndarray, centred: bool) -> np.ndarray:
    """Boxes as low and high corners."""
    if centred:
        middle, half = boxes[:, :2], boxes[:, 2:] / 2
        return np.concatenate([middle - half, middle + half], 1)
    return np.concatenate([np.minimum(boxes[:, :2], boxes[:, 2:]), np.maximum(boxes[:, :2], boxes[:, 2:])], 1)


def _best(sides: np.ndarray, scores: np.ndarray, most: int, threshold: float, lowest: float | None) -> list[int]:
    order = [int(n) for n in np.argsort(-scores, kind="stable") if lowest is None or scores[n] > lowest]
    areas = np.prod(sides[:, 2:] - sides[:, :2], axis=1)
    kept: list[int] = []
    for box in order:
        if len(kept) >= most:
            break
        low = np.maximum(sides[kept, :2], sides[box, :2])
        high = np.minimum(sides[kept, 2:], sides[box, 2:])
        shared = np.prod(np.maximum(high - low, 0), axis=1)
        whole = areas[kept] + areas[box] - shared
        if not np.any(shared > threshold * whole):
            kept.append(box)
    return kept


@operator("RoiAlign")
def roi_align(at: Call, x: Item, rois: Item, images: Item) -> Item:
    """Regions of images, each brought to one size by samples between the pixels."""
    mode = at.text("mode", "avg")
    if mode not in ("avg", "max"):
        raise FormatError(f"mode {mode!r}; expected avg or max")
    size = at.integer("output_height", 1), at.integer("output_width", 1)
    scale, ratio = at.number("spatial_scale", 1.0), at.integer("sampling_ratio", 0)
    half = at.version >= 16 and at.text("coordinate_transformation_mode", "half_pixel") == "half_pixel"

    def aligned(pixels: np.ndarray, boxes: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        out = np.zeros((len(boxes), pixels.shape[1], *size), pixels.dtype)
        for n, (box, image) in enumerate(zip(boxes.astype(np.float64), numbers, strict=True)):
            left, top, right, bottom = box * scale - (0.5 if half else 0.0)
            extents = [bottom - top, right - left]
            extents = extents if half else [max(e, 1.0) for e in extents]
            starts = (top, left)
            axes = [_samples(s, e, c, ratio) for s, e, c in zip(starts, extents, size, strict=True)]
            out[n] = _pooled(pixels[image], axes, size, mode)
        return out

    return Item(at.hosted(aligned, x, rois, images), x.element)


def _samples(start: float, extent: float, count: int, ratio: int) -> np.ndarray:
    """The places of the samples along one side, a row for each part of the region."""
    each = ratio if ratio > 0 else max(1, int(np.ceil(extent / count)))
    part = extent / count
    return start + (np.arange(count)[:, None] + (np.arange(each) + 0.5) / each) * part


def _pooled(image: np.ndarray, axes: list[np.ndarray], size: tuple[int, int], mode: str) -> np.ndarray:
    corners = []
    for places, length in zip(axes, image.shape[1:], strict=True):
        flat = places.reshape(-1)
        inside = (flat >= -1) & (flat <= length)
        flat = np.clip(flat, 0, length - 1)
        low = flat.astype(np.int64)
        high = np.minimum(low + 1, length - 1)
        rest = flat - low
        corners.append([(low, np.where(inside, 1 - rest, 0)), (high, np.where(inside, rest, 0))])
    parts = [
        image[:, rows[:, None], columns] * (by_row[:, None] * by_column)
        for rows, by_row in corners[0]
        for columns, by_column in corners[1]
    ]
    whole = np.sum(parts, axis=0) if mode == "avg" else np.max(parts, axis=0)
    blocks = whole.reshape(len(image), size[0], -1, size[1], axes[1].shape[1])
    result = blocks.mean((2, 4)) if mode == "avg" else blocks.max((2, 4))
    return np.asarray(result)
