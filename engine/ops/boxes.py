"""Boxes (x1, y1, x2, y2) around things in a picture: how much they overlap, and which of them to keep."""

from __future__ import annotations

import numpy as np

from ..dtype import Array
from ..errors import ShapeError
from .primitive import primitive


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
    members = _by_group(np.zeros(count, np.int64) if groups is None else groups[order])
    kept: list[int] = []
    for place in range(count):
        if len(kept) == most:
            break
        if alive[place]:
            kept.append(place)
            worse = members[place]
            worse = worse[alive[worse]]
            alive[worse[overlaps(corners[place], corners[worse]) > iou_threshold]] = False
    return order[np.array(kept, np.int64)]


def _by_group(groups: Array) -> list[Array]:
    """For each place the later ones of its group."""
    later: list[Array] = [np.zeros(0, np.int64)] * len(groups)
    order = np.argsort(groups, kind="stable")
    for same in np.split(order, np.flatnonzero(np.diff(groups[order])) + 1):
        for number, place in enumerate(same.tolist()):
            later[place] = same[number + 1 :]
    return later


def overlaps(box: Array, others: Array) -> Array:
    """What a box (4) shares with each of the others (N, 4), as a part of what the two cover together."""
    sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    shared = np.prod(np.maximum(sides, 0), axis=1)
    covered = np.prod(box[2:] - box[:2]) + np.prod(others[:, 2:] - others[:, :2], axis=1) - shared
    part: Array = np.divide(shared, covered, out=np.zeros_like(shared), where=covered > 0)
    return part
