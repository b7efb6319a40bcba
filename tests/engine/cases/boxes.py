"""Boxes, and which of them to keep."""

import numpy as np

from .case import case

# The second covers 0.8 of what the first two cover together, the fourth 0.5; the fifth has no area.
BOXES = np.array([
    [0, 0, 10, 10], [0, 0, 10, 8], [20, 20, 30, 30], [0, 0, 5, 10], [3, 3, 3, 3], [21, 20, 31, 30],
], float)  # fmt: skip
SCORES = np.array([0.9, 0.8, 0.5, 0.7, 0.6, 0.95])
CLASSES = np.array([0, 1, 0, 0, 0, 1])


def kept(*places):
    return lambda *_: np.array(places, np.int64)


ROWS = {
    "nms": [
        case(BOXES, SCORES, iou_threshold=0.6, smooth=False, reference=kept(5, 0, 3, 4)),
        case(BOXES, SCORES, iou_threshold=0.4, smooth=False, reference=kept(5, 0, 4)),
        case(BOXES, SCORES, iou_threshold=0.9, smooth=False, reference=kept(5, 0, 1, 3, 4, 2)),
        case(BOXES, SCORES, CLASSES, iou_threshold=0.4, smooth=False, reference=kept(5, 0, 1, 4, 2)),
        case(BOXES, SCORES, CLASSES, iou_threshold=0.4, most=3, smooth=False, reference=kept(5, 0, 1)),
        case(BOXES[:0], SCORES[:0], iou_threshold=0.5, smooth=False, reference=kept()),
    ],
}
