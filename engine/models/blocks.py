"""Parts that several models are built of (torchvision.ops.misc, torchvision.models._utils)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .. import nn
from ..tensor import Tensor

Make = Callable[..., nn.Module]


def _make_divisible(value: float, divisor: int, min_value: int | None = None) -> int:
    """The nearest multiple of `divisor`, and not less than nine tenths of the value."""
    nearest = max(min_value or divisor, int(value + divisor / 2) // divisor * divisor)
    return nearest + divisor if nearest < 0.9 * value else nearest


class Conv2dNormActivation(nn.Sequential):
    """A convolution that keeps the size at stride 1, a norm and an activation; None leaves one of these out."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        stride: int = 1,
        padding: int | None = None,
        groups: int = 1,
        norm_layer: Make | None = nn.BatchNorm2d,
        activation_layer: Make | None = nn.ReLU,
        dilation: int = 1,
        inplace: bool | None = True,
        bias: bool | None = None,
    ) -> None:
        padding = (kernel_size - 1) // 2 * dilation if padding is None else padding
        bias = norm_layer is None if bias is None else bias
        layers: list[nn.Module] = [
            nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias)
        ]
        if norm_layer is not None:
            layers.append(norm_layer(out_channels))
        if activation_layer is not None:
            layers.append(activation_layer() if inplace is None else activation_layer(inplace=inplace))
        super().__init__(*layers)
        self.out_channels = out_channels


class SqueezeExcitation(nn.Module):
    """Channels scaled by what a small network makes of their means. Shapes: (N, C, H, W) → the same."""

    def __init__(
        self,
        input_channels: int,
        squeeze_channels: int,
        activation: Make = nn.ReLU,
        scale_activation: Make = nn.Sigmoid,
    ) -> None:
        super().__init__()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc1 = nn.Conv2d(input_channels, squeeze_channels, 1)
        self.fc2 = nn.Conv2d(squeeze_channels, input_channels, 1)
        self.activation = activation()
        self.scale_activation = scale_activation()

    def forward(self, input: Tensor) -> Tensor:
        """The input, scaled."""
        scale: Tensor = self.fc2(self.activation(self.fc1(self.avgpool(input))))
        return self.scale_activation(scale) * input  # type: ignore[no-any-return]


class IntermediateLayerGetter(nn.ModuleDict):
    """The layers of a model up to the last of those that are named, whose outputs it gives under other names.

    `return_layers` maps a direct child's name to the name of its output.
    Raises: ValueError where there is no such child.
    """

    def __init__(self, model: nn.Module, return_layers: Mapping[str, str]) -> None:
        children = dict(model.named_children())
        if missing := return_layers.keys() - children.keys():
            raise ValueError(f"return_layers: the model has no layer {', '.join(sorted(missing))}")
        last = max(list(children).index(name) for name in return_layers)
        super().__init__(dict(list(children.items())[: last + 1]))
        self.return_layers = dict(return_layers)

    def forward(self, x: Any) -> dict[str, Any]:
        """The outputs of the named layers."""
        out = {}
        for name, layer in self.items():
            x = layer(x)
            if name in self.return_layers:
                out[self.return_layers[name]] = x
        return out
