"""MobileNet V3 (torchvision.models.mobilenetv3)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from .. import nn
from ..tensor import Tensor
from .blocks import Conv2dNormActivation, SqueezeExcitation, _make_divisible
from .weights import refuse_weights

Norm = Callable[..., nn.Module]

# Channels in, kernel, channels within, channels out, squeeze and excitation, activation, stride; the last three blocks
# are the tail, which may be dilated and halved. Source: tables 1 and 2 of https://arxiv.org/abs/1905.02244.
_LARGE = (
    (16, 3, 16, 16, False, "RE", 1), (16, 3, 64, 24, False, "RE", 2), (24, 3, 72, 24, False, "RE", 1),
    (24, 5, 72, 40, True, "RE", 2), (40, 5, 120, 40, True, "RE", 1), (40, 5, 120, 40, True, "RE", 1),
    (40, 3, 240, 80, False, "HS", 2), (80, 3, 200, 80, False, "HS", 1), (80, 3, 184, 80, False, "HS", 1),
    (80, 3, 184, 80, False, "HS", 1), (80, 3, 480, 112, True, "HS", 1), (112, 3, 672, 112, True, "HS", 1),
    (112, 5, 672, 160, True, "HS", 2), (160, 5, 960, 160, True, "HS", 1), (160, 5, 960, 160, True, "HS", 1),
)  # fmt: skip
_SMALL = (
    (16, 3, 16, 16, True, "RE", 2), (16, 3, 72, 24, False, "RE", 2), (24, 3, 88, 24, False, "RE", 1),
    (24, 5, 96, 40, True, "HS", 2), (40, 5, 240, 40, True, "HS", 1), (40, 5, 240, 40, True, "HS", 1),
    (40, 5, 120, 48, True, "HS", 1), (48, 5, 144, 48, True, "HS", 1), (48, 5, 288, 96, True, "HS", 2),
    (96, 5, 576, 96, True, "HS", 1), (96, 5, 576, 96, True, "HS", 1),
)  # fmt: skip
_ARCHITECTURES = {"mobilenet_v3_large": (_LARGE, 1280), "mobilenet_v3_small": (_SMALL, 1024)}
_TAIL = 3


class InvertedResidualConfig:
    """The sizes of one block, with its channels made as many as `width_mult` says."""

    def __init__(
        self,
        input_channels: int,
        kernel: int,
        expanded_channels: int,
        out_channels: int,
        use_se: bool,
        activation: str,
        stride: int,
        dilation: int,
        width_mult: float,
    ) -> None:
        self.input_channels = self.adjust_channels(input_channels, width_mult)
        self.kernel = kernel
        self.expanded_channels = self.adjust_channels(expanded_channels, width_mult)
        self.out_channels = self.adjust_channels(out_channels, width_mult)
        self.use_se = use_se
        self.use_hs = activation == "HS"
        self.stride = stride
        self.dilation = dilation

    @staticmethod
    def adjust_channels(channels: int, width_mult: float) -> int:
        """So many channels, as a multiple of 8."""
        return _make_divisible(channels * width_mult, 8)


class InvertedResidual(nn.Module):
    """More planes by a 1x1, a filter on each plane alone, squeeze and excitation, and back to few by a 1x1."""

    def __init__(
        self,
        cnf: InvertedResidualConfig,
        norm_layer: Norm,
        se_layer: Callable[..., nn.Module] | None = None,
    ) -> None:
        super().__init__()
        if cnf.stride not in (1, 2):
            raise ValueError(f"InvertedResidual: stride {cnf.stride}; expected 1 or 2")
        self.use_res_connect = cnf.stride == 1 and cnf.input_channels == cnf.out_channels
        active = partial(
            Conv2dNormActivation, norm_layer=norm_layer, activation_layer=nn.Hardswish if cnf.use_hs else nn.ReLU
        )
        hidden = cnf.expanded_channels
        layers: list[nn.Module] = []
        if hidden != cnf.input_channels:
            layers.append(active(cnf.input_channels, hidden, kernel_size=1))
        stride = 1 if cnf.dilation > 1 else cnf.stride
        layers.append(active(hidden, hidden, cnf.kernel, stride, dilation=cnf.dilation, groups=hidden))
        if cnf.use_se:
            squeeze = se_layer or partial(SqueezeExcitation, scale_activation=nn.Hardsigmoid)
            layers.append(squeeze(hidden, _make_divisible(hidden // 4, 8)))
        layers.append(Conv2dNormActivation(hidden, cnf.out_channels, 1, norm_layer=norm_layer, activation_layer=None))
        self.block = nn.Sequential(*layers)
        self.out_channels = cnf.out_channels
        self._is_cn = cnf.stride > 1

    def forward(self, input: Tensor) -> Tensor:
        """`out_channels` planes at the block's stride."""
        result: Tensor = self.block(input)
        return result + input if self.use_res_connect else result


