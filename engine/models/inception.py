"""Inception V3 (torchvision.models.inception)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from .. import nn
from ..functions import cat, stack
from ..tensor import Tensor
from .weights import refuse_weights

Block = Callable[..., Any]
functional = nn.functional

# The checkpoint's network expects (x - 0.5) / 0.5; these turn ImageNet's usual (x - mean) / std into that.
_MEANS, _STDS = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class InceptionOutputs(NamedTuple):
    """What the model gives in training mode."""

    logits: Tensor
    aux_logits: Tensor | None


class BasicConv2d(nn.Module):
    """A convolution, a batch norm and a ReLU."""

    def __init__(self, in_channels: int, out_channels: int, **kwargs: Any) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, bias=False, **kwargs)
        self.bn = nn.BatchNorm2d(out_channels, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        """`out_channels` planes, not below 0."""
        return functional.relu(self.bn(self.conv(x)), inplace=True)


class _Branches(nn.Module):
    """Chains of convolutions side by side, each named once and joined along the channels."""

    def _chain(self, x: Tensor, *names: str) -> Tensor:
        for name in names:
            x = getattr(self, name)(x)
        return x

    def _pooled(self, x: Tensor) -> Tensor:
        return self._chain(functional.avg_pool2d(x, kernel_size=3, stride=1, padding=1), "branch_pool")


class InceptionA(_Branches):
    """1x1, 5x5, two 3x3 and a pool side by side."""

    def __init__(self, in_channels: int, pool_features: int, conv_block: Block | None = None) -> None:
        super().__init__()
        conv = conv_block or BasicConv2d
        self.branch1x1 = conv(in_channels, 64, kernel_size=1)
        self.branch5x5_1 = conv(in_channels, 48, kernel_size=1)
        self.branch5x5_2 = conv(48, 64, kernel_size=5, padding=2)
        self.branch3x3dbl_1 = conv(in_channels, 64, kernel_size=1)
        self.branch3x3dbl_2 = conv(64, 96, kernel_size=3, padding=1)
        self.branch3x3dbl_3 = conv(96, 96, kernel_size=3, padding=1)
        self.branch_pool = conv(in_channels, pool_features, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        """224 planes and the pool's, in the same size."""
        five = self._chain(x, "branch5x5_1", "branch5x5_2")
        three = self._chain(x, "branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3")
        return cat([self.branch1x1(x), five, three, self._pooled(x)], 1)


