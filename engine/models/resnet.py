"""ResNet, ResNeXt and Wide ResNet (torchvision.models.resnet)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .. import nn
from ..tensor import Tensor
from .weights import refuse_weights

Norm = Callable[[int], nn.Module]


def conv3x3(in_planes: int, out_planes: int, stride: int = 1, groups: int = 1, dilation: int = 1) -> nn.Conv2d:
    """A 3x3 convolution that keeps the size at stride 1."""
    return nn.Conv2d(in_planes, out_planes, 3, stride, dilation, dilation, groups, bias=False)


def conv1x1(in_planes: int, out_planes: int, stride: int = 1) -> nn.Conv2d:
    """A 1x1 convolution."""
    return nn.Conv2d(in_planes, out_planes, 1, stride, bias=False)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut."""

    expansion = 1

    def __init__(
        self,
        inplanes: int,
        planes: int,
        stride: int = 1,
        downsample: nn.Module | None = None,
        groups: int = 1,
        base_width: int = 64,
        dilation: int = 1,
        norm_layer: Norm | None = None,
    ) -> None:
        super().__init__()
        norm = norm_layer or nn.BatchNorm2d
        if groups != 1 or base_width != 64 or dilation > 1:
            raise ValueError("BasicBlock: only groups 1, base_width 64 and dilation 1; use Bottleneck for others")
        self.conv1 = conv3x3(inplanes, planes, stride)
        self.bn1 = norm(planes)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = conv3x3(planes, planes)
        self.bn2 = norm(planes)
        self.downsample = downsample
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """Planes at the block's stride."""
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out = out + (x if self.downsample is None else self.downsample(x))
        return self.relu(out)  # type: ignore[no-any-return]


class Bottleneck(nn.Module):
    """A 3x3 convolution between two 1x1, beside a shortcut; the stride is the 3x3's."""

    expansion = 4

    def __init__(
        self,
        inplanes: int,
        planes: int,
        stride: int = 1,
        downsample: nn.Module | None = None,
        groups: int = 1,
        base_width: int = 64,
        dilation: int = 1,
        norm_layer: Norm | None = None,
    ) -> None:
        super().__init__()
        norm = norm_layer or nn.BatchNorm2d
        width = int(planes * (base_width / 64.0)) * groups
        self.conv1 = conv1x1(inplanes, width)
        self.bn1 = norm(width)
        self.conv2 = conv3x3(width, width, stride, groups, dilation)
        self.bn2 = norm(width)
        self.conv3 = conv1x1(width, planes * self.expansion)
        self.bn3 = norm(planes * self.expansion)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """Four times the planes, at the block's stride."""
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        out = out + (x if self.downsample is None else self.downsample(x))
        return self.relu(out)  # type: ignore[no-any-return]


