import json
from typing import Any

import numpy as np
import pytest
from numserve import engine
from numserve.handlers import load_handler
from numserve.handlers.image_segmenter import ImageSegmenter
from PIL import Image

from .conftest import context_for, write
from .test_image_classifier import encoded, softmax

# Scores each pixel by its channels, so that a known picture has a known answer; "aux" is there to be left alone.
PIXELS = """
from collections import OrderedDict
from numserve.engine import nn

class Pixels(nn.Module):
    def forward(self, x):
        return OrderedDict([("out", x * 1.0), ("aux", x * 0.0)])
"""
RED_SCORES = softmax([(1 - 0.485) / 0.229, -0.456 / 0.224, -0.406 / 0.225])
BLUE_SCORES = softmax([-0.485 / 0.229, -0.456 / 0.224, (1 - 0.406) / 0.225])


@pytest.fixture
def served(tmp_path: Any) -> Any:
    context = context_for(write(tmp_path, model=PIXELS), modelFile="model.py")
    handler = load_handler("image_segmenter", tmp_path)
    handler.initialize(context)
    return handler, context


def halves() -> Image.Image:
    """Red on the left, blue on the right."""
    image = Image.new("RGB", (256, 256), (255, 0, 0))
    image.paste((0, 0, 255), (128, 0, 256, 256))
    return image


def test_each_pixel_is_its_class_and_the_probability_of_that(served: Any) -> None:
    handler, context = served

    (answer, other) = handler.handle(
        [{"body": encoded(halves())}, {"data": encoded(Image.new("L", (300, 230)))}], context
    )

    pixels = np.array(answer)
    assert pixels.shape == np.array(other).shape == (224, 224, 2)
    assert (pixels[:, :112, 0] == 0).all() and (pixels[:, 112:, 0] == 2).all()
    assert pixels[:, :112, 1] == pytest.approx(RED_SCORES[0], rel=1e-5)
    assert pixels[:, 112:, 1] == pytest.approx(BLUE_SCORES[2], rel=1e-5)
    assert isinstance(answer[0][0][0], float) and json.dumps(answer)


def test_it_runs_on_a_plan_that_is_there_before_the_first_request(served: Any) -> None:
    handler, context = served

    handler.handle([{"body": encoded(halves())}], context)

    assert [tensor.shape for tensor in handler.example_inputs()] == [(1, 3, 224, 224)]
    assert handler.fast_path.describe()["mode"] == "plan"


def test_scores_may_come_as_a_tensor_alone() -> None:
    scores = engine.tensor(np.log([[[[0.25]], [[0.75]]]]).astype(np.float32))

    assert ImageSegmenter().postprocess(scores) == [[[[1.0, pytest.approx(0.75)]]]]


def test_a_bad_picture_is_refused_alone(served: Any) -> None:
    handler, context = served

    bad, good = handler.handle([{"body": b"no picture"}, {"body": encoded(halves())}], context)

    assert bad.error_code == 503 and "request 0 holds no readable picture" in str(bad)
    assert np.array(good).shape == (224, 224, 2)


def test_an_explanation_has_the_shape_of_the_picture(served: Any) -> None:
    handler, context = served
    context.begin(["id"], [{"explain": "True"}])

    (explained,) = handler.handle([{"data": encoded(halves()), "target": "2"}], context)

    counted = np.array(explained)
    assert counted.shape == (3, 224, 224)
    assert not counted[:2].any(), "the score of class 2 is the third channel's mean"
    assert counted[2].sum() == pytest.approx((-0.406 / 0.225 + (1 - 0.406) / 0.225) / 2, rel=1e-4)
