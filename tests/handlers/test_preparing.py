"""What is compiled between a handler's initialize() and its first batch, and what is told of it."""

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import pytest
from numserve import engine
from numserve.engine import formats
from numserve.handlers import (
    BaseHandler,
    Context,
    Handler,
    HandlerError,
    engine_of,
    load_handler,
    prepare,
    wrap_envelope,
)
from numserve.handlers.fast_path import NOT_YET
from numserve.handlers.image_classifier import ImageClassifier

from .conftest import context_for, write

NET = """
from numserve.engine import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear({features}, 3)

    def forward(self, x):
        return self.fc(x.flatten(1))
"""
SMALL = """
from numserve.handlers.image_classifier import ImageClassifier
from numserve.handlers.transforms import CenterCrop, Compose, ToTensor

class Small(ImageClassifier):
    image_processing = Compose([CenterCrop(4), ToTensor()])
"""
ROWS = """
from numserve.handlers import BaseHandler

class Rows(BaseHandler):
    def preprocess(self, data):
        return super().preprocess([row["body"] for row in data])
"""


def ready(folder: Path, handler: str | Handler, features: int = 2, batch_size: int = 4, **section: Any) -> Handler:
    """A handler of a linear model, as it is before its first batch; keywords are the YAML's `engine` section."""
    write(folder, model=NET.format(features=features))
    manifest = {"model": {"modelName": "m", "modelFile": "model.py"}}
    config = {"engine": section} if section else {}
    context = Context("m", folder, manifest, batch_size, model_yaml_config=config, threads=1)
    if isinstance(handler, str):
        handler = load_handler("handler", write(folder, handler=handler))
    handler.initialize(context)
    prepare(handler, context)
    return handler


def handled(handler: Any, *bodies: Any) -> Any:
    context = handler.context
    context.begin([str(number) for number in range(len(bodies))], [{} for _ in bodies])
    return handler.handle([{"body": body} for body in bodies], context)


def plans(handler: Handler) -> list[int]:
    told = engine_of(handler)
    assert told is not None
    return [plan["batch"] for plan in told["plans"]]


def test_pictures_have_the_shape_that_the_transforms_give_them(tmp_path) -> None:
    assert plans(ready(tmp_path, SMALL, features=48, batch_size=6)) == [1, 2, 4, 6]


def test_the_image_classifiers_own_shape() -> None:
    handler = ImageClassifier()

    assert [tuple(each.shape) for each in handler.example_inputs()] == [(1, 3, 224, 224)]


@pytest.mark.parametrize("features", [48, 27])
def test_a_model_that_wants_other_pictures_waits_for_them(tmp_path, features, caplog) -> None:
    handler = ready(tmp_path, SMALL.replace("CenterCrop(4)", "CenterCrop(5)"), features=features)

    assert engine_of(handler)["reason"].startswith(f"{NOT_YET}; it cannot run with")  # type: ignore[index]
    assert "compile" not in caplog.text


def test_declared_inputs(tmp_path) -> None:
    assert plans(ready(tmp_path, ROWS, inputs=[[1, 2]], batches=[2, 8])) == [2, 8]


