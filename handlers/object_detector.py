"""ObjectDetector: a picture in, the things in it out, each with the box around it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..engine.models.detection import SSD
from .errors import PredictionException
from .image_classifier import in_colour
from .labels import map_class_to_label
from .library import convert
from .timing import timed
from .transforms import Compose, Lambda, ToTensor
from .vision import VisionHandler

PARTS = ("boxes", "labels", "scores")


class ObjectDetector(VisionHandler):
    """Answers each picture with [{label: [x1, y1, x2, y2], "score": s}, …] of what scores at least `threshold`.

    The model gives a dict of boxes (D, 4), labels (D) and scores (D) for each picture; boxes count its pixels.
    """

    takes_views = True
    threshold = 0.5
    image_processing = Compose([Lambda(in_colour), ToTensor()])

    @timed
    def preprocess(self, data: Any) -> Any:
        """The pictures as one tensor, or as a list for the engine's own detectors, which take any sizes."""
        if not isinstance(self.model, SSD):
            return super().preprocess(data)
        return [convert(image, self.library) for image in self.images(data)]

    @timed
    def inference(self, data: Any, *args: Any, **kwargs: Any) -> Any:
        """What the model finds."""
        if takes_one(self.model):
            return [each for image in data for each in found_in(super(ObjectDetector, self).inference(image))]
        if not isinstance(data, list):
            return super().inference(data, *args, **kwargs)
        with self.library.inference_mode():
            return self.fast_path(data, *args, **kwargs)

    @timed
    def postprocess(self, data: Any) -> list[Any]:
        """What scores enough, with names in place of class numbers."""
        return [self._things(found) for found in found_in(data)]

    def _things(self, found: Mapping[str, Any]) -> list[dict[str, Any]]:
        boxes, labels, scores = (found[part].tolist() for part in PARTS)
        kept = [place for place, score in enumerate(scores) if score >= self.threshold]
        named = map_class_to_label([[boxes[n]] for n in kept], self.mapping, [[int(labels[n])] for n in kept])
        return [{**thing, "score": scores[n]} for thing, n in zip(named, kept, strict=True)]

    def get_insights(self, tensor_data: Any, raw_data: Any, target: Any = 0) -> list[Any]:
        """Refused: what is found depends on the pixels by steps, which have no gradients."""
        raise PredictionException("object_detector explains no predictions", 501)


def takes_one(model: Any) -> bool:
    """Whether a model is an ONNX file for a single picture (channels, height, width), as PyTorch writes detectors."""
    inputs = getattr(model, "inputs", None) or [None]
    return len(getattr(inputs[0], "dims", None) or ()) == 3


def found_in(data: Any) -> Sequence[Mapping[str, Any]]:
    """What a model found in each picture, in whatever form its file gives it.

    PyTorch's detectors give a list of dicts, and as TorchScript a tuple of losses and that list; as ONNX files they are
    for one picture, and give three tensors: the boxes first, of the others the labels are whole numbers.
    """
    if isinstance(data, tuple) and len(data) == 2 and isinstance(data[1], list):
        data = data[1]
    if isinstance(data, Mapping):
        return [data]
    if len(data) == 3 and not any(isinstance(each, Mapping) for each in data):
        boxes, *others = data
        labels, scores = sorted(others, key=lambda tensor: tensor.is_floating_point())
        return [{"boxes": boxes, "labels": labels, "scores": scores}]
    found: Sequence[Mapping[str, Any]] = data
    return found
