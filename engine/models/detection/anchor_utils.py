"""The boxes that a detector starts from, and what moves them (torchvision.models.detection.anchor_utils)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ... import nn
from ...dtype import Array
from ...errors import ShapeError
from ...functions import cat
from ...tensor import Tensor

Size = tuple[int, int]
MOST_GROWTH = math.log(1000 / 16)  # of a side, as its logarithm: exp() must not overflow


class DefaultBoxGenerator(nn.Module):
    """The default boxes of SSD: at every pixel of each feature map a few, of several sizes and proportions.

    `scales` are the sizes by map, as parts of the picture, and one more; else they go evenly from `min_ratio` to
    `max_ratio`, and to 1. `steps` are the pixels of the picture between two boxes; else the maps fill it.
    Source: section 2.2 of https://arxiv.org/abs/1512.02325.
    """

    def __init__(
        self,
        aspect_ratios: Sequence[Sequence[int]],
        min_ratio: float = 0.15,
        max_ratio: float = 0.9,
        scales: Sequence[float] | None = None,
        steps: Sequence[int] | None = None,
        clip: bool = True,
    ) -> None:
        super().__init__()
        maps = len(aspect_ratios)
        if steps is not None and len(steps) != maps:
            raise ValueError(f"steps has {len(steps)} numbers for {maps} feature maps; expected one each")
        if scales is None:
            between = [min_ratio + (max_ratio - min_ratio) * k / (maps - 1) for k in range(maps)] if maps > 1 else []
            scales = [*between, 1.0] if maps > 1 else [min_ratio, max_ratio]
        self.aspect_ratios, self.scales, self.steps, self.clip = aspect_ratios, scales, steps, clip

    def num_anchors_per_location(self) -> list[int]:
        """How many boxes a pixel of each feature map has."""
        return [2 + 2 * len(ratios) for ratios in self.aspect_ratios]

    def forward(self, image_size: Size, grid_sizes: Sequence[Size]) -> Tensor:
        """All boxes (A, 4) of a picture (height, width), in its pixels; the grids are the sizes of the feature maps."""
        if len(grid_sizes) != len(self.aspect_ratios):
            raise ShapeError(
                f"{len(grid_sizes)} feature maps; expected {len(self.aspect_ratios)}, as aspect_ratios has"
            )
        boxes = np.concatenate([self._of_map(k, grid, image_size) for k, grid in enumerate(grid_sizes)])
        corners = np.concatenate([boxes[:, :2] - 0.5 * boxes[:, 2:], boxes[:, :2] + 0.5 * boxes[:, 2:]], 1)
        return Tensor(corners * np.array([*image_size[::-1]] * 2, np.float32))

    def _of_map(self, k: int, grid: Size, image_size: Size) -> Array:
        """Centres and sizes as parts of the picture: pixel by pixel, row by row."""
        rows, columns = grid
        down, across = grid if self.steps is None else (side / self.steps[k] for side in image_size)
        y, x = np.meshgrid((np.arange(rows) + 0.5) / down, (np.arange(columns) + 0.5) / across, indexing="ij")
        sizes = self._sizes(k)
        centres = np.repeat(np.stack([x, y], -1).reshape(-1, 2), len(sizes), 0)
        return np.concatenate([centres, np.tile(sizes, (rows * columns, 1))], 1).astype(np.float32)

    def _sizes(self, k: int) -> Array:
        """Width and height of each box of a pixel."""
        scale, following = self.scales[k], self.scales[k + 1]
        between = math.sqrt(scale * following)
        sizes = [(scale, scale), (between, between)]
        for ratio in self.aspect_ratios[k]:
            wide, narrow = scale * math.sqrt(ratio), scale / math.sqrt(ratio)
            sizes += [(wide, narrow), (narrow, wide)]
        return np.clip(sizes, 0, 1) if self.clip else np.array(sizes)


def decode_boxes(codes: Tensor, anchors: Tensor, weights: Sequence[float]) -> Tensor:
    """Boxes (…, A, 4) from codes of the same shape: how anchors (A, 4) move, in their sides, and grow.

    Source: torchvision.models.detection._utils.BoxCoder.
    """
    size = anchors[:, 2:] - anchors[:, :2]
    centre = anchors[:, :2] + 0.5 * size
    x, y, wide, high = weights
    moved = codes[..., :2] * Tensor(np.array([1 / x, 1 / y], np.float32)) * size + centre
    grown = codes[..., 2:] * Tensor(np.array([1 / wide, 1 / high], np.float32))
    half = grown.clamp(max=MOST_GROWTH).exp() * (0.5 * size)
    return cat([moved - half, moved + half], -1)
