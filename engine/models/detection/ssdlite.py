"""SSDLite, SSD of depthwise convolutions over MobileNet V3 (torchvision.models.detection.ssdlite)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from ... import nn
from ...tensor import Tensor
from ..blocks import Conv2dNormActivation
from ..mobilenetv3 import mobilenet_v3_large
from ..weights import refuse_both
from .anchor_utils import DefaultBoxGenerator
from .ssd import CLASSES, SSD, SSDScoringHead

Norm = Callable[..., nn.Module]
PLANES = (512, 256, 256, 128)


def _predictors(in_channels: Sequence[int], num_anchors: Sequence[int], columns: int, norm: Norm) -> SSDScoringHead:
    """For each feature map a 3x3 on each channel alone, and a 1x1."""
    heads = [
        nn.Sequential(
            Conv2dNormActivation(count, count, 3, groups=count, norm_layer=norm, activation_layer=nn.ReLU6),
            nn.Conv2d(count, columns * each, 1),
        )
        for count, each in zip(in_channels, num_anchors, strict=True)
    ]
    return SSDScoringHead(_normal(nn.ModuleList(heads)), columns)


class SSDLiteHead(nn.Module):
    """What is in each box, and where it really lies."""

    def __init__(
        self, in_channels: Sequence[int], num_anchors: Sequence[int], num_classes: int, norm_layer: Norm
    ) -> None:
        super().__init__()
        self.classification_head = _predictors(in_channels, num_anchors, num_classes, norm_layer)
        self.regression_head = _predictors(in_channels, num_anchors, 4, norm_layer)

    def forward(self, x: Sequence[Tensor]) -> dict[str, Tensor]:
        """Scores (N, A, classes) and codes of boxes (N, A, 4)."""
        return {"bbox_regression": self.regression_head(x), "cls_logits": self.classification_head(x)}


class SSDLiteFeatureExtractorMobileNet(nn.Module):
    """Six feature maps: of a MobileNet V3's C4, of its end, and of four layers behind it.

    C4's map is taken from the middle of that block, before it makes the picture smaller. Source: section 6.3 of
    https://arxiv.org/abs/1905.02244.
    """

    def __init__(
        self, backbone: nn.Sequential, c4_pos: int, norm_layer: Norm, width_mult: float = 1.0, min_depth: int = 16
    ) -> None:
        super().__init__()
        c4 = backbone[c4_pos]
        if c4.use_res_connect:
            raise ValueError(f"layer {c4_pos} has a shortcut; expected a block that makes the picture smaller")
        self.features = nn.Sequential(
            nn.Sequential(*backbone[:c4_pos], c4.block[0]), nn.Sequential(c4.block[1:], *backbone[c4_pos + 1 :])
        )
        planes = [backbone[-1].out_channels, *(max(min_depth, int(count * width_mult)) for count in PLANES)]
        pairs = zip(planes[:-1], planes[1:], strict=True)
        self.extra: nn.ModuleList = _normal(nn.ModuleList([_halving(*pair, norm_layer) for pair in pairs]))
        self.out_channels = [c4.block[0].out_channels, *planes]

    def forward(self, x: Tensor) -> OrderedDict[str, Tensor]:
        """(N, 3, H, W) → the feature maps, from fine to coarse."""
        maps = OrderedDict[str, Tensor]()
        for number, block in enumerate((*self.features, *self.extra)):
            x = maps[str(number)] = block(x)
        return maps


def _halving(inplanes: int, planes: int, norm: Norm) -> nn.Sequential:
    """A 1x1 to half the planes, a 3x3 on each alone with stride 2, and a 1x1 to the planes."""
    active = partial(Conv2dNormActivation, norm_layer=norm, activation_layer=nn.ReLU6)
    inner = planes // 2
    return nn.Sequential(
        active(inplanes, inner, kernel_size=1),
        active(inner, inner, kernel_size=3, stride=2, groups=inner),
        active(inner, planes, kernel_size=1),
    )


def _normal(part: Any) -> Any:
    for layer in part.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.normal_(layer.weight, 0.0, 0.03)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return part


def ssdlite320_mobilenet_v3_large(
    weights: Any = None,
    progress: bool = True,
    num_classes: int | None = None,
    weights_backbone: Any = None,
    trainable_backbone_layers: int | None = None,
    norm_layer: Norm | None = None,
    *,
    pretrained: Any = False,
    pretrained_backbone: Any = False,
    reduced_tail: bool = True,
    **kwargs: Any,
) -> SSD:
    """SSDLite over MobileNet V3 large, for pictures of 320 px.

    `reduced_tail` halves the backbone's last blocks, as in torchvision's trained detector; it does not where it is told
    to begin with a trained backbone.
    """
    refuse_both("ssdlite320_mobilenet_v3_large", weights, weights_backbone, pretrained, pretrained_backbone)
    norm = norm_layer or partial(nn.BatchNorm2d, eps=0.001, momentum=0.03)
    layers: Any = _normal(mobilenet_v3_large(norm_layer=norm, reduced_tail=reduced_tail)).features
    c4 = [place for place, layer in enumerate(layers) if getattr(layer, "_is_cn", False)][-1]
    extractor = SSDLiteFeatureExtractorMobileNet(layers, c4, norm)
    generator = DefaultBoxGenerator([[2, 3]] * 6, min_ratio=0.2, max_ratio=0.95)
    classes = num_classes or CLASSES
    head = SSDLiteHead(extractor.out_channels, generator.num_anchors_per_location(), classes, norm)
    options: dict[str, Any] = {
        "score_thresh": 0.001, "nms_thresh": 0.55, "detections_per_img": 300, "topk_candidates": 300,
        "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5],
    }  # fmt: skip
    return SSD(extractor, generator, (320, 320), classes, head=head, **(options | kwargs))
