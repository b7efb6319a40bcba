"""SSD, a detector that scores default boxes in one pass (torchvision.models.detection.ssd)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ... import nn
from ...autograd import no_grad
from ...creation import zeros
from ...dtype import Array
from ...errors import UnsupportedOpError
from ...functions import cat, softmax
from ...nn.functional import normalize
from ...nn.functional.boxes import batched_nms, clip_boxes_to_image
from ...tensor import Tensor
from ..vgg import VGG, vgg16
from ..weights import refuse_both
from .anchor_utils import DefaultBoxGenerator, decode_boxes
from .transform import GeneralizedRCNNTransform, Size, resize_boxes

CLASSES = 91  # of COCO, the background among them
BOX_WEIGHTS = (10.0, 10.0, 5.0, 5.0)


class SSDScoringHead(nn.Module):
    """A convolution for each feature map, whose channels are `num_columns` numbers for each of a pixel's boxes."""

    def __init__(self, module_list: nn.ModuleList, num_columns: int) -> None:
        super().__init__()
        self.module_list, self.num_columns = module_list, num_columns

    def forward(self, x: Sequence[Tensor]) -> Tensor:
        """Feature maps (N, C, H, W) → (N, boxes of all maps, num_columns)."""
        scores = [head(features).permute(0, 2, 3, 1) for head, features in zip(self.module_list, x, strict=True)]
        return cat([each.reshape(each.shape[0], -1, self.num_columns) for each in scores], 1)


def _convolutions(in_channels: Sequence[int], num_anchors: Sequence[int], columns: int) -> SSDScoringHead:
    pairs = zip(in_channels, num_anchors, strict=True)
    convolutions = nn.ModuleList([nn.Conv2d(count, columns * each, 3, padding=1) for count, each in pairs])
    return SSDScoringHead(_xavier(convolutions), columns)


class SSDHead(nn.Module):
    """What is in each box, and where it really lies."""

    def __init__(self, in_channels: Sequence[int], num_anchors: Sequence[int], num_classes: int) -> None:
        super().__init__()
        self.classification_head = _convolutions(in_channels, num_anchors, num_classes)
        self.regression_head = _convolutions(in_channels, num_anchors, 4)

    def forward(self, x: Sequence[Tensor]) -> dict[str, Tensor]:
        """Scores (N, A, classes) and codes of boxes (N, A, 4)."""
        return {"bbox_regression": self.regression_head(x), "cls_logits": self.classification_head(x)}


