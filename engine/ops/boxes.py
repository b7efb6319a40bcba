"""Boxes (x1, y1, x2, y2) around things in a picture: how much they overlap, which to keep, and what they hold."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..dtype import Array
from ..errors import ShapeError
from .primitive import primitive
from .windows import Ints


@primitive
def nms(
    boxes: Array, scores: Array, groups: Array | None = None, *, iou_threshold: float, most: int | None = None
) -> Array:
    """The places of the boxes that no better one overlaps by more than the threshold, the best first.

    Shapes: boxes (N, 4), scores (N), groups (N) → (kept). Boxes of different groups leave each other alone; with `most`
    no more are looked for. Source: torchvision.ops.nms, batched_nms.
    """
    count = len(boxes)
    if boxes.shape != (count, 4) or scores.shape != (count,) or (groups is not None and groups.shape != (count,)):
        raise ShapeError(f"nms: boxes {boxes.shape} with scores {scores.shape}; expected (N, 4) and (N)")
    order = np.argsort(-scores, kind="stable")
    corners, alive = boxes[order], np.ones(count, bool)
    kinds = np.zeros(count, np.int64) if groups is None else np.unique(groups[order], return_inverse=True)[1]
    members = _by_kind(kinds)
    kept: list[int] = []
    for place in range(count):
        if len(kept) == most:
            break
        if alive[place]:
            kept.append(place)
            same = members[kinds[place]]
            worse = same[np.searchsorted(same, place) + 1 :]
            worse = worse[alive[worse]]
            alive[worse[overlaps(corners[place], corners[worse]) > iou_threshold]] = False
    return order[np.array(kept, np.int64)]


def _by_kind(kinds: Array) -> list[Array]:
    """The places of each kind, in order."""
    order = np.argsort(kinds, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(kinds[order])) + 1)


def overlaps(box: Array, others: Array) -> Array:
    """What a box (4) shares with each of the others (N, 4), as a part of what the two cover together."""
    sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    shared = np.prod(np.maximum(sides, 0), axis=1)
    covered = np.prod(box[2:] - box[:2]) + np.prod(others[:, 2:] - others[:, :2], axis=1) - shared
    part: Array = np.divide(shared, covered, out=np.zeros_like(shared), where=covered > 0)
    return part


@primitive
def roi_align(
    x: Array, rois: Array, *, size: Ints, scale: float = 1.0, ratio: int = -1, aligned: bool = False
) -> Array:
    """Regions of images, each brought to one size: means of samples between the pixels.

    Shapes: x (N, C, H, W), rois (K, 5) of (number of the image, x1, y1, x2, y2), in x by `scale` → (K, C, *size).
    `ratio` samples a side for each element, by default as many as there are pixels. Source: torchvision.ops.roi_align.
    """
    out = np.empty((len(rois), x.shape[1], *size), x.dtype)
    for place, (image, rows, columns, down, across) in enumerate(
        _regions(x.shape, x.dtype, rois, size, scale, ratio, aligned)
    ):
        out[place] = down @ x[image, :, rows, columns] @ across.T
    return out


@roi_align.gradient
def _(
    g: Array, _out: None, _x: None, rois: Array, *, size: Ints, scale: float = 1.0, ratio: int = -1,
    aligned: bool = False, shapes: tuple[Ints, Ints],
) -> tuple[Array, None]:  # fmt: skip
    found = np.zeros(shapes[0], g.dtype)
    for place, (image, rows, columns, down, across) in enumerate(
        _regions(shapes[0], g.dtype, rois, size, scale, ratio, aligned)
    ):
        found[image, :, rows, columns] += down.T @ g[place] @ across
    return found, None


Region = tuple[int, slice, slice, Array, Array]


def _regions(
    shape: Ints, dtype: Any, rois: Array, size: Ints, scale: float, ratio: int, aligned: bool
) -> Iterator[Region]:
    """Each region's image, the rows and columns that count, and how much they do for each element."""
    if rois.ndim != 2 or rois.shape[1] != 5:
        raise ShapeError(f"roi_align: regions {rois.shape}; expected (K, 5), the first the number of the image")
    images, boxes = rois[:, 0].astype(np.int64), rois[:, 1:].astype(dtype) * dtype.type(scale)
    if len(images) and not 0 <= images.min() <= images.max() < shape[0]:
        raise ShapeError(f"roi_align: images {images.min()} to {images.max()} of {shape[0]}")
    starts, extents = boxes[:, 1::-1], boxes[:, 3:1:-1] - boxes[:, 1::-1]  # of rows, then columns
    if aligned:
        starts = starts - dtype.type(0.5)
    else:
        extents = np.maximum(extents, 1)
    for image, start, extent in zip(images.tolist(), starts, extents, strict=True):
        down, across = (_weights(*part, ratio) for part in zip(start, extent, size, shape[2:], strict=True))
        yield image, down[0], across[0], down[1], across[1]


def _weights(start: Any, extent: Any, count: int, length: int, ratio: int) -> tuple[slice, Array]:
    """The pixels of a side that count, and (count, pixels) how much: two of them for each sample within the image."""
    each = ratio if ratio > 0 else max(0, int(np.ceil(extent / count)))
    steps = (np.arange(each) + 0.5) / max(each, 1)
    places = start + (np.arange(count)[:, None] + steps) * (extent / count)
    share = np.where((places >= -1) & (places <= length), 1 / max(each, 1), 0)
    places = np.clip(places, 0, length - 1)
    low = places.astype(np.int64)
    high, rest = np.minimum(low + 1, length - 1), places - low
    first, last = (int(low.min()), int(high.max())) if each else (0, 0)
    matrix = np.zeros((count, last - first + 1), np.result_type(extent))
    rows = np.arange(count)[:, None]
    np.add.at(matrix, (rows, low - first), share * (1 - rest))
    np.add.at(matrix, (rows, high - first), share * rest)
    return slice(first, last + 1), matrix
