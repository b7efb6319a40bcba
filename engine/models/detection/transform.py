"""Pictures of any size as one batch of a fixed size, and boxes back (torchvision.models.detection.transform)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ... import nn
from ...creation import tensor
from ...errors import DtypeError, ShapeError, UnsupportedOpError
from ...functions import stack
from ...nn.functional import interpolate
from ...tensor import Tensor

Size = tuple[int, int]


class GeneralizedRCNNTransform(nn.Module):
    """Pictures (C, H, W) from 0 to 1, resized to `fixed_size` (width, height) and normalised by channel.

    Only a fixed size is there: `min_size` and `max_size` are taken for compatibility's sake.
    """

    def __init__(
        self,
        min_size: int | Sequence[int],
        max_size: int,
        image_mean: Sequence[float],
        image_std: Sequence[float],
        size_divisible: int = 32,
        fixed_size: Size | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        if fixed_size is None:
            raise UnsupportedOpError("GeneralizedRCNNTransform: only a fixed_size (width, height) is there")
        self.min_size = tuple(min_size) if isinstance(min_size, Sequence) else (min_size,)
        self.max_size, self.size_divisible, self.fixed_size = max_size, size_divisible, fixed_size
        self.image_mean, self.image_std = list(image_mean), list(image_std)

    def forward(self, images: Iterable[Tensor]) -> Tensor:
        """A batch (N, C, height, width).

        The size is changed first: weights that add up to one do not mind, and there are fewer pixels to normalise.
        """
        width, height = self.fixed_size
        batch = stack([_resized(image, (height, width)) for image in images])
        mean, std = (tensor(values, dtype=batch.dtype)[:, None, None] for values in (self.image_mean, self.image_std))
        return (batch - mean) / std


def _resized(image: Tensor, size: Size) -> Tensor:
    if image.ndim != 3:
        raise ShapeError(f"a picture of shape {tuple(image.shape)}; expected (channels, height, width)")
    if not image.is_floating_point():
        raise DtypeError(f"a picture of {image.dtype}; expected floating-point values from 0 to 1")
    return interpolate(image[None], size=size, mode="bilinear", align_corners=False)[0]


def resize_boxes(boxes: Tensor, original_size: Size, new_size: Size) -> Tensor:
    """Boxes (N, 4) of a picture of one size (height, width) as boxes of the same picture at another."""
    down, across = (new / old for new, old in zip(new_size, original_size, strict=True))
    return boxes * tensor([across, down, across, down], dtype=boxes.dtype)
