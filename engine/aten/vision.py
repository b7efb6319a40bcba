"""Operators of torchvision that programs name."""

from __future__ import annotations

from typing import Any

from ..nn.functional import boxes
from ..tensor import Tensor
from .table import aten, enter, refuse

enter("torchvision::nms", boxes.nms)
refuse("torchvision::box_iou_rotated", "boxes have no angle here")


@aten("torchvision::roi_align")
def _(
    input: Tensor, rois: Tensor, spatial_scale: float, pooled_height: Any, pooled_width: Any, sampling_ratio: int,
    aligned: bool,
) -> Tensor:  # fmt: skip
    size = int(pooled_height), int(pooled_width)
    return boxes.roi_align(input, rois, size, spatial_scale, sampling_ratio, aligned)
