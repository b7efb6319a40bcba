"""The transforms of torchvision that serving needs, over Pillow and the engine's tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from PIL import Image

from ..engine import Tensor
from . import imaging
from .imaging import InterpolationMode, Picture

__all__ = [
    "CenterCrop",
    "Compose",
    "Grayscale",
    "InterpolationMode",
    "Lambda",
    "Normalize",
    "PILToTensor",
    "Pad",
    "Resize",
    "ToTensor",
]


class Compose:
    """Several transforms, one after the other."""

    def __init__(self, transforms: Sequence[Callable[[Any], Any]]) -> None:
        self.transforms = list(transforms)

    def __call__(self, img: Any) -> Any:
        """The picture after all of them."""
        for transform in self.transforms:
            img = transform(img)
        return img

    def __repr__(self) -> str:
        return f"Compose({self.transforms})"


class Resize:
    """To (height, width), or so that the shorter side is `size`; the longer side is cut down to a whole number."""

    def __init__(
        self,
        size: int | Sequence[int],
        interpolation: InterpolationMode | int = InterpolationMode.BILINEAR,
        max_size: int | None = None,
        antialias: bool | None = True,
    ) -> None:
        self.size = size
        self.interpolation = interpolation
        self.max_size = max_size
        self.antialias = antialias

    def __call__(self, img: Picture) -> Picture:
        """The picture resized."""
        return imaging.resize(img, self.size, self.interpolation, self.max_size, self.antialias)

    def __repr__(self) -> str:
        return f"Resize(size={self.size}, interpolation={self.interpolation}, max_size={self.max_size})"


class CenterCrop:
    """The middle (height, width) of a picture, with zeros around one that is smaller."""

    def __init__(self, size: int | Sequence[int]) -> None:
        self.size = size

    def __call__(self, img: Picture) -> Picture:
        """The picture cropped."""
        return imaging.center_crop(img, self.size)

    def __repr__(self) -> str:
        return f"CenterCrop(size={self.size})"


class Pad:
    """A border of one colour around a picture."""

    def __init__(self, padding: int | Sequence[int], fill: float = 0, padding_mode: str = "constant") -> None:
        self.padding = padding
        self.fill = fill
        self.padding_mode = padding_mode

    def __call__(self, img: Picture) -> Picture:
        """The picture with its border."""
        return imaging.pad(img, self.padding, self.fill, self.padding_mode)


class Grayscale:
    """A picture in shades of grey."""

    def __init__(self, num_output_channels: int = 1) -> None:
        self.num_output_channels = num_output_channels

    def __call__(self, img: Image.Image) -> Image.Image:
        """The picture without its colours."""
        return imaging.rgb_to_grayscale(img, self.num_output_channels)


class ToTensor:
    """A picture as a tensor (channels, height, width); 8-bit values become 0…1."""

    def __call__(self, pic: Image.Image | np.ndarray[Any, Any]) -> Tensor:
        """The picture as a tensor."""
        return imaging.to_tensor(pic)

    def __repr__(self) -> str:
        return "ToTensor()"


class PILToTensor:
    """A picture as a tensor (channels, height, width) of its own values."""

    def __call__(self, pic: Image.Image) -> Tensor:
        """The picture as a tensor."""
        return imaging.pil_to_tensor(pic)


class Normalize:
    """(tensor - mean) / std, channel by channel."""

    def __init__(self, mean: Sequence[float], std: Sequence[float], inplace: bool = False) -> None:
        self.mean = mean
        self.std = std
        self.inplace = inplace

    def __call__(self, tensor: Tensor) -> Tensor:
        """The tensor normalised."""
        return imaging.normalize(tensor, self.mean, self.std, self.inplace)

    def __repr__(self) -> str:
        return f"Normalize(mean={self.mean}, std={self.std})"


class Lambda:
    """Any function as a transform."""

    def __init__(self, lambd: Callable[[Any], Any]) -> None:
        self.lambd = lambd

    def __call__(self, img: Any) -> Any:
        """What the function makes of the picture."""
        return self.lambd(img)
