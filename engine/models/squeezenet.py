"""SqueezeNet (torchvision.models.squeezenet)."""

from __future__ import annotations

from typing import Any

from .. import nn
from ..functions import cat
from ..tensor import Tensor
from .weights import refuse_weights

# The first convolution's planes and kernel size; then "M" is a pool, and n a Fire that squeezes to n planes.
_LAYOUTS: dict[str, tuple[tuple[int, int], tuple[str | int, ...]]] = {
    "1_0": ((96, 7), ("M", 16, 16, 32, "M", 32, 48, 48, 64, "M", 64)),
    "1_1": ((64, 3), ("M", 16, 16, "M", 32, 32, "M", 48, 48, 64, 64)),
}


class Fire(nn.Module):
    """A 1x1 convolution to few planes, then a 1x1 and a 3x3 side by side."""

    def __init__(self, inplanes: int, squeeze_planes: int, expand1x1_planes: int, expand3x3_planes: int) -> None:
        super().__init__()
        self.inplanes = inplanes
        self.squeeze = nn.Conv2d(inplanes, squeeze_planes, kernel_size=1)
        self.squeeze_activation = nn.ReLU(inplace=True)
        self.expand1x1 = nn.Conv2d(squeeze_planes, expand1x1_planes, kernel_size=1)
        self.expand1x1_activation = nn.ReLU(inplace=True)
        self.expand3x3 = nn.Conv2d(squeeze_planes, expand3x3_planes, kernel_size=3, padding=1)
        self.expand3x3_activation = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Both branches' planes, the 1x1's first."""
        x = self.squeeze_activation(self.squeeze(x))
        narrow, wide = self.expand1x1_activation(self.expand1x1(x)), self.expand3x3_activation(self.expand3x3(x))
        return cat([narrow, wide], 1)


class SqueezeNet(nn.Module):
    """Fire modules between two convolutions; version "1_0" or "1_1". Shapes: (N, 3, H, W) → (N, num_classes)."""

    def __init__(self, version: str = "1_0", num_classes: int = 1000, dropout: float = 0.5) -> None:
        super().__init__()
        if version not in _LAYOUTS:
            raise ValueError(f"SqueezeNet: version {version!r}; expected one of {', '.join(_LAYOUTS)}")
        (planes, kernel_size), layout = _LAYOUTS[version]
        self.num_classes = num_classes
        layers: list[nn.Module] = [nn.Conv2d(3, planes, kernel_size, stride=2), nn.ReLU(inplace=True)]
        for item in layout:
            if isinstance(item, str):
                layers.append(nn.MaxPool2d(kernel_size=3, stride=2, ceil_mode=True))
            else:
                layers.append(Fire(planes, item, 4 * item, 4 * item))
                planes = 8 * item
        self.features = nn.Sequential(*layers)
        final = nn.Conv2d(512, num_classes, kernel_size=1)
        self.classifier = nn.Sequential(
            nn.Dropout(p=dropout), final, nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d((1, 1))
        )
        self._init_weights(final)

    def _init_weights(self, final: nn.Conv2d) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                if module is final:
                    nn.init.normal_(module.weight, mean=0.0, std=0.01)
                else:
                    nn.init.kaiming_uniform_(module.weight)
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Scores of the classes."""
        x = self.classifier(self.features(x))
        return x.flatten(1)


def squeezenet1_0(weights: Any = None, progress: bool = True, *, pretrained: Any = False, **kwargs: Any) -> SqueezeNet:
    """SqueezeNet 1.0."""
    refuse_weights("squeezenet1_0", weights, pretrained)
    return SqueezeNet("1_0", **kwargs)


def squeezenet1_1(weights: Any = None, progress: bool = True, *, pretrained: Any = False, **kwargs: Any) -> SqueezeNet:
    """SqueezeNet 1.1: 2.4 times less work than 1.0."""
    refuse_weights("squeezenet1_1", weights, pretrained)
    return SqueezeNet("1_1", **kwargs)