def test_plans_that_would_take_too_long_are_not_begun(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("numserve.handlers.preparing.SECONDS", 0.0)

    handler = ready(tmp_path, ROWS, inputs=[[1, 2]])
    assert plans(handler) == [1]
    handled(handler, *[[1.0, 2.0]] * 4)

    assert plans(handler) in ([1], [4])  # one is kept; another takes its place where it is much faster


def test_declared_inputs_that_do_not_fit_are_named(tmp_path, caplog) -> None:
    handler = ready(tmp_path, ROWS, inputs=[[1, 5]])

    assert "engine.inputs: the model cannot be compiled for them: ShapeError" in caplog.text
    assert len(handled(handler, [1.0, 2.0])) == 1
    assert plans(handler) == [1]


def test_a_sample_is_answered_and_forgotten(tmp_path) -> None:
    (tmp_path / "sample.json").write_text("[0.5, 1.5]")

    handler = ready(tmp_path, ROWS, sample="sample.json")

    assert plans(handler) == [1, 2, 4]
    assert handler.context.metrics.drain() == []  # type: ignore[attr-defined]


@pytest.mark.parametrize(("name", "content"), [("s.json", b"{"), ("s.json", b"[1]"), ("s.txt", b"[1]"), ("s.bin", b"")])
def test_a_sample_that_cannot_be_answered_is_named(tmp_path, caplog, name, content) -> None:
    (tmp_path / name).write_bytes(content)

    ready(tmp_path, ROWS, sample=name)

    assert f"engine.sample: {name} cannot be answered" in caplog.text


def test_a_sample_that_is_not_there_stops_the_load(tmp_path) -> None:
    with pytest.raises(HandlerError, match="engine.sample: the archive does not hold s.json; pack it with"):
        ready(tmp_path, ROWS, sample="s.json")


def test_a_sample_comes_in_an_envelope(tmp_path) -> None:
    (tmp_path / "sample.json").write_text(json.dumps({"instances": [[0.5, 1.5]] * 3}))
    write(tmp_path, model=NET.format(features=2))

    handler = ready(tmp_path, wrap_envelope("json", BaseHandler()), sample="sample.json", batches=[2])

    assert plans(handler) == [2, 4]


def test_a_function_gets_the_sample_too(tmp_path) -> None:
    (tmp_path / "s.txt").write_text("hello")
    source = "SEEN = []\ndef handle(data, context):\n    SEEN.append(data and data[0]['body'])\n    return SEEN"

    handler = ready(tmp_path, source, sample="s.txt")

    assert handler.handle([], None) == [None, "hello", []]  # type: ignore[arg-type]
    assert engine_of(handler) is None


def test_wrong_options_stop_the_load(tmp_path) -> None:
    with pytest.raises(HandlerError, match=r"engine\.threads: met 'two'; expected a whole number of at least 1"):
        ready(tmp_path, ROWS, threads="two")


@pytest.mark.parametrize(("mode", "told"), [("no_grad", "plan"), ("inference_mode", "plan"), ("enable_grad", "eager")])
def test_a_handler_may_call_the_model_itself(tmp_path, mode, told) -> None:
    source = SMALL + (
        "\n    def inference(self, data):\n"
        "        from numserve import engine\n"
        f"        with engine.{mode}():\n"
        "            return self.model(data)\n"
    )

    handler = ready(tmp_path, source, features=48)

    assert len(handled(handler, [[[0.5] * 4] * 4] * 3)) == 1
    assert engine_of(handler)["mode"] == told  # type: ignore[index]


OWN_CLASS = """
from model import Net
from numserve import engine

class Own:
    def initialize(self, context):
        self.context, self.model = context, Net().eval()

    def handle(self, data, context):
        with engine.no_grad():
            return self.model(engine.tensor([row["body"] for row in data])).tolist()
"""


@pytest.mark.parametrize(("section", "first", "then"), [({"inputs": [[1, 2]]}, [1, 2, 4], [1, 2, 4]), ({}, [], [1])])
def test_a_class_of_its_own_is_fast_too(tmp_path, section, first, then) -> None:
    handler = ready(tmp_path, OWN_CLASS, **section)
    assert plans(handler) == first

    assert len(handled(handler, [1.0, 2.0])) == 1

    assert plans(handler) == then
    assert engine_of(handler)["eager_calls"] == 0  # type: ignore[index]


def test_its_own_inference_may_go_the_fast_path(tmp_path) -> None:
    source = SMALL + "\n    def inference(self, data):\n        return super().inference(data * 2)\n"

    handler = ready(tmp_path, source, features=48)

    assert plans(handler) == []
    assert len(handled(handler, [[[0.5] * 4] * 4] * 3)) == 1
    assert plans(handler) == [1]


def test_the_model_stays_a_module(tmp_path) -> None:
    handler: Any = ready(tmp_path, ROWS, inputs=[[1, 2]])

    assert isinstance(handler.model, engine.nn.Module)
    assert list(handler.model.state_dict()) == ["fc.weight", "fc.bias"]
    assert handler.model.eval() is handler.model
    handler.model(engine.zeros(1, 2)).sum().backward()
    assert handler.model.fc.weight.grad is not None
    assert plans(handler) == [1, 2, 4]


def test_another_model_gets_plans_of_its_own(tmp_path) -> None:
    handler: Any = ready(tmp_path, ROWS, inputs=[[1, 2]])
    first = handled(handler, [1.0, 2.0])

    handler.model = engine.nn.Linear(2, 1).eval()

    assert handled(handler, [1.0, 2.0]) != first
    assert handler.fast_path.model is handler.model
    assert plans(handler) == [1]


def test_a_handler_that_initializes_in_its_own_way(tmp_path) -> None:
    source = ROWS + (
        "\n    def __init__(self): pass\n"
        "    def initialize(self, context):\n"
        "        from numserve.engine import device, nn\n"
        "        self.model, self.device = nn.Linear(2, 2).eval(), device('cpu')\n"
    )

    handler = ready(tmp_path, source)

    assert len(handled(handler, [1.0, 2.0])) == 1
    assert plans(handler) == [1]


PROGRAMS = {"torchscript": "torchscript/mymodule.pt", "onnx": "onnx/opset12.onnx", "pt2": "export/attention.pt2"}


@pytest.mark.parametrize("kind", PROGRAMS)
def test_it_tells_what_the_model_was_read_from(kind: str, tmp_path: Path) -> None:
    shutil.copy(Path(__file__).parent.parent / "data" / PROGRAMS[kind], tmp_path / "file")
    context, handler = context_for(tmp_path, serializedFile="file"), BaseHandler()
    handler.initialize(context)
    prepare(handler, context)
    told = engine_of(handler)
    assert told is not None and told["format"] == kind and told["reason"]


def test_it_tells_what_weights_were_read_from(tmp_path: Path) -> None:
    weights = {f"fc.{name}": tensor for name, tensor in engine.nn.Linear(2, 3).state_dict().items()}
    formats.save(weights, tmp_path / "weights.pth")
    write(tmp_path, model=NET.format(features=2))
    context, handler = context_for(tmp_path, modelFile="model.py", serializedFile="weights.pth"), BaseHandler()
    handler.initialize(context)
    prepare(handler, context)
    assert engine_of(handler)["format"] == "checkpoint-zip"  # type: ignore[index]


def test_the_archives_choices_are_used(tmp_path, monkeypatch) -> None:
    from numserve.engine.executors import Choices

    choices = Choices()
    choices.put("key", "way")
    (tmp_path / "MAR-INF").mkdir()
    choices.save(tmp_path / "MAR-INF" / "choices.json")

    handler: Any = ready(tmp_path, ROWS)

    assert handler.fast_path.choices.get("key") == "way"


@pytest.mark.oracle
def test_a_model_of_real_torch_runs_as_it_is(tmp_path, caplog) -> None:
    torch = pytest.importorskip("torch")
    caplog.set_level(logging.WARNING)
    handler: Any = ready(tmp_path, ROWS)
    handler.model = torch.nn.Linear(2, 2).eval()

    assert len(handled(handler, [1.0, 2.0])) == 1
    assert engine_of(handler)["reason"] == "a Linear is no module of the engine"  # type: ignore[index]


def test_weights_are_read_before_the_plans_are_made(tmp_path) -> None:
    formats.save({"fc.weight": engine.ones(3, 2), "fc.bias": engine.zeros(3)}, tmp_path / "w.pth")
    source = ROWS + (
        "\n    def initialize(self, context):\n"
        "        super().initialize(context)\n"
        "        from numserve.engine import load\n"
        "        self.model.load_state_dict(load('w.pth'))\n"
    ).replace("'w.pth'", repr(str(tmp_path / "w.pth")))

    handler = ready(tmp_path, source, inputs=[[1, 2]])

    assert handled(handler, [1.0, 2.0]) == [[3.0, 3.0, 3.0]]
