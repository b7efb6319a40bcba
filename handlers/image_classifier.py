"""ImageClassifier: a picture in, its most probable classes out."""

from __future__ import annotations

from typing import Any

from PIL import Image

from .labels import map_class_to_label
from .library import library_of
from .timing import timed
from .transforms import CenterCrop, Compose, Lambda, Normalize, Resize, ToTensor
from .vision import VisionHandler

MEAN = (0.485, 0.456, 0.406)  # of ImageNet's pictures, by channel
DEVIATION = (0.229, 0.224, 0.225)


def in_colour(image: Image.Image) -> Image.Image:
    """The picture as RGB: grey, palette, CMYK and transparent ones too."""
    return image if image.mode == "RGB" else image.convert("RGB")


class ImageClassifier(VisionHandler):
    """Answers each picture with {label: probability} of its `topk` most probable classes, the best first.

    The labels come from index_to_name.json; without it they are the class numbers.
    """

    takes_views = True
    topk = 5
    image_processing = Compose(
        [Lambda(in_colour), Resize(256), CenterCrop(224), ToTensor(), Normalize(mean=MEAN, std=DEVIATION)]
    )

    def set_max_result_classes(self, topk: int) -> None:
        """Answer with that many classes."""
        self.topk = topk

    def get_max_result_classes(self) -> int:
        """How many classes an answer has, where the model knows as many."""
        return self.topk

    @timed
    def postprocess(self, data: Any) -> list[Any]:
        """The best classes of each row of scores, as probabilities."""
        library = library_of(data)
        probabilities = library.softmax(data, dim=1)
        best, classes = library.topk(probabilities, min(self.topk, data.shape[1]), dim=1)
        return map_class_to_label(best.tolist(), self.mapping, classes.tolist())
