import json
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest
from numserve import engine
from numserve.engine import Tensor
from numserve.handlers import load_handler
from numserve.handlers.object_detector import ObjectDetector
from numserve.handlers.preparing import prepare
from PIL import Image

from .conftest import context_for, write
from .pictures import picture
from .test_image_classifier import encoded

# Finds the whole picture, once for each channel, which its mean is the score of.
WHOLE = """
import numserve.engine as torch
from numserve.engine import nn

class Whole(nn.Module):
    def forward(self, images):
        height, width = images.shape[2:]
        box = torch.tensor([[0.0, 0.0, width, height]])
        return [
            {"boxes": box.repeat(3, 1), "labels": torch.tensor([1, 2, 3]), "scores": image.mean(dim=(1, 2))}
            for image in images
        ]
"""
SMALL = """
from numserve.engine.models.detection.ssdlite import ssdlite320_mobilenet_v3_large

class Detector(ssdlite320_mobilenet_v3_large(num_classes=3).__class__):
    def __init__(self):
        made = ssdlite320_mobilenet_v3_large(num_classes=3)
        super().__init__(made.backbone, made.anchor_generator, (320, 320), 3, head=made.head, detections_per_img=4)
"""


def served(folder: Any, source: str) -> tuple[Any, Any]:
    (folder / "index_to_name.json").write_text(json.dumps({"0": "none", "1": "red", "2": "green", "3": "blue"}))
    context = context_for(write(folder, model=source), modelFile="model.py")
    handler = load_handler("object_detector", folder)
    handler.initialize(context)
    return handler, context


def plain(width: int, height: int, colour: tuple[int, int, int]) -> bytes:
    return encoded(Image.new("RGB", (width, height), colour))


def test_things_that_score_enough_come_with_label_box_and_score(tmp_path: Any) -> None:
    handler, context = served(tmp_path, WHOLE)
    rows = [{"body": plain(40, 30, (255, 0, 204))}, {"data": plain(40, 30, (0, 0, 0))}]

    first, second = handler.handle(rows, context)

    box = [0.0, 0.0, 40.0, 30.0]
    assert first == [{"red": box, "score": 1.0}, {"blue": box, "score": pytest.approx(0.8)}]
    assert second == []
    assert json.dumps(first)


def test_the_threshold_is_the_classes(tmp_path: Any) -> None:
    handler, context = served(tmp_path, WHOLE)
    handler.threshold = 0.9

    assert [list(thing) for thing in handler.handle([{"body": plain(8, 8, (255, 0, 204))}], context)[0]] == [
        ["red", "score"]
    ]


def test_pictures_of_different_sizes_are_answered_one_by_one(tmp_path: Any) -> None:
    handler, context = served(tmp_path, WHOLE)

    answers = handler.handle([{"body": plain(width, 8, (255, 0, 0))} for width in (8, 12)], context)

    assert [things[0]["red"] for things in answers] == [[0.0, 0.0, 8.0, 8.0], [0.0, 0.0, 12.0, 8.0]]


def test_the_engines_detector_runs_its_layers_on_a_plan(tmp_path: Any) -> None:
    handler, context = served(tmp_path, SMALL)
    handler.threshold = 0.0
    prepare(handler, context)
    made_before = len(handler.fast_path.describe()["plans"])
    rows = [{"body": encoded(picture("RGB", *size))} for size in ((90, 120), (64, 48), (64, 48))]

    answers = handler.handle(rows, context)

    described = handler.fast_path.describe()
    assert made_before and described["mode"] == "plan" and described["eager_calls"] == 0
    assert [len(things) for things in answers] == [4, 4, 4]
    with engine.no_grad():
        expected = type(handler.model)()
        expected.load_state_dict(handler.model.state_dict())
        (found,) = expected.eval()(handler.preprocess(rows[1:2]))
    boxes = [next(value for key, value in thing.items() if key != "score") for thing in answers[1]]
    assert np.allclose(boxes, found["boxes"].numpy(), atol=0.05)


BOXES, LABELS, SCORES = Tensor(np.ones((1, 4))), Tensor(np.array([2])), Tensor(np.array([0.75]))
FOUND = {"boxes": BOXES, "labels": LABELS, "scores": SCORES}


@pytest.mark.parametrize(
    "output",
    [
        [FOUND],
        ({}, [FOUND]),
        OrderedDict(FOUND),
        (BOXES, SCORES, LABELS),
        [BOXES, LABELS, SCORES],
    ],
    ids=["module", "TorchScript", "dict", "ONNX", "list"],
)
def test_what_files_of_all_kinds_give_is_understood(output: Any) -> None:
    assert ObjectDetector().postprocess(output) == [[{"2": [1.0, 1.0, 1.0, 1.0], "score": 0.75}]]


def test_nothing_is_explained(tmp_path: Any) -> None:
    handler, context = served(tmp_path, WHOLE)
    context.begin(["id"], [{"explain": "True"}])

    with pytest.raises(Exception, match="explains no predictions : 501"):
        handler.handle([{"body": plain(8, 8, (1, 2, 3))}], context)
