"""DenseNet (torchvision.models.densenet)."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from .. import nn
from ..functions import cat
from ..tensor import Tensor
from .weights import refuse_weights

# Checkpoints from before torchvision 0.2 say norm.1 where today's modules say norm1.
_OLD_KEY = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.([12])(?=\.)")


class _DenseLayer(nn.Module):
    """Two normed convolutions that add `growth_rate` planes to all planes before them."""

    def __init__(
        self, num_input_features: int, growth_rate: int, bn_size: int, drop_rate: float, memory_efficient: bool = False
    ) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(num_input_features)
        self.relu1 = nn.ReLU(inplace=True)
        self.conv1 = nn.Conv2d(num_input_features, bn_size * growth_rate, kernel_size=1, stride=1, bias=False)
        self.norm2 = nn.BatchNorm2d(bn_size * growth_rate)
        self.relu2 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(bn_size * growth_rate, growth_rate, kernel_size=3, stride=1, padding=1, bias=False)
        self.drop_rate = float(drop_rate)
        self.memory_efficient = memory_efficient

    def forward(self, input: Tensor | list[Tensor]) -> Tensor:
        before = input if isinstance(input, Tensor) else cat(input, 1)
        narrow = self.conv1(self.relu1(self.norm1(before)))
        added: Tensor = self.conv2(self.relu2(self.norm2(narrow)))
        return nn.functional.dropout(added, self.drop_rate, self.training) if self.drop_rate else added


class _DenseBlock(nn.ModuleDict):
    """Dense layers, each fed with the planes of all before it."""

    def __init__(
        self,
        num_layers: int,
        num_input_features: int,
        bn_size: int,
        growth_rate: int,
        drop_rate: float,
        memory_efficient: bool = False,
    ) -> None:
        super().__init__()
        for i in range(num_layers):
            features = num_input_features + i * growth_rate
            layer = _DenseLayer(features, growth_rate, bn_size, drop_rate, memory_efficient)
            self.add_module(f"denselayer{i + 1}", layer)

    def forward(self, init_features: Tensor) -> Tensor:
        features = [init_features]
        for layer in self.values():
            features.append(layer(features))
        return cat(features, 1)


class _Transition(nn.Sequential):
    """Fewer planes of half the size, between two blocks."""

    def __init__(self, num_input_features: int, num_output_features: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(num_input_features)
        self.relu = nn.ReLU(inplace=True)
        self.conv = nn.Conv2d(num_input_features, num_output_features, kernel_size=1, stride=1, bias=False)
        self.pool = nn.AvgPool2d(kernel_size=2, stride=2)


class DenseNet(nn.Module):
    """Blocks of densely connected layers. Shapes: (N, 3, H, W), from 29 px → (N, num_classes).

    `memory_efficient` is accepted for torchvision's sake and changes nothing.
    """

    def __init__(
        self,
        growth_rate: int = 32,
        block_config: Sequence[int] = (6, 12, 24, 16),
        num_init_features: int = 64,
        bn_size: int = 4,
        drop_rate: float = 0,
        num_classes: int = 1000,
        memory_efficient: bool = False,
    ) -> None:
        super().__init__()
        first: list[tuple[str, nn.Module]] = [
            ("conv0", nn.Conv2d(3, num_init_features, kernel_size=7, stride=2, padding=3, bias=False)),
            ("norm0", nn.BatchNorm2d(num_init_features)),
            ("relu0", nn.ReLU(inplace=True)),
            ("pool0", nn.MaxPool2d(kernel_size=3, stride=2, padding=1)),
        ]
        self.features = nn.Sequential(OrderedDict(first))
        planes = num_init_features
        for i, layers in enumerate(block_config, 1):
            block = _DenseBlock(layers, planes, bn_size, growth_rate, drop_rate, memory_efficient)
            self.features.add_module(f"denseblock{i}", block)
            planes += layers * growth_rate
            if i < len(block_config):
                self.features.add_module(f"transition{i}", _Transition(planes, planes // 2))
                planes //= 2
        self.features.add_module("norm5", nn.BatchNorm2d(planes))
        self.classifier = nn.Linear(planes, num_classes)
        self._init_weights()

    def _init_weights(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Scores of the classes."""
        x = nn.functional.relu(self.features(x))
        x = nn.functional.adaptive_avg_pool2d(x, (1, 1)).flatten(1)
        return self.classifier(x)  # type: ignore[no-any-return]

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        """Take old key names too."""
        for key in [key for key in state_dict if key.startswith(prefix)]:
            renamed = _OLD_KEY.sub(r"\1\2", key)
            if renamed != key:
                state_dict[renamed] = state_dict.pop(key)
        super()._load_from_state_dict(state_dict, prefix, *rest)


def _densenet(
    name: str, growth: int, blocks: Sequence[int], first: int, weights: Any, pretrained: Any, **options: Any
) -> DenseNet:
    refuse_weights(name, weights, pretrained)
    return DenseNet(growth, blocks, first, **options)


def densenet121(weights: Any = None, progress: bool = True, *, pretrained: Any = False, **kwargs: Any) -> DenseNet:
    """DenseNet-121."""
    return _densenet("densenet121", 32, (6, 12, 24, 16), 64, weights, pretrained, **kwargs)


def densenet161(weights: Any = None, progress: bool = True, *, pretrained: Any = False, **kwargs: Any) -> DenseNet:
    """DenseNet-161."""
    return _densenet("densenet161", 48, (6, 12, 36, 24), 96, weights, pretrained, **kwargs)


def densenet169(weights: Any = None, progress: bool = True, *, pretrained: Any = False, **kwargs: Any) -> DenseNet:
    """DenseNet-169."""
    return _densenet("densenet169", 32, (6, 12, 32, 32), 64, weights, pretrained, **kwargs)


def densenet201(weights: Any = None, progress: bool = True, *, pretrained: Any = False, **kwargs: Any) -> DenseNet:
    """DenseNet-201."""
    return _densenet("densenet201", 32, (6, 12, 48, 32), 64, weights, pretrained, **kwargs)