class InceptionB(_Branches):
    """To half the size: 3x3, two 3x3 and a pool side by side."""

    def __init__(self, in_channels: int, conv_block: Block | None = None) -> None:
        super().__init__()
        conv = conv_block or BasicConv2d
        self.branch3x3 = conv(in_channels, 384, kernel_size=3, stride=2)
        self.branch3x3dbl_1 = conv(in_channels, 64, kernel_size=1)
        self.branch3x3dbl_2 = conv(64, 96, kernel_size=3, padding=1)
        self.branch3x3dbl_3 = conv(96, 96, kernel_size=3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """480 planes more, in half the size."""
        double = self._chain(x, "branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3")
        return cat([self.branch3x3(x), double, functional.max_pool2d(x, kernel_size=3, stride=2)], 1)


class InceptionC(_Branches):
    """1x1, 7x7 in two steps, twice that, and a pool side by side."""

    def __init__(self, in_channels: int, channels_7x7: int, conv_block: Block | None = None) -> None:
        super().__init__()
        conv, c7 = conv_block or BasicConv2d, channels_7x7
        across, down = {"kernel_size": (1, 7), "padding": (0, 3)}, {"kernel_size": (7, 1), "padding": (3, 0)}
        self.branch1x1 = conv(in_channels, 192, kernel_size=1)
        self.branch7x7_1 = conv(in_channels, c7, kernel_size=1)
        self.branch7x7_2 = conv(c7, c7, **across)
        self.branch7x7_3 = conv(c7, 192, **down)
        self.branch7x7dbl_1 = conv(in_channels, c7, kernel_size=1)
        self.branch7x7dbl_2 = conv(c7, c7, **down)
        self.branch7x7dbl_3 = conv(c7, c7, **across)
        self.branch7x7dbl_4 = conv(c7, c7, **down)
        self.branch7x7dbl_5 = conv(c7, 192, **across)
        self.branch_pool = conv(in_channels, 192, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        """768 planes in the same size."""
        seven = self._chain(x, *(f"branch7x7_{i}" for i in range(1, 4)))
        double = self._chain(x, *(f"branch7x7dbl_{i}" for i in range(1, 6)))
        return cat([self.branch1x1(x), seven, double, self._pooled(x)], 1)


class InceptionD(_Branches):
    """To half the size: 3x3, 7x7 with 3x3, and a pool side by side."""

    def __init__(self, in_channels: int, conv_block: Block | None = None) -> None:
        super().__init__()
        conv = conv_block or BasicConv2d
        self.branch3x3_1 = conv(in_channels, 192, kernel_size=1)
        self.branch3x3_2 = conv(192, 320, kernel_size=3, stride=2)
        self.branch7x7x3_1 = conv(in_channels, 192, kernel_size=1)
        self.branch7x7x3_2 = conv(192, 192, kernel_size=(1, 7), padding=(0, 3))
        self.branch7x7x3_3 = conv(192, 192, kernel_size=(7, 1), padding=(3, 0))
        self.branch7x7x3_4 = conv(192, 192, kernel_size=3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """512 planes more, in half the size."""
        three = self._chain(x, "branch3x3_1", "branch3x3_2")
        seven = self._chain(x, *(f"branch7x7x3_{i}" for i in range(1, 5)))
        return cat([three, seven, functional.max_pool2d(x, kernel_size=3, stride=2)], 1)


class InceptionE(_Branches):
    """1x1, 3x3 split in two, two 3x3 split in two, and a pool side by side."""

    def __init__(self, in_channels: int, conv_block: Block | None = None) -> None:
        super().__init__()
        conv = conv_block or BasicConv2d
        across, down = {"kernel_size": (1, 3), "padding": (0, 1)}, {"kernel_size": (3, 1), "padding": (1, 0)}
        self.branch1x1 = conv(in_channels, 320, kernel_size=1)
        self.branch3x3_1 = conv(in_channels, 384, kernel_size=1)
        self.branch3x3_2a = conv(384, 384, **across)
        self.branch3x3_2b = conv(384, 384, **down)
        self.branch3x3dbl_1 = conv(in_channels, 448, kernel_size=1)
        self.branch3x3dbl_2 = conv(448, 384, kernel_size=3, padding=1)
        self.branch3x3dbl_3a = conv(384, 384, **across)
        self.branch3x3dbl_3b = conv(384, 384, **down)
        self.branch_pool = conv(in_channels, 192, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        """2048 planes in the same size."""
        three = self.branch3x3_1(x)
        double = self._chain(x, "branch3x3dbl_1", "branch3x3dbl_2")
        split = [self.branch3x3_2a(three), self.branch3x3_2b(three)]
        double_split = [self.branch3x3dbl_3a(double), self.branch3x3dbl_3b(double)]
        return cat([self.branch1x1(x), *split, *double_split, self._pooled(x)], 1)


class InceptionAux(nn.Module):
    """A second classifier halfway, for training."""

    def __init__(self, in_channels: int, num_classes: int, conv_block: Block | None = None) -> None:
        super().__init__()
        conv = conv_block or BasicConv2d
        self.conv0 = conv(in_channels, 128, kernel_size=1)
        self.conv1 = conv(128, 768, kernel_size=5)
        self.fc = nn.Linear(768, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Scores of the classes."""
        x = self.conv1(self.conv0(functional.avg_pool2d(x, kernel_size=5, stride=3)))
        x = functional.adaptive_avg_pool2d(x, (1, 1)).flatten(1)
        return self.fc(x)  # type: ignore[no-any-return]


_BLOCKS = (BasicConv2d, InceptionA, InceptionB, InceptionC, InceptionD, InceptionE, InceptionAux)


class Inception3(nn.Module):
    """Inception V3. Shapes: (N, 3, 299, 299), from 75 px → (N, num_classes).

    In training mode with `aux_logits` it gives InceptionOutputs.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        aux_logits: bool = True,
        transform_input: bool = False,
        inception_blocks: Sequence[Block] | None = None,
        init_weights: bool | None = None,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        blocks = inception_blocks or _BLOCKS
        if len(blocks) != len(_BLOCKS):
            raise ValueError(f"inception_blocks: expected {len(_BLOCKS)} classes; met {len(blocks)}")
        conv, a, b, c, d, e, aux = blocks
        self.aux_logits, self.transform_input = aux_logits, transform_input
        self.Conv2d_1a_3x3 = conv(3, 32, kernel_size=3, stride=2)
        self.Conv2d_2a_3x3 = conv(32, 32, kernel_size=3)
        self.Conv2d_2b_3x3 = conv(32, 64, kernel_size=3, padding=1)
        self.maxpool1 = nn.MaxPool2d(kernel_size=3, stride=2)
        self.Conv2d_3b_1x1 = conv(64, 80, kernel_size=1)
        self.Conv2d_4a_3x3 = conv(80, 192, kernel_size=3)
        self.maxpool2 = nn.MaxPool2d(kernel_size=3, stride=2)
        self.Mixed_5b = a(192, pool_features=32)
        self.Mixed_5c = a(256, pool_features=64)
        self.Mixed_5d = a(288, pool_features=64)
        self.Mixed_6a = b(288)
        self.Mixed_6b = c(768, channels_7x7=128)
        self.Mixed_6c = c(768, channels_7x7=160)
        self.Mixed_6d = c(768, channels_7x7=160)
        self.Mixed_6e = c(768, channels_7x7=192)
        self.AuxLogits = aux(768, num_classes) if aux_logits else None
        self.Mixed_7a = d(768)
        self.Mixed_7b = e(1280)
        self.Mixed_7c = e(2048)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.dropout = nn.Dropout(p=dropout)
        self.fc = nn.Linear(2048, num_classes)
        if init_weights is not False:
            self._init_weights()

    def _init_weights(self) -> None:
        spread = {id(self.AuxLogits.conv1.conv): 0.01, id(self.AuxLogits.fc): 0.001} if self.AuxLogits else {}
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.trunc_normal_(module.weight, mean=0.0, std=spread.get(id(module), 0.1), a=-2, b=2)

    def _halfway(self, x: Tensor) -> Tensor:
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(self.maxpool1(x)))
        x = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(self.maxpool2(x))))
        x = self.Mixed_6c(self.Mixed_6b(self.Mixed_6a(x)))
        return self.Mixed_6e(self.Mixed_6d(x))  # type: ignore[no-any-return]

    def forward(self, x: Tensor) -> Tensor | InceptionOutputs:
        """Scores of the classes."""
        half = self._halfway(_from_imagenet(x) if self.transform_input else x)
        x = self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(half)))
        logits: Tensor = self.fc(self.dropout(self.avgpool(x)).flatten(1))
        if not (self.training and self.aux_logits):
            return logits
        return InceptionOutputs(logits, self.AuxLogits(half) if self.AuxLogits is not None else None)


def _from_imagenet(x: Tensor) -> Tensor:
    planes = zip(range(3), _MEANS, _STDS, strict=True)
    return stack([x[:, i] * (std / 0.5) + (mean - 0.5) / 0.5 for i, mean, std in planes], 1)


def inception_v3(weights: Any = None, progress: bool = True, *, pretrained: Any = False, **kwargs: Any) -> Inception3:
    """Inception V3. torchvision's checkpoint wants `transform_input=True`, which it sets where it downloads one."""
    refuse_weights("inception_v3", weights, pretrained)
    return Inception3(**kwargs)
