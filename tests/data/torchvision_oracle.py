"""torchvision as an oracle, also where its compiled operators are missing.

Its import registers shape rules for operators (nms and others) that a wheel built for another torch cannot bring along;
nothing compared here needs them, so those registrations are passed over while it is imported. Of the operators
themselves nms and roi_align are needed: where they are missing, nms is one written here, box by box, and roi_align the
one of torchvision's that is written in Python.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from types import ModuleType
from typing import Any


def torchvision() -> ModuleType:
    """The torchvision module; ModuleNotFoundError where it or torch is not installed."""
    import torch

    register = torch.library.register_fake

    def register_known(name: Any, *rest: Any, **options: Any) -> Callable[..., Any]:
        if isinstance(name, str) and name.startswith("torchvision::"):
            return lambda function: function
        return register(name, *rest, **options)

    torch.library.register_fake = register_known
    try:
        import torchvision as module
    finally:
        torch.library.register_fake = register
    if not module.extension._has_ops():
        _define_operators(module)
        module.extension._has_ops = _there_are
        module.extension._assert_has_ops = module.ops.boxes._assert_has_ops = _no_objection
    return module


def _define_operators(module: ModuleType) -> None:
    import torch

    library = torch.library.Library("torchvision", "FRAGMENT")
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.define("box_iou_rotated(Tensor boxes1, Tensor boxes2) -> Tensor")  # which scripts name beside it
    library.define(
        "roi_align(Tensor input, Tensor rois, float spatial_scale, SymInt pooled_height, SymInt pooled_width,"
        " int sampling_ratio, bool aligned) -> Tensor"
    )
    library.impl("nms", nms_by_hand, "CPU")
    library.impl("roi_align", importlib.import_module("torchvision.ops.roi_align")._roi_align, "CPU")
    _LIBRARIES.append(library)  # what it defines goes with it


def _there_are() -> bool:
    return True


def _no_objection() -> None:
    return None


_LIBRARIES: list[Any] = []


def nms_by_hand(boxes: Any, scores: Any, threshold: float) -> Any:
    """Box by box, the best first: kept where no kept one covers more than the threshold of what both cover."""
    import torch

    kept: list[int] = []
    corners = boxes.tolist()
    for place in scores.argsort(descending=True, stable=True).tolist():
        if all(_overlap(corners[place], corners[better]) <= threshold for better in kept):
            kept.append(place)
    return torch.tensor(kept, dtype=torch.int64)


def _overlap(one: list[float], other: list[float]) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(width, 0) * max(height, 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return shared / (sum(areas) - shared) if shared else 0.0
