"""Operators of torchvision that programs name."""

from __future__ import annotations

from ..nn.functional import boxes
from .table import enter

enter("torchvision::nms", boxes.nms)
