"""DeepLabV3 over a dilated ResNet or MobileNet V3 (torchvision.models.segmentation.deeplabv3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ... import nn
from ...functions import cat
from ...nn.functional import interpolate
from ...tensor import Tensor
from ..blocks import IntermediateLayerGetter
from ..mobilenetv3 import MobileNetV3, mobilenet_v3_large
from ..resnet import ResNet, resnet50, resnet101
from ..weights import refuse_both
from .base import CLASSES, SegmentationModel
from .fcn import DILATED, FCNHead, layers_of

RATES = (12, 24, 36)


class DeepLabV3(SegmentationModel):
    """A segmentation model, whose classifier is a DeepLabHead as a rule."""


class ASPPConv(nn.Sequential):
    """A dilated 3x3 convolution that keeps the size."""

    def __init__(self, in_channels: int, out_channels: int, dilation: int) -> None:
        super().__init__(
            nn.Conv2d(in_channels, out_channels, 3, padding=dilation, dilation=dilation, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(),
        )


class ASPPPooling(nn.Sequential):
    """The mean of the whole picture, at every pixel."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(in_channels, out_channels, 1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(),
        )

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) → (N, out_channels, H, W)."""
        return interpolate(super().forward(input), size=input.shape[-2:], mode="bilinear", align_corners=False)


class ASPP(nn.Module):
    """Atrous spatial pyramid pooling: views of several widths side by side, brought to `out_channels`."""

    def __init__(self, in_channels: int, atrous_rates: Sequence[int], out_channels: int = 256) -> None:
        super().__init__()
        narrow = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 1, bias=False), nn.BatchNorm2d(out_channels), nn.ReLU()
        )
        wide = [ASPPConv(in_channels, out_channels, rate) for rate in atrous_rates]
        self.convs = nn.ModuleList([narrow, *wide, ASPPPooling(in_channels, out_channels)])
        self.project = nn.Sequential(
            nn.Conv2d(len(self.convs) * out_channels, out_channels, 1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(),
            nn.Dropout(0.5),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) → (N, out_channels, H, W)."""
        return self.project(cat([conv(x) for conv in self.convs], 1))  # type: ignore[no-any-return]


class DeepLabHead(nn.Sequential):
    """ASPP, a 3x3 convolution, and a 1x1 to the classes."""

    def __init__(self, in_channels: int, num_classes: int, atrous_rates: Sequence[int] = RATES) -> None:
        super().__init__(
            ASPP(in_channels, atrous_rates),
            nn.Conv2d(256, 256, 3, padding=1, bias=False),
            nn.BatchNorm2d(256),
            nn.ReLU(),
            nn.Conv2d(256, num_classes, 1),
        )


def _over_resnet(backbone: ResNet, num_classes: int, aux: bool | None) -> DeepLabV3:
    second = FCNHead(1024, num_classes) if aux else None
    return DeepLabV3(layers_of(backbone, aux), DeepLabHead(2048, num_classes), second)


def _over_mobilenet(backbone: MobileNetV3, num_classes: int, aux: bool | None) -> DeepLabV3:
    """The last layer (C5), and for the second head the last one of stride 8 that begins a stage (C2)."""
    layers: Any = backbone.features
    starts = [place for place, layer in enumerate(layers) if getattr(layer, "_is_cn", False)]
    last, early = len(layers) - 1, [0, *starts, len(layers) - 1][-4]
    taken = IntermediateLayerGetter(layers, {str(last): "out", **({str(early): "aux"} if aux else {})})
    second = FCNHead(layers[early].out_channels, num_classes) if aux else None
    return DeepLabV3(taken, DeepLabHead(layers[last].out_channels, num_classes), second)


def deeplabv3_resnet50(
    weights: Any = None,
    progress: bool = True,
    num_classes: int | None = None,
    aux_loss: bool | None = None,
    **asked: Any,
) -> DeepLabV3:
    """DeepLabV3 over ResNet-50, with a second head where `aux_loss` is true."""
    refuse_both("deeplabv3_resnet50", weights, **asked)
    return _over_resnet(resnet50(replace_stride_with_dilation=DILATED), num_classes or CLASSES, aux_loss)


def deeplabv3_resnet101(
    weights: Any = None,
    progress: bool = True,
    num_classes: int | None = None,
    aux_loss: bool | None = None,
    **asked: Any,
) -> DeepLabV3:
    """DeepLabV3 over ResNet-101, with a second head where `aux_loss` is true."""
    refuse_both("deeplabv3_resnet101", weights, **asked)
    return _over_resnet(resnet101(replace_stride_with_dilation=DILATED), num_classes or CLASSES, aux_loss)


def deeplabv3_mobilenet_v3_large(
    weights: Any = None,
    progress: bool = True,
    num_classes: int | None = None,
    aux_loss: bool | None = None,
    **asked: Any,
) -> DeepLabV3:
    """DeepLabV3 over a dilated MobileNet V3 large, with a second head where `aux_loss` is true."""
    refuse_both("deeplabv3_mobilenet_v3_large", weights, **asked)
    return _over_mobilenet(mobilenet_v3_large(dilated=True), num_classes or CLASSES, aux_loss)
