"""Boxes, and which of them to keep."""

import math

import numpy as np

from .case import case, some

# The second covers 0.8 of what the first two cover together, the fourth 0.5; the fifth has no area.
BOXES = np.array([
    [0, 0, 10, 10], [0, 0, 10, 8], [20, 20, 30, 30], [0, 0, 5, 10], [3, 3, 3, 3], [21, 20, 31, 30],
], float)  # fmt: skip
SCORES = np.array([0.9, 0.8, 0.5, 0.7, 0.6, 0.95])
CLASSES = np.array([0, 1, 0, 0, 0, 1])


def kept(*places):
    return lambda *_: np.array(places, np.int64)


IMAGES = some(2, 3, 7, 9)
# The second lies partly outside, the third is thin, the fourth leaves the picture altogether.
REGIONS = np.array([[0, 2, 1, 13, 9], [1, -4, 2, 11, 20], [1, 5, 3, 5, 12], [0, 40, 40, 44, 48], [0, 0, 0, 3, 3]])


def sample(image: np.ndarray, y: float, x: float) -> np.ndarray:
    """The channels between four pixels, nothing beyond a pixel outside."""
    (height, width), total = image.shape[1:], np.zeros(len(image))
    if not (-1 <= y <= height and -1 <= x <= width):
        return total
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    for row in range(height):
        for column in range(width):
            total += image[:, row, column] * max(0, 1 - abs(y - row)) * max(0, 1 - abs(x - column))
    return total


def aligned(size, scale, ratio, half):
    """Region by region, element by element, sample by sample."""

    def reference(images, regions):
        out = np.zeros((len(regions), images.shape[1], *size))
        for k, (n, *box) in enumerate(regions.tolist()):
            left, top, right, bottom = (side * scale - (0.5 if half else 0) for side in box)
            high, wide = bottom - top, right - left
            high, wide = (high, wide) if half else (max(high, 1), max(wide, 1))
            rows, columns = (ratio if ratio > 0 else math.ceil(s / c) for s, c in zip((high, wide), size, strict=True))
            for i, j, a, b in np.ndindex(*size, rows, columns):
                y = top + (i + (a + 0.5) / rows) * high / size[0]
                x = left + (j + (b + 0.5) / columns) * wide / size[1]
                out[k, :, i, j] += sample(images[n], y, x) / (rows * columns)
        return out

    return reference


ROWS = {
    "roi_align": [
        case(
            IMAGES,
            REGIONS,
            size=size,
            scale=scale,
            ratio=ratio,
            aligned=half,
            reference=aligned(size, scale, ratio, half),
        )
        for size, scale, ratio, half in [
            ((2, 3), 0.5, 2, False),
            ((3, 2), 0.5, -1, True),
            ((1, 1), 1.0, 0, False),
            ((4, 4), 0.25, 1, True),
        ]
    ],
    "nms": [
        case(BOXES, SCORES, iou_threshold=0.6, smooth=False, reference=kept(5, 0, 3, 4)),
        case(BOXES, SCORES, iou_threshold=0.4, smooth=False, reference=kept(5, 0, 4)),
        case(BOXES, SCORES, iou_threshold=0.9, smooth=False, reference=kept(5, 0, 1, 3, 4, 2)),
        case(BOXES, SCORES, CLASSES, iou_threshold=0.4, smooth=False, reference=kept(5, 0, 1, 4, 2)),
        case(BOXES, SCORES, CLASSES, iou_threshold=0.4, most=3, smooth=False, reference=kept(5, 0, 1)),
        case(BOXES[:0], SCORES[:0], iou_threshold=0.5, smooth=False, reference=kept()),
    ],
}
