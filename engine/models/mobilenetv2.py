"""MobileNet V2 (torchvision.models.mobilenetv2)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from .. import nn
from ..tensor import Tensor
from .blocks import Conv2dNormActivation, _make_divisible
from .weights import refuse_weights

Norm = Callable[[int], nn.Module]

# Expansion, planes, blocks and first stride of each stage.
_STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))


class InvertedResidual(nn.Module):
    """More planes by a 1x1, a 3x3 on each plane alone, and back to few by a 1x1; with a shortcut where shapes allow."""

    def __init__(self, inp: int, oup: int, stride: int, expand_ratio: int, norm_layer: Norm | None = None) -> None:
        super().__init__()
        if stride not in (1, 2):
            raise ValueError(f"InvertedResidual: stride {stride}; expected 1 or 2")
        norm = norm_layer or nn.BatchNorm2d
        hidden = round(inp * expand_ratio)
        self.stride = stride
        self.use_res_connect = stride == 1 and inp == oup
        active = partial(Conv2dNormActivation, norm_layer=norm, activation_layer=nn.ReLU6)
        widened = [active(inp, hidden, kernel_size=1)] if expand_ratio != 1 else []
        depthwise = active(hidden, hidden, 3, stride, groups=hidden)
        self.conv = nn.Sequential(*widened, depthwise, nn.Conv2d(hidden, oup, 1, bias=False), norm(oup))
        self.out_channels = oup

    def forward(self, x: Tensor) -> Tensor:
        """`oup` planes at the block's stride."""
        out: Tensor = self.conv(x)
        return x + out if self.use_res_connect else out


class MobileNetV2(nn.Module):
    """Inverted residual blocks. Shapes: (N, 3, H, W) → (N, num_classes)."""

    def __init__(
        self,
        num_classes: int = 1000,
        width_mult: float = 1.0,
        inverted_residual_setting: Sequence[Sequence[int]] | None = None,
        round_nearest: int = 8,
        block: Callable[..., nn.Module] | None = None,
        norm_layer: Norm | None = None,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        block, norm = block or InvertedResidual, norm_layer or nn.BatchNorm2d
        planes = _make_divisible(32 * width_mult, round_nearest)
        self.last_channel = _make_divisible(1280 * max(1.0, width_mult), round_nearest)
        active = partial(Conv2dNormActivation, norm_layer=norm, activation_layer=nn.ReLU6)
        features: list[nn.Module] = [active(3, planes, stride=2)]
        for expansion, wanted, blocks, stride in inverted_residual_setting or _STAGES:
            outplanes = _make_divisible(wanted * width_mult, round_nearest)
            for i in range(blocks):
                features.append(block(planes, outplanes, 1 if i else stride, expansion, norm))
                planes = outplanes
        features.append(active(planes, self.last_channel, kernel_size=1))
        self.features = nn.Sequential(*features)
        self.classifier = nn.Sequential(nn.Dropout(p=dropout), nn.Linear(self.last_channel, num_classes))
        self._init_weights()

    def _init_weights(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")
            elif isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, 0, 0.01)
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Scores of the classes."""
        x = nn.functional.adaptive_avg_pool2d(self.features(x), (1, 1)).flatten(1)
        return self.classifier(x)  # type: ignore[no-any-return]


def mobilenet_v2(weights: Any = None, progress: bool = True, *, pretrained: Any = False, **kwargs: Any) -> MobileNetV2:
    """MobileNet V2."""
    refuse_weights("mobilenet_v2", weights, pretrained)
    return MobileNetV2(**kwargs)
