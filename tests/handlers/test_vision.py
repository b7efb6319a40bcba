import io
from base64 import b64encode
from typing import Any

import numpy as np
import pytest
from numserve.engine import Tensor
from numserve.handlers import PredictionException
from numserve.handlers.transforms import ToTensor
from numserve.handlers.vision import VisionHandler, picture_in
from PIL import Image

from .conftest import context_for, write


def encoded(image: Image.Image, kind: str = "PNG") -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind)
    return stream.getvalue()


PIXEL = Image.new("RGB", (2, 1), (255, 0, 51))
PNG = encoded(PIXEL)
JPEG = encoded(Image.linear_gradient("L"), "JPEG")
TEXT = b64encode(PNG).decode()
AS_TENSOR = [[[1.0, 1.0]], [[0.0, 0.0]], [[np.float32(0.2), np.float32(0.2)]]]


class Plain(VisionHandler):
    """A picture as it is."""

    image_processing = ToTensor()


@pytest.mark.parametrize(
    "row",
    [
        {"data": bytearray(PNG)},
        {"body": PNG},
        {"body": memoryview(PNG)},
        {"data": bytearray(), "body": PNG},
        {"data": TEXT},
        {"body": "data:image/png;base64," + TEXT},
        {"body": {"data": TEXT}},
        {"body": {"b64": TEXT}},
        {"data": {"body": {"b64": TEXT}}},
        {"body": AS_TENSOR},
        PNG,
        TEXT,
    ],
)
def test_every_form_of_a_picture(row) -> None:
    batch = Plain().preprocess([row, {"body": PNG}])

    assert isinstance(batch, Tensor)
    assert batch.array.dtype == np.float32
    assert batch.tolist() == [AS_TENSOR, AS_TENSOR]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF"])
def test_image_formats(kind) -> None:
    batch = Plain().preprocess([{"body": encoded(PIXEL.convert("L"), kind)}])

    assert batch.array.shape[2:] == (1, 2)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"image": PNG}, r"request 0 holds no readable picture: expected one under 'data' or 'body', met \['image'\]"),
        (
            {chr(65 + n) * 900: "" for n in range(9)},
            r"met \['A{12}\.\.\.A{13}', .*, \.\.\.\]; curl sends a picture by -T",
        ),
        ({}, r"met \[\]"),
        ({"body": bytearray()}, "expected one under"),
        (None, "met NoneType"),
        ({"body": b"hello world"}, "no readable picture: 11 bytes, starting with b'hello wo', are of no image format"),
        ({"body": JPEG[: len(JPEG) // 2]}, "image file is truncated"),
        ({"body": PNG[:40]}, "no readable picture"),
        ({"body": "not base64!"}, "a text must be a picture in base64"),
        ({"body": [[1, "x"]]}, "no readable picture"),
        ({"body": [[1], [1, 2]]}, "no readable picture"),
        ({"body": 7}, "met a int"),
    ],
)
def test_what_is_no_picture(row, message) -> None:
    with pytest.raises(PredictionException, match=message) as caught:
        Plain().preprocess([row])

    assert caught.value.error_code == 503


def test_pictures_of_different_shapes_cannot_be_a_batch() -> None:
    other = {"body": encoded(Image.new("RGB", (3, 3)))}

    with pytest.raises(PredictionException, match=r"different shapes: \(3, 1, 2\) of \S*float32, \(3, 3, 3\) of"):
        Plain().preprocess([{"body": PNG}, other])


def test_an_empty_value_is_none() -> None:
    assert picture_in({"data": None, "body": ""}) is None


@pytest.mark.parametrize(("limited", "expected"), [(True, 100), (False, None)])
def test_the_limit_on_pixels_follows_the_server(tmp_path, monkeypatch, limited, expected) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    source = "from numserve.engine import nn\nclass Net(nn.Module):\n    def forward(self, x): return x\n"
    context: Any = context_for(write(tmp_path, model=source), modelFile="model.py")
    context.system_properties["limit_max_image_pixels"] = limited

    Plain().initialize(context)

    assert expected == Image.MAX_IMAGE_PIXELS


def test_a_picture_over_the_limit_is_refused(monkeypatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 40)

    with pytest.raises(PredictionException, match="exceeds limit"):
        Plain().preprocess([{"body": encoded(Image.new("L", (10, 10)))}])


class Shaped(Plain):
    def inference(self, data):
        return data

    def postprocess(self, data):
        return [list(each.shape) for each in data]


def test_a_bad_picture_is_refused_alone(context) -> None:
    context.begin(["a", "b", "c"], [{}, {}, {}])
    handler = Shaped()
    first, bad, last = handler.handle([{"body": PNG}, {"body": b"nonsense"}, {"body": PNG}], context)
    assert first == last == [3, 1, 2]
    assert isinstance(bad, PredictionException) and "no image format" in bad.message


def test_pictures_of_different_shapes_are_answered_one_by_one(context) -> None:
    context.begin(["a", "b"], [{}, {}])
    other = {"body": encoded(Image.new("RGB", (3, 3)))}
    assert Shaped().handle([{"body": PNG}, other], context) == [[3, 1, 2], [3, 3, 3]]


def test_pictures_of_different_dtypes_are_answered_one_by_one(context) -> None:
    class Typed(Shaped):
        def image_processing(self, image):
            tensor = ToTensor()(image)
            return tensor.double() if image.getpixel((0, 0))[0] else tensor

        def postprocess(self, data):
            return [str(each.dtype).rpartition(".")[2] for each in data]

    context.begin(["a", "b"], [{}, {}])
    black = {"body": encoded(Image.new("RGB", (2, 1)))}
    assert Typed().handle([{"body": PNG}, black], context) == ["float64", "float32"]