class MobileNetV3(nn.Module):
    """Inverted residual blocks. Shapes: (N, 3, H, W) → (N, num_classes)."""

    def __init__(
        self,
        inverted_residual_setting: Sequence[InvertedResidualConfig],
        last_channel: int,
        num_classes: int = 1000,
        block: Callable[..., nn.Module] | None = None,
        norm_layer: Norm | None = None,
        dropout: float = 0.2,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        if not inverted_residual_setting:
            raise ValueError("inverted_residual_setting is empty; expected an InvertedResidualConfig for each block")
        block = block or InvertedResidual
        norm = norm_layer or partial(nn.BatchNorm2d, eps=0.001, momentum=0.01)
        active = partial(Conv2dNormActivation, norm_layer=norm, activation_layer=nn.Hardswish)
        outplanes = inverted_residual_setting[-1].out_channels
        self.features = nn.Sequential(
            active(3, inverted_residual_setting[0].input_channels, 3, 2),
            *[block(setting, norm) for setting in inverted_residual_setting],
            active(outplanes, 6 * outplanes, 1),
        )
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(
            nn.Linear(6 * outplanes, last_channel),
            nn.Hardswish(inplace=True),
            nn.Dropout(p=dropout, inplace=True),
            nn.Linear(last_channel, num_classes),
        )
        self._init_weights()

    def _init_weights(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, 0, 0.01)
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Scores of the classes."""
        return self.classifier(self.avgpool(self.features(x)).flatten(1))  # type: ignore[no-any-return]


def _mobilenet_v3_conf(
    arch: str, width_mult: float = 1.0, reduced_tail: bool = False, dilated: bool = False, **kwargs: Any
) -> tuple[list[InvertedResidualConfig], int]:
    """The blocks of an architecture, and the channels of its last hidden layer."""
    blocks, last = _ARCHITECTURES[arch]
    part = 2 if reduced_tail else 1
    settings = []
    for place, (inplanes, kernel, hidden, planes, squeezed, activation, stride) in enumerate(blocks):
        behind = place - (len(blocks) - _TAIL)  # 0: the first of the tail
        inplanes, hidden = (inplanes // part, hidden // part) if behind > 0 else (inplanes, hidden)
        planes, dilation = (planes // part, 2 if dilated else 1) if behind >= 0 else (planes, 1)
        settings.append(
            InvertedResidualConfig(inplanes, kernel, hidden, planes, squeezed, activation, stride, dilation, width_mult)
        )
    return settings, InvertedResidualConfig.adjust_channels(last // part, width_mult)


def _mobilenet_v3(arch: str, weights: Any, pretrained: Any, **options: Any) -> MobileNetV3:
    refuse_weights(arch, weights, pretrained)
    return MobileNetV3(*_mobilenet_v3_conf(arch, **options), **options)


def mobilenet_v3_large(
    weights: Any = None, progress: bool = True, *, pretrained: Any = False, **kwargs: Any
) -> MobileNetV3:
    """MobileNet V3 large."""
    return _mobilenet_v3("mobilenet_v3_large", weights, pretrained, **kwargs)


def mobilenet_v3_small(
    weights: Any = None, progress: bool = True, *, pretrained: Any = False, **kwargs: Any
) -> MobileNetV3:
    """MobileNet V3 small."""
    return _mobilenet_v3("mobilenet_v3_small", weights, pretrained, **kwargs)
