"""ImageSegmenter: a picture in, the class of every pixel out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .image_classifier import ImageClassifier
from .library import library_of
from .timing import timed
from .vision import VisionHandler


class ImageSegmenter(VisionHandler):
    """Answers each picture with rows of pixels, each [number of its most probable class, that class's probability].

    The model gives scores (N, classes, H, W), or a dict that has them under "out".
    """

    takes_views = True
    image_processing = ImageClassifier.image_processing

    @timed
    def postprocess(self, data: Any) -> list[Any]:
        """The best class of each pixel, and the softmax of its scores there."""
        scores = data["out"] if isinstance(data, Mapping) else data
        best, classes = scores.max(1, keepdim=True)
        probability = 1 / (scores - best).exp().sum(1)
        pairs: list[Any] = library_of(scores).stack([classes[:, 0].to(scores.dtype), probability], 3).tolist()
        return pairs