class Core(nn.Module):
    """The part of a detector that does the same for every picture: what a plan can be made of."""

    def __init__(self, backbone: nn.Module, head: nn.Module, anchor_generator: DefaultBoxGenerator) -> None:
        super().__init__()
        self.backbone, self.head, self.anchor_generator = backbone, head, anchor_generator
        self.eval()

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Pictures (N, 3, H, W) → probabilities (N, A, classes), boxes (N, A, 4) in pixels, cut to the picture."""
        found = self.backbone(images)
        features = list(found.values()) if isinstance(found, Mapping) else [found]
        said, size = self.head(features), (images.shape[2], images.shape[3])
        anchors = self.anchor_generator(size, [(each.shape[2], each.shape[3]) for each in features])
        boxes = decode_boxes(said["bbox_regression"], anchors, BOX_WEIGHTS)
        return softmax(said["cls_logits"], -1), clip_boxes_to_image(boxes, size)


class SSD(nn.Module):
    """Pictures (3, H, W) from 0 to 1, of any sizes → for each {"boxes" (D, 4), "labels" (D), "scores" (D)}.

    Boxes are (x1, y1, x2, y2) in the picture's pixels, the best first. For each class, the best `topk_candidates` boxes
    with scores above `score_thresh` are looked at; those that a better one of the class overlaps by more than
    `nms_thresh` are dropped, and the best `detections_per_img` of all classes are given. Class 0 is the background.
    """

    def __init__(
        self,
        backbone: nn.Module,
        anchor_generator: DefaultBoxGenerator,
        size: Size,
        num_classes: int,
        image_mean: Sequence[float] | None = None,
        image_std: Sequence[float] | None = None,
        head: nn.Module | None = None,
        score_thresh: float = 0.01,
        nms_thresh: float = 0.45,
        detections_per_img: int = 200,
        iou_thresh: float = 0.5,
        topk_candidates: int = 400,
        positive_fraction: float = 0.25,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.anchor_generator = anchor_generator
        self.head = head or SSDHead(
            out_channels(backbone, size), anchor_generator.num_anchors_per_location(), num_classes
        )
        self.transform = GeneralizedRCNNTransform(
            min(size), max(size), image_mean or [0.485, 0.456, 0.406], image_std or [0.229, 0.224, 0.225],
            size_divisible=1, fixed_size=size, **kwargs,
        )  # fmt: skip
        self.score_thresh, self.nms_thresh = score_thresh, nms_thresh
        self.detections_per_img, self.topk_candidates = detections_per_img, topk_candidates

    @property
    def planned_part(self) -> Core:
        """The planned part, over the same layers; no part of the model's state."""
        core: Core | None = vars(self).get("_core")
        parts = (self.backbone, self.head, self.anchor_generator)
        if core is None or (core.backbone, core.head, core.anchor_generator) != parts:
            core = vars(self)["_core"] = Core(*parts)
        return core

    @property
    def planned_example(self) -> Tensor:
        """A picture as that part gets it."""
        width, height = self.transform.fixed_size
        return zeros(1, 3, height, width)

    def forward(self, images: Iterable[Tensor], targets: Any = None) -> list[dict[str, Tensor]]:
        """What is found in each picture of a list, or of a batch (N, 3, H, W)."""
        if self.training:
            raise UnsupportedOpError("SSD: the losses of training are not there; call .eval()")
        pictures = list(images)
        batch = self.transform(pictures)
        probabilities, boxes = self.planned_part(batch)
        size = (batch.shape[2], batch.shape[3])
        return [
            self._detections(scores, corners, size, (picture.shape[1], picture.shape[2]))
            for scores, corners, picture in zip(probabilities, boxes, pictures, strict=True)
        ]

    def _detections(self, scores: Tensor, boxes: Tensor, size: Size, original: Size) -> dict[str, Tensor]:
        """What is left of the boxes (A, 4) of a picture with their probabilities (A, classes)."""
        places, labels = best(scores.detach().numpy(), self.score_thresh, self.topk_candidates)
        found, chosen = scores[Tensor(places), Tensor(labels)], boxes[Tensor(places)]
        kept = batched_nms(chosen, found, Tensor(labels), self.nms_thresh, self.detections_per_img)
        return {
            "boxes": resize_boxes(chosen[kept], size, original), "labels": Tensor(labels)[kept], "scores": found[kept]
        }  # fmt: skip


def best(scores: Array, threshold: float, most: int) -> tuple[Array, Array]:
    """Places and classes of the scores (A, classes) above a threshold, `most` a class at most; not of class 0."""
    places, labels = [], []
    columns = np.ascontiguousarray(scores[:, 1:].T)
    for label in np.flatnonzero((columns > threshold).any(1)):
        above = np.flatnonzero(columns[label] > threshold)
        if len(above) > most:
            above = above[np.argsort(-columns[label, above], kind="stable")[:most]]
        places.append(above)
        labels.append(np.full(len(above), label + 1))
    nothing = [np.zeros(0, np.int64)]
    return np.concatenate(places or nothing), np.concatenate(labels or nothing)


def out_channels(backbone: nn.Module, size: Size) -> list[int]:
    """The channels of each feature map that a backbone gives."""
    known: Sequence[int] | None = getattr(backbone, "out_channels", None)
    if known is not None:
        return list(known)
    before = backbone.training
    with no_grad():
        found = backbone.eval()(zeros(1, 3, size[1], size[0]))
    backbone.train(before)
    return [each.shape[1] for each in (found.values() if isinstance(found, Mapping) else [found])]


