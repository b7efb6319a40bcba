"""Operators of torchvision that programs name."""

from __future__ import annotations

from ..nn.functional import boxes
from .table import enter, refuse

enter("torchvision::nms", boxes.nms)
refuse("torchvision::box_iou_rotated", "boxes have no angle here")