class ResNet(nn.Module):
    """Four stages of residual blocks. Shapes: (N, 3, H, W) → (N, num_classes)."""

    def __init__(
        self,
        block: type[BasicBlock] | type[Bottleneck],
        layers: Sequence[int],
        num_classes: int = 1000,
        zero_init_residual: bool = False,
        groups: int = 1,
        width_per_group: int = 64,
        replace_stride_with_dilation: Sequence[bool] | None = None,
        norm_layer: Norm | None = None,
    ) -> None:
        super().__init__()
        dilate = list(replace_stride_with_dilation or (False, False, False))
        if len(dilate) != 3:
            raise ValueError(f"replace_stride_with_dilation: expected three booleans; met {dilate}")
        self._norm_layer: Norm = norm_layer or nn.BatchNorm2d
        self.inplanes, self.dilation = 64, 1
        self.groups, self.base_width = groups, width_per_group
        self.conv1 = nn.Conv2d(3, self.inplanes, kernel_size=7, stride=2, padding=3, bias=False)
        self.bn1 = self._norm_layer(self.inplanes)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        self.layer1 = self._make_layer(block, 64, layers[0])
        self.layer2 = self._make_layer(block, 128, layers[1], stride=2, dilate=dilate[0])
        self.layer3 = self._make_layer(block, 256, layers[2], stride=2, dilate=dilate[1])
        self.layer4 = self._make_layer(block, 512, layers[3], stride=2, dilate=dilate[2])
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(512 * block.expansion, num_classes)
        self._init_weights(zero_init_residual)

    def _make_layer(
        self,
        block: type[BasicBlock] | type[Bottleneck],
        planes: int,
        blocks: int,
        stride: int = 1,
        dilate: bool = False,
    ) -> nn.Sequential:
        before = self.dilation
        if dilate:
            self.dilation, stride = self.dilation * stride, 1
        outplanes, shortcut = planes * block.expansion, None
        if stride != 1 or self.inplanes != outplanes:
            shortcut = nn.Sequential(conv1x1(self.inplanes, outplanes, stride), self._norm_layer(outplanes))
        common = (self.groups, self.base_width)
        stage = [block(self.inplanes, planes, stride, shortcut, *common, before, self._norm_layer)]
        self.inplanes = outplanes
        for _ in range(1, blocks):
            stage.append(block(outplanes, planes, 1, None, *common, self.dilation, self._norm_layer))
        return nn.Sequential(*stage)

    def _init_weights(self, zero_init_residual: bool) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif zero_init_residual and isinstance(module, (BasicBlock, Bottleneck)):
                last: Any = module.bn3 if isinstance(module, Bottleneck) else module.bn2
                nn.init.zeros_(last.weight)

    def _forward_impl(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        x = self.avgpool(x).flatten(1)
        return self.fc(x)  # type: ignore[no-any-return]

    def forward(self, x: Tensor) -> Tensor:
        """Scores of the classes."""
        return self._forward_impl(x)


def _resnet(
    name: str,
    block: type[BasicBlock] | type[Bottleneck],
    layers: Sequence[int],
    weights: Any,
    pretrained: Any,
    **options: Any,
) -> ResNet:
    refuse_weights(name, weights, pretrained)
    return ResNet(block, layers, **options)


def resnet18(weights: Any = None, progress: bool = True, *, pretrained: Any = False, **kwargs: Any) -> ResNet:
    """ResNet-18."""
    return _resnet("resnet18", BasicBlock, (2, 2, 2, 2), weights, pretrained, **kwargs)


def resnet34(weights: Any = None, progress: bool = True, *, pretrained: Any = False, **kwargs: Any) -> ResNet:
    """ResNet-34."""
    return _resnet("resnet34", BasicBlock, (3, 4, 6, 3), weights, pretrained, **kwargs)


def resnet50(weights: Any = None, progress: bool = True, *, pretrained: Any = False, **kwargs: Any) -> ResNet:
    """ResNet-50."""
    return _resnet("resnet50", Bottleneck, (3, 4, 6, 3), weights, pretrained, **kwargs)


def resnet101(weights: Any = None, progress: bool = True, *, pretrained: Any = False, **kwargs: Any) -> ResNet:
    """ResNet-101."""
    return _resnet("resnet101", Bottleneck, (3, 4, 23, 3), weights, pretrained, **kwargs)


def resnet152(weights: Any = None, progress: bool = True, *, pretrained: Any = False, **kwargs: Any) -> ResNet:
    """ResNet-152."""
    return _resnet("resnet152", Bottleneck, (3, 8, 36, 3), weights, pretrained, **kwargs)


def resnext50_32x4d(weights: Any = None, progress: bool = True, *, pretrained: Any = False, **kwargs: Any) -> ResNet:
    """ResNeXt-50 with 32 groups of 4 planes."""
    options = {"groups": 32, "width_per_group": 4, **kwargs}
    return _resnet("resnext50_32x4d", Bottleneck, (3, 4, 6, 3), weights, pretrained, **options)


def resnext101_32x8d(weights: Any = None, progress: bool = True, *, pretrained: Any = False, **kwargs: Any) -> ResNet:
    """ResNeXt-101 with 32 groups of 8 planes."""
    options = {"groups": 32, "width_per_group": 8, **kwargs}
    return _resnet("resnext101_32x8d", Bottleneck, (3, 4, 23, 3), weights, pretrained, **options)


def wide_resnet50_2(weights: Any = None, progress: bool = True, *, pretrained: Any = False, **kwargs: Any) -> ResNet:
    """ResNet-50 with twice the planes inside its blocks."""
    options = {"width_per_group": 128, **kwargs}
    return _resnet("wide_resnet50_2", Bottleneck, (3, 4, 6, 3), weights, pretrained, **options)


def wide_resnet101_2(weights: Any = None, progress: bool = True, *, pretrained: Any = False, **kwargs: Any) -> ResNet:
    """ResNet-101 with twice the planes inside its blocks."""
    options = {"width_per_group": 128, **kwargs}
    return _resnet("wide_resnet101_2", Bottleneck, (3, 4, 23, 3), weights, pretrained, **options)
