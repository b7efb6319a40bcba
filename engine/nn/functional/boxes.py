"""Boxes as tensors (N, 4) of (x1, y1, x2, y2), with x1 <= x2 and y1 <= y2. Source: torchvision.ops.boxes."""

from __future__ import annotations

from collections.abc import Sequence

from ...errors import UnsupportedOpError
from ...functions import cat, maximum, minimum
from ...ops import boxes as kernels
from ...tensor import Tensor
from .shared import many, one

__all__ = [
    "batched_nms",
    "box_area",
    "box_convert",
    "box_iou",
    "clip_boxes_to_image",
    "nms",
    "remove_small_boxes",
    "roi_align",
]

FORMS = ("xyxy", "xywh", "cxcywh")


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """The places of the boxes that no better one overlaps by more than the threshold, the best first."""
    return one(kernels.nms, boxes, scores, iou_threshold=iou_threshold)


def batched_nms(boxes: Tensor, scores: Tensor, idxs: Tensor, iou_threshold: float, most: int | None = None) -> Tensor:
    """nms() among the boxes of each class, which `idxs` (N) names; with `most` no more than the best so many."""
    return one(kernels.nms, boxes, scores, idxs, iou_threshold=iou_threshold, most=most)


def box_area(boxes: Tensor) -> Tensor:
    """(N, 4) → (N)."""
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def box_iou(boxes1: Tensor, boxes2: Tensor) -> Tensor:
    """What each pair shares, as a part of what it covers: (N, 4), (M, 4) → (N, M)."""
    sides = minimum(boxes1[:, None, 2:], boxes2[:, 2:]) - maximum(boxes1[:, None, :2], boxes2[:, :2])
    shared = sides.clamp(min=0).prod(2)
    return shared / (box_area(boxes1)[:, None] + box_area(boxes2) - shared)


def box_convert(boxes: Tensor, in_fmt: str, out_fmt: str) -> Tensor:
    """Boxes (…, 4) in another form: xyxy, xywh (corner and size) or cxcywh (centre and size)."""
    for form in (in_fmt, out_fmt):
        if form not in FORMS:
            raise UnsupportedOpError(f"box_convert: {form!r}; expected one of {', '.join(FORMS)}")
    first, second = boxes[..., :2], boxes[..., 2:]
    low = first - second / 2 if in_fmt == "cxcywh" else first
    high = second if in_fmt == "xyxy" else low + second
    if out_fmt == "xyxy":
        return cat([low, high], -1)
    return cat([low if out_fmt == "xywh" else (low + high) / 2, high - low], -1)


def clip_boxes_to_image(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Boxes (…, 4) without what lies outside a picture of `size` (height, width)."""
    height, width = size
    x, y = boxes[..., 0::2].clamp(0, width), boxes[..., 1::2].clamp(0, height)
    return cat([x[..., :1], y[..., :1], x[..., 1:], y[..., 1:]], -1)


def remove_small_boxes(boxes: Tensor, min_size: float) -> Tensor:
    """The places of the boxes whose sides are both at least `min_size` long."""
    sides = boxes[:, 2:] - boxes[:, :2]
    places: Tensor = (sides >= min_size).all(1).nonzero(as_tuple=True)[0]
    return places


def roi_align(
    input: Tensor,
    boxes: Tensor | Sequence[Tensor],
    output_size: int | tuple[int, int],
    spatial_scale: float = 1.0,
    sampling_ratio: int = -1,
    aligned: bool = False,
) -> Tensor:
    """What boxes hold of images (N, C, H, W), each brought to one size: (K, C, *output_size).

    `boxes` (K, 5) begin with the number of the image, or are a list with (L, 4) for each image.
    """
    if not isinstance(boxes, Tensor):
        boxes = cat([cat([some.new_full((len(some), 1), n), some], 1) for n, some in enumerate(boxes)])
    size = many(output_size, 2)
    how = {"scale": float(spatial_scale), "ratio": int(sampling_ratio), "aligned": bool(aligned)}
    return one(kernels.roi_align, input, boxes, size=size, **how)
