"""VGG, plain and with batch norm (torchvision.models.vgg)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import nn
from ..tensor import Tensor
from .weights import refuse_weights

_STAGES = {"A": (1, 1, 2, 2, 2), "B": (2, 2, 2, 2, 2), "D": (2, 2, 3, 3, 3), "E": (2, 2, 4, 4, 4)}
_PLANES = (64, 128, 256, 512, 512)


def _layout(counts: Sequence[int]) -> list[str | int]:
    """As many convolutions as each stage has, and a pool after them."""
    layout: list[str | int] = []
    for count, planes in zip(counts, _PLANES, strict=True):
        layout += [*[planes] * count, "M"]
    return layout


cfgs = {name: _layout(counts) for name, counts in _STAGES.items()}


def make_layers(cfg: Sequence[str | int], batch_norm: bool = False) -> nn.Sequential:
    """The convolutions of a configuration: a number is a 3x3 convolution to that many planes, "M" a pool."""
    layers: list[nn.Module] = []
    inplanes = 3
    for item in cfg:
        if isinstance(item, str):
            layers.append(nn.MaxPool2d(kernel_size=2, stride=2))
            continue
        layers.append(nn.Conv2d(inplanes, item, kernel_size=3, padding=1))
        if batch_norm:
            layers.append(nn.BatchNorm2d(item))
        layers.append(nn.ReLU(inplace=True))
        inplanes = item
    return nn.Sequential(*layers)


class VGG(nn.Module):
    """The convolutions given and three linear layers. Shapes: (N, 3, H, W), from 32 px → (N, num_classes)."""

    def __init__(
        self, features: nn.Module, num_classes: int = 1000, init_weights: bool = True, dropout: float = 0.5
    ) -> None:
        super().__init__()
        self.features = features
        self.avgpool = nn.AdaptiveAvgPool2d((7, 7))
        self.classifier = nn.Sequential(
            nn.Linear(512 * 7 * 7, 4096),
            nn.ReLU(True),
            nn.Dropout(p=dropout),
            nn.Linear(4096, 4096),
            nn.ReLU(True),
            nn.Dropout(p=dropout),
            nn.Linear(4096, num_classes),
        )
        if init_weights:
            self._init_weights()

    def _init_weights(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                nn.init.zeros_(module.bias)
            elif isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, 0, 0.01)
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Scores of the classes."""
        x = self.avgpool(self.features(x)).flatten(1)
        return self.classifier(x)  # type: ignore[no-any-return]


def _vgg(name: str, cfg: str, batch_norm: bool, weights: Any, pretrained: Any, **options: Any) -> VGG:
    refuse_weights(name, weights, pretrained)
    return VGG(make_layers(cfgs[cfg], batch_norm), **options)


def vgg11(weights: Any = None, progress: bool = True, *, pretrained: Any = False, **kwargs: Any) -> VGG:
    """VGG with 11 layers."""
    return _vgg("vgg11", "A", False, weights, pretrained, **kwargs)


def vgg11_bn(weights: Any = None, progress: bool = True, *, pretrained: Any = False, **kwargs: Any) -> VGG:
    """VGG with 11 layers and batch norm."""
    return _vgg("vgg11_bn", "A", True, weights, pretrained, **kwargs)


def vgg13(weights: Any = None, progress: bool = True, *, pretrained: Any = False, **kwargs: Any) -> VGG:
    """VGG with 13 layers."""
    return _vgg("vgg13", "B", False, weights, pretrained, **kwargs)


def vgg13_bn(weights: Any = None, progress: bool = True, *, pretrained: Any = False, **kwargs: Any) -> VGG:
    """VGG with 13 layers and batch norm."""
    return _vgg("vgg13_bn", "B", True, weights, pretrained, **kwargs)


def vgg16(weights: Any = None, progress: bool = True, *, pretrained: Any = False, **kwargs: Any) -> VGG:
    """VGG with 16 layers."""
    return _vgg("vgg16", "D", False, weights, pretrained, **kwargs)


def vgg16_bn(weights: Any = None, progress: bool = True, *, pretrained: Any = False, **kwargs: Any) -> VGG:
    """VGG with 16 layers and batch norm."""
    return _vgg("vgg16_bn", "D", True, weights, pretrained, **kwargs)


def vgg19(weights: Any = None, progress: bool = True, *, pretrained: Any = False, **kwargs: Any) -> VGG:
    """VGG with 19 layers."""
    return _vgg("vgg19", "E", False, weights, pretrained, **kwargs)


def vgg19_bn(weights: Any = None, progress: bool = True, *, pretrained: Any = False, **kwargs: Any) -> VGG:
    """VGG with 19 layers and batch norm."""
    return _vgg("vgg19_bn", "E", True, weights, pretrained, **kwargs)
