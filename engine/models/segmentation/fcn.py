"""Fully convolutional networks over a dilated ResNet (torchvision.models.segmentation.fcn)."""

from __future__ import annotations

from typing import Any

from ... import nn
from ..blocks import IntermediateLayerGetter
from ..resnet import ResNet, resnet50, resnet101
from ..weights import refuse_both
from .base import CLASSES, SegmentationModel

DILATED = (False, True, True)


class FCN(SegmentationModel):
    """A segmentation model, whose classifier is an FCNHead as a rule."""


class FCNHead(nn.Sequential):
    """A 3x3 convolution to a quarter of the channels, and a 1x1 to the classes."""

    def __init__(self, in_channels: int, channels: int) -> None:
        inner = in_channels // 4
        super().__init__(
            nn.Conv2d(in_channels, inner, 3, padding=1, bias=False),
            nn.BatchNorm2d(inner),
            nn.ReLU(),
            nn.Dropout(0.1),
            nn.Conv2d(inner, channels, 1),
        )


def layers_of(backbone: ResNet, aux: bool | None) -> IntermediateLayerGetter:
    """The layers of a ResNet that a segmentation model reads."""
    return IntermediateLayerGetter(backbone, {"layer4": "out", **({"layer3": "aux"} if aux else {})})


def _fcn(backbone: ResNet, num_classes: int, aux: bool | None) -> FCN:
    second = FCNHead(1024, num_classes) if aux else None
    return FCN(layers_of(backbone, aux), FCNHead(2048, num_classes), second)


def fcn_resnet50(
    weights: Any = None,
    progress: bool = True,
    num_classes: int | None = None,
    aux_loss: bool | None = None,
    **asked: Any,
) -> FCN:
    """FCN over ResNet-50, with a second head where `aux_loss` is true."""
    refuse_both("fcn_resnet50", weights, **asked)
    return _fcn(resnet50(replace_stride_with_dilation=DILATED), num_classes or CLASSES, aux_loss)


def fcn_resnet101(
    weights: Any = None,
    progress: bool = True,
    num_classes: int | None = None,
    aux_loss: bool | None = None,
    **asked: Any,
) -> FCN:
    """FCN over ResNet-101, with a second head where `aux_loss` is true."""
    refuse_both("fcn_resnet101", weights, **asked)
    return _fcn(resnet101(replace_stride_with_dilation=DILATED), num_classes or CLASSES, aux_loss)
