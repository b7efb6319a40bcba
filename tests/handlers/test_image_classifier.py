import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numserve import engine
from numserve.handlers import load_handler
from numserve.handlers.image_classifier import ImageClassifier
from PIL import Image

from .conftest import context_for, oracle, write
from .pictures import picture

# Scores each picture by the means of its channels, so that a known picture has a known answer.
MEANS = """
from numserve.engine import nn

class Means(nn.Module):
    def forward(self, x):
        return x.mean(dim=(2, 3))
"""


def encoded(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def classifier(folder: Path, labels: Any = None, source: str = "image_classifier") -> tuple[Any, Any]:
    """An initialised handler and its context."""
    if labels is not None:
        (folder / "index_to_name.json").write_text(json.dumps(labels))
    context = context_for(write(folder, model=MEANS), modelFile="model.py")
    handler = load_handler(source, folder)
    handler.initialize(context)
    return handler, context


def softmax(scores: list[float]) -> list[float]:
    powers = np.exp(np.float64(scores))
    return (powers / powers.sum()).tolist()  # type: ignore[no-any-return]


RED = Image.new("RGB", (300, 260), (255, 0, 0))
RED_SCORES = softmax([(1 - 0.485) / 0.229, -0.456 / 0.224, -0.406 / 0.225])


def test_probabilities_come_by_label_the_best_first(tmp_path) -> None:
    handler, context = classifier(tmp_path, {"0": "red", "1": ["n1", "green"], "2": "blue"})

    answers = handler.handle([{"body": encoded(RED)}, {"data": encoded(Image.new("L", (250, 900)))}], context)

    assert list(answers[0]) == ["red", "blue", "green"]
    assert answers[0] == pytest.approx({"red": RED_SCORES[0], "green": RED_SCORES[1], "blue": RED_SCORES[2]}, rel=1e-5)
    assert len(answers) == 2
    assert json.dumps(answers)


def test_without_labels_the_class_numbers_stand_in(tmp_path) -> None:
    handler, context = classifier(tmp_path)

    assert list(handler.handle([{"body": encoded(RED)}], context)[0]) == ["0", "2", "1"]


def test_the_number_of_classes_can_be_set(tmp_path) -> None:
    handler, context = classifier(tmp_path)
    assert handler.get_max_result_classes() == 5
    handler.set_max_result_classes(1)

    assert handler.handle([{"body": encoded(RED)}], context) == [{"0": pytest.approx(RED_SCORES[0], rel=1e-5)}]


@pytest.mark.parametrize("classes", [1, 4, 5, 6, 1000])
def test_at_most_five_classes_are_named(classes) -> None:
    scores = engine.tensor([[float(number) for number in range(classes)]] * 2)

    answers = ImageClassifier().postprocess(scores)

    assert [list(answer) for answer in answers] == [[str(n) for n in range(classes - 1, -1, -1)][:5]] * 2


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P", "CMYK", "1", "LA"])
def test_pictures_of_any_kind_are_taken_in_colour(tmp_path, mode) -> None:
    image = picture(mode, 230, 226)
    stream = io.BytesIO()
    image.save(stream, "TIFF")

    assert ImageClassifier().preprocess([{"body": stream.getvalue()}]).shape == (1, 3, 224, 224)


MNIST = """
import torch
from torchvision import transforms
from ts.torch_handler.image_classifier import ImageClassifier
from torch.profiler import ProfilerActivity

class MNISTDigitClassifier(ImageClassifier):
    image_processing = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.1307,), (0.3081,))])

    def __init__(self):
        super().__init__()
        self.profiler_args = {"activities": [ProfilerActivity.CPU], "record_shapes": True}

    def postprocess(self, data):
        return data.argmax(1).tolist()
"""


def test_a_handler_of_digits_as_users_write_it(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("numserve.handlers.alias.active", lambda top: top in ("ts", "torch", "torchvision"))
    handler, context = classifier(write(tmp_path, mnist_handler=MNIST), source="mnist_handler.py")

    assert handler.handle([{"data": encoded(Image.new("L", (28, 28), 9))}], context) == [0]
    assert handler.preprocess([{"data": encoded(Image.new("L", (28, 28)))}]).shape == (1, 1, 28, 28)


@pytest.mark.oracle
def test_a_model_of_real_torch_classifies(tmp_path) -> None:
    torch = pytest.importorskip("torch")
    write(tmp_path, model=MEANS)
    context = context_for(tmp_path, modelFile="model.py")
    (tmp_path / "model.py").write_text(MEANS.replace("from numserve.engine import nn", "from torch import nn"))
    handler = ImageClassifier()
    handler.initialize(context)

    assert handler.library is torch
    assert list(handler.handle([{"body": encoded(RED)}], context)[0]) == ["0", "2", "1"]


NET = """
from numserve.engine import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 7, stride=4)
        self.norm = nn.BatchNorm2d(8)
        self.pool = nn.AdaptiveAvgPool2d(2)
        self.fc = nn.Linear(32, 12)

    def forward(self, x):
        return self.fc(self.pool(self.norm(self.conv(x)).relu()).flatten(1))
"""


@pytest.mark.oracle
def test_the_answers_are_those_of_torch_and_torchvision(tmp_path) -> None:
    torch = pytest.importorskip("torch")
    transforms = oracle().transforms
    namespace: dict[str, Any] = {}
    exec(NET.replace("numserve.engine", "torch"), namespace)
    model = namespace["Net"]()
    model.norm.running_mean.normal_()
    torch.save({name: value * 3 for name, value in model.state_dict().items()}, tmp_path / "net.pth")
    model.load_state_dict(torch.load(tmp_path / "net.pth", weights_only=True))
    context = context_for(write(tmp_path, model=NET), modelFile="model.py", serializedFile="net.pth")
    handler = ImageClassifier()
    handler.initialize(context)
    images = [picture("RGB", 400, 300, seed) for seed in range(3)]
    steps = [transforms.Resize(256), transforms.CenterCrop(224), transforms.ToTensor()]
    prepare = transforms.Compose([*steps, transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])])

    answers = handler.handle([{"body": encoded(image)} for image in images], context)
    with torch.no_grad():
        scores = model.eval()(torch.stack([prepare(image) for image in images]))
    best, classes = torch.topk(torch.softmax(scores, 1), 5)

    assert [list(map(int, answer)) for answer in answers] == classes.tolist()
    assert [list(answer.values()) for answer in answers] == [pytest.approx(row, rel=1e-4) for row in best.tolist()]
