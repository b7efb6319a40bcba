"""SegmentationModel: a backbone, a head that scores every pixel, and perhaps a second one on an earlier layer."""

from __future__ import annotations

from collections import OrderedDict

from ... import nn
from ...nn.functional import interpolate
from ...tensor import Tensor

CLASSES = 21  # of Pascal VOC, the background among them


class SegmentationModel(nn.Module):
    """Scores of the classes for every pixel.

    Shapes: (N, 3, H, W) → {"out": (N, classes, H, W)}, and "aux" likewise where there is a second head. The backbone
    gives a dict with the keys "out" and "aux".
    """

    def __init__(self, backbone: nn.Module, classifier: nn.Module, aux_classifier: nn.Module | None = None) -> None:
        super().__init__()
        self.backbone = backbone
        self.classifier = classifier
        self.aux_classifier = aux_classifier

    def forward(self, x: Tensor) -> OrderedDict[str, Tensor]:
        """The scores, resized to the picture."""
        size = x.shape[-2:]
        features = self.backbone(x)
        heads = {"out": self.classifier, "aux": self.aux_classifier}
        return OrderedDict(
            (name, interpolate(head(features[name]), size=size, mode="bilinear", align_corners=False))
            for name, head in heads.items()
            if head is not None
        )