class SSDFeatureExtractorVGG(nn.Module):
    """Six feature maps of a VGG and of layers behind it; seven with `highres`, for 512 px."""

    def __init__(self, backbone: nn.Sequential, highres: bool) -> None:
        super().__init__()
        _, _, third, fourth, _ = [place for place, layer in enumerate(backbone) if isinstance(layer, nn.MaxPool2d)]
        backbone[third].ceil_mode = True  # the paper's 75 px become 38
        self.scale_weight = nn.Parameter(zeros(512) + 20)
        self.features = nn.Sequential(*backbone[:fourth])
        fc = nn.Sequential(
            nn.MaxPool2d(kernel_size=3, stride=1, padding=1),
            nn.Conv2d(512, 1024, kernel_size=3, padding=6, dilation=6),
            nn.ReLU(inplace=True),
            nn.Conv2d(1024, 1024, kernel_size=1),
            nn.ReLU(inplace=True),
        )
        reach = {"padding": 1, "stride": 2}
        extra = [
            _narrowing(1024, 256, 512, 3, **reach), _narrowing(512, 128, 256, 3, **reach),
            _narrowing(256, 128, 256, 3), _narrowing(256, 128, 256, 3),
        ]  # fmt: skip
        if highres:
            extra.append(_narrowing(256, 128, 256, 4))
        whole = nn.Sequential(*backbone[fourth:-1], _xavier(fc))
        self.extra = nn.ModuleList([whole, *[_xavier(each) for each in extra]])
        self.out_channels = [512, 1024, 512, 256, 256, 256, *([256] if highres else [])]

    def forward(self, x: Tensor) -> OrderedDict[str, Tensor]:
        """(N, 3, H, W) → the feature maps, from fine to coarse."""
        x = self.features(x)
        maps: list[Tensor] = [self.scale_weight.view(1, -1, 1, 1) * normalize(x)]
        for block in self.extra:
            x = block(x)
            maps.append(x)
        return OrderedDict((str(number), each) for number, each in enumerate(maps))


def _narrowing(inplanes: int, inner: int, planes: int, kernel: int, **options: Any) -> nn.Sequential:
    """A 1x1 to few channels, and a convolution back to more that makes the picture smaller."""
    return nn.Sequential(
        nn.Conv2d(inplanes, inner, kernel_size=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(inner, planes, kernel_size=kernel, **options),
        nn.ReLU(inplace=True),
    )


def _xavier(part: Any) -> Any:
    for layer in part.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
    return part


def ssd300_vgg16(
    weights: Any = None,
    progress: bool = True,
    num_classes: int | None = None,
    weights_backbone: Any = None,
    trainable_backbone_layers: int | None = None,
    *,
    pretrained: Any = False,
    pretrained_backbone: Any = False,
    **kwargs: Any,
) -> SSD:
    """SSD over VGG-16, for pictures of 300 px."""
    refuse_both("ssd300_vgg16", weights, weights_backbone, pretrained, pretrained_backbone)
    layers: VGG = vgg16()
    generator = DefaultBoxGenerator(
        [[2], [2, 3], [2, 3], [2, 3], [2], [2]],
        scales=[0.07, 0.15, 0.33, 0.51, 0.69, 0.87, 1.05],
        steps=[8, 16, 32, 64, 100, 300],
    )
    # The means of the pictures that VGG was trained on; its inputs went from 0 to 255.
    options = {"image_mean": [0.48235, 0.45882, 0.40784], "image_std": [1 / 255, 1 / 255, 1 / 255]}
    extractor = SSDFeatureExtractorVGG(layers.features, False)  # type: ignore[arg-type]
    return SSD(extractor, generator, (300, 300), num_classes or CLASSES, **(options | kwargs))
