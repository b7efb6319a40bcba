import json
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numserve import engine
from numserve.engine import formats, models
from numserve.engine.sharing import share_in
from numserve.handlers import (
    BaseHandler,
    Context,
    HandlerError,
    PredictionException,
    alias,
    load_handler,
    share_weights,
)
from numserve.handlers.library import convert, library_of

from .conftest import context_for, write

NET = """
from numserve.engine import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(2, 2)

    def forward(self, x):
        return self.fc(x)
"""
OLD_NAMES = (
    NET
    + """
    def load_state_dict(self, state_dict, strict=True):
        for name in list(state_dict):
            state_dict[name.replace("f.c", "fc")] = state_dict.pop(name)
        return super().load_state_dict(state_dict, strict)
"""
)
WEIGHTS = {"fc.weight": [[1.0, 2.0], [3.0, 4.0]], "fc.bias": [0.5, -0.5]}


def weights(folder: Path, **renamed: str) -> None:
    """Write the weights to net.pth, under other names where told."""
    tensors = {renamed.get(name.split(".")[1], name): engine.tensor(value) for name, value in WEIGHTS.items()}
    formats.save(tensors, folder / "net.pth")


def initialized(context: Context) -> BaseHandler:
    handler = BaseHandler()
    handler.initialize(context)
    return handler


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """A folder with a model file and its weights."""
    weights(tmp_path)
    return write(tmp_path, model=NET)


def test_a_model_without_weights_is_told(archive, caplog) -> None:
    initialized(context_for(archive, modelFile="model.py"))

    assert "the archive has no weights: those of model.py are as its class makes them" in caplog.messages


def test_a_model_file_and_its_weights(archive) -> None:
    context = context_for(archive, modelFile="model.py", serializedFile="net.pth")
    handler = initialized(context)

    assert handler.handle([[1.0, 1.0], [0.0, 2.0]], context) == [[3.5, 6.5], [4.5, 7.5]]
    assert handler.initialized
    assert handler.model.training is False
    assert (handler.map_location, str(handler.get_device())) == ("cpu", "cpu")
    assert handler.manifest is context.manifest
    assert handler.model_pt_path == str(archive / "net.pth")


def test_handling_is_measured(archive) -> None:
    context = context_for(archive, modelFile="model.py", serializedFile="net.pth")
    initialized(context).handle([[1.0, 1.0]], context)

    assert [(e.name, e.kind, e.unit, e.labels) for e in context.metrics.drain()] == [
        ("HandlerTime", "gauge", "ms", {"ModelName": "m", "Level": "Model"})
    ]


def test_a_model_without_weights_is_made_as_its_class_makes_it(archive) -> None:
    handler = initialized(context_for(archive, modelFile="model.py"))

    assert handler.model.fc.weight.shape == (2, 2)


def test_a_model_may_rename_what_it_loads(tmp_path) -> None:
    weights(tmp_path, weight="f.c.weight", bias="f.c.bias")
    context = context_for(write(tmp_path, model=OLD_NAMES), modelFile="model.py", serializedFile="net.pth")

    assert initialized(context).handle([[1.0, 1.0]], context) == [[3.5, 6.5]]


DENSENET = """
import re
from torchvision.models.densenet import DenseNet

OLD = re.compile(r"^(.*denselayer\\d+\\.(?:norm|conv))\\.([12]\\..*)$")

class Small(DenseNet):
    def __init__(self):
        super().__init__(4, (2, 1), 8, num_classes=3)

    def load_state_dict(self, state_dict, strict=True):
        for name in list(state_dict.keys()):
            if old := OLD.match(name):
                state_dict[old.group(1) + old.group(2)] = state_dict[name]
                del state_dict[name]
        return super().load_state_dict(state_dict, strict)
"""


def test_the_old_names_of_densenet(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("numserve.handlers.alias.active", lambda top: top in ("ts", "torch", "torchvision"))
    model = models.densenet.DenseNet(4, (2, 1), 8, num_classes=3)
    old = {re.sub(r"(denselayer\d+\.(?:norm|conv))([12])", r"\1.\2", name): v for name, v in model.state_dict().items()}
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    formats.save(old, tmp_path / "net.pth")
    handler = initialized(context_for(write(tmp_path, model=DENSENET), modelFile="model.py", serializedFile="net.pth"))

    assert all(
        np.array_equal(ours.array, theirs.array)
        for ours, theirs in zip(handler.model.state_dict().values(), model.state_dict().values(), strict=True)
    )


def test_a_model_file_over_torch_gets_the_engine(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("numserve.handlers.alias.active", lambda top: top in ("ts", "torch"))
    weights(tmp_path)
    write(tmp_path, model=NET.replace("from numserve.engine import nn", "import torch\nimport torch.nn as nn"))
    context = context_for(tmp_path, modelFile="model.py", serializedFile="net.pth")

    assert initialized(context).handle([[1.0, 1.0]], context) == [[3.5, 6.5]]


def test_a_step_can_be_replaced_in_the_archive(archive) -> None:
    source = """
from ts.torch_handler.base_handler import BaseHandler

class Best(BaseHandler):
    def preprocess(self, data):
        return super().preprocess([row["body"] for row in data])

    def postprocess(self, data):
        return data.numpy().argmax(axis=-1).tolist()
"""
    context = context_for(write(archive, handler=source), modelFile="model.py", serializedFile="net.pth")
    handler = load_handler("handler.py", archive)
    handler.initialize(context)

    assert handler.handle([{"body": [1.0, 1.0]}, {"body": [0.0, -9.0]}], context) == [1, 0]


@pytest.mark.parametrize(("content", "mapping"), [({"0": "cat"}, {"0": "cat"}), (None, None)])
def test_labels_are_read(archive, content, mapping) -> None:
    if content:
        (archive / "index_to_name.json").write_text(json.dumps(content))

    assert initialized(context_for(archive, modelFile="model.py")).mapping == mapping


def test_no_gradients_are_kept(archive) -> None:
    context = context_for(archive, modelFile="model.py")
    handler = initialized(context)

    assert not handler.inference(engine.tensor([[1.0, 1.0]])).requires_grad


TORCHSCRIPT = {
    "net/data.pkl": b"\x80\x02}.",
    "net/constants.pkl": b"\x80\x02).",
    "net/code/__torch__.py": b"",
    "net/version": b"3",
}


def zipped(path: Path, members: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"modelFile": "net.py"}, "Missing the net.py file"),
        ({"modelFile": "two.py"}, r"Expected only one class as model definition. two.py defines 2: A, B"),
        ({"modelFile": "none.py"}, "none.py defines 0: none"),
        ({"modelFile": "model.py", "serializedFile": "no.pth"}, "does not hold no.pth"),
        ({"modelFile": "model.py", "serializedFile": "script.pt"}, "TorchScript"),
        ({"serializedFile": "script.pt"}, "No model weights could be loaded: .*script.pt.* TorchScript"),
        ({"serializedFile": "net.pth"}, "net.pth holds weights alone; pack the file of the class .* --model-file"),
        ({"serializedFile": "no.pt"}, "No model weights could be loaded: the archive does not hold no.pt"),
        ({}, "names neither a model file nor a serialized file"),
    ],
)
def test_what_cannot_be_loaded(archive, model, message) -> None:
    write(archive, two="class A: ...\nclass B: ...", none="from pathlib import Path")
    zipped(archive / "script.pt", TORCHSCRIPT)

    with pytest.raises((HandlerError, engine.errors.FormatError), match=message):
        initialized(context_for(archive, **model))


def test_no_manifest_at_all(tmp_path) -> None:
    with pytest.raises(HandlerError, match="No model weights could be loaded"):
        initialized(Context("m", tmp_path, None, 1))


def test_an_error_in_the_model_file_has_its_line(tmp_path) -> None:
    write(tmp_path, model=NET.replace("nn.Linear(2, 2)", "nn.Linear(2, 'two')"))

    with pytest.raises(Exception) as caught:
        initialized(context_for(tmp_path, modelFile="model.py"))

    assert HandlerError.wrap(caught.value, "initialize", tmp_path).where == "model.py:7"


def test_describing(archive) -> None:
    context = context_for(archive, modelFile="model.py")
    context.begin(["id0"], [{"describe": "True"}])

    assert initialized(context).handle([], context) == [None]


def explaining(handler: Any, archive: Path) -> Any:
    context = context_for(archive, modelFile="model.py", serializedFile="net.pth")
    context.begin(["id0"], [{"explain": "True"}])
    handler.initialize(context)
    return handler.handle([{"body": [[1.0, 1.0]], "target": 3}], context)


class Rows(BaseHandler):
    def preprocess(self, data: Any) -> Any:
        return super().preprocess([row["body"][0] for row in data])


def test_explanations_are_refused(archive) -> None:
    with pytest.raises(PredictionException, match="Rows explains no predictions") as caught:
        explaining(Rows(), archive)

    assert caught.value.error_code == 501


def test_a_handler_can_explain_by_itself(archive) -> None:
    class Explaining(Rows):
        def get_insights(self, tensor_data: Any, raw_data: Any, target: Any = 0) -> list[Any]:
            return [tensor_data.tolist(), raw_data, target]

    assert explaining(Explaining(), archive) == [[[1.0, 1.0]], [[1.0, 1.0]], 3]


def test_the_library_of_what_is_ours() -> None:
    tensor = engine.tensor([1.0])

    assert library_of(tensor) is library_of(None) is library_of(BaseHandler) is engine
    assert convert(tensor, engine) is tensor


@pytest.mark.oracle
def test_a_model_of_real_torch_stays_in_torch(archive) -> None:
    torch = pytest.importorskip("torch")
    torch.save({name: torch.tensor(value) for name, value in WEIGHTS.items()}, archive / "net.pth")
    write(archive, model=NET.replace("from numserve.engine import nn", "from torch import nn"))
    context = context_for(archive, modelFile="model.py", serializedFile="net.pth")
    handler = initialized(context)

    assert handler.library is torch
    assert handler.handle([[1.0, 1.0]], context) == [[3.5, 6.5]]
    assert isinstance(convert(engine.tensor([1.0]), torch), torch.Tensor)
    assert np.array_equal(convert(torch.ones(2), engine).numpy(), [1, 1])


DATA = Path(__file__).parent.parent / "data"


@pytest.mark.parametrize("file", ["torchscript/convolutions_traced.pt", "export/convolutions.pt2"])
def test_a_program_needs_no_model_file(tmp_path, file) -> None:
    (tmp_path / "program.pt").write_bytes((DATA / file).read_bytes())
    context = context_for(tmp_path, serializedFile="program.pt")
    handler = initialized(context)
    pictures = np.random.default_rng(0).random((2, 3, 16, 16), np.float32).tolist()

    first, second = handler.handle(pictures, context)

    assert len(first) == len(second) == 5
    assert sum(first) == pytest.approx(1, abs=1e-5)
    assert handler.fast_path.describe()["mode"] == "plan"


@pytest.mark.parametrize("file", ["torchscript/convolutions_traced.pt", "export/convolutions.pt2"])
def test_the_next_worker_answers_and_tells_what_the_first_did(tmp_path, file) -> None:
    path = tmp_path / Path(file).name
    path.write_bytes((DATA / file).read_bytes())
    context = context_for(tmp_path, serializedFile=path.name)
    pictures = np.random.default_rng(0).random((2, 3, 16, 16), np.float32).tolist()

    def worker() -> tuple[Any, Any]:
        share_weights(tmp_path, several=False)
        try:
            handler = initialized(context)
            return handler.handle(pictures, context), handler.fast_path.describe()
        finally:
            share_in(None)

    first = worker()

    assert (tmp_path / ".numserve-weights" / f"{path.name}.json").is_file() == (path.suffix == ".pt")
    assert worker() == first


def test_an_onnx_file_is_such_a_program(tmp_path) -> None:
    (tmp_path / "model.onnx").write_bytes((DATA / "onnx" / "pictures.onnx").read_bytes())
    context = context_for(tmp_path, serializedFile="model.onnx")
    handler = initialized(context)
    expected = np.load(DATA / "onnx" / "expected.npz")

    answers = handler.handle(expected["pictures/x"].tolist(), context)

    np.testing.assert_allclose(answers, expected["pictures/out0"], rtol=1e-4, atol=1e-5)
    assert handler.fast_path.describe()["mode"] == "plan"


def test_the_weights_of_a_program_go_into_a_model_file(tmp_path) -> None:
    class Net(engine.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = engine.nn.Linear(2, 2)

        def forward(self, x: Any) -> Any:
            return self.fc(x)

    net = Net().eval()
    engine.jit.trace(net, engine.ones(1, 2)).save(tmp_path / "net.pt")
    handler = initialized(context_for(write(tmp_path, model=NET), modelFile="model.py", serializedFile="net.pt"))

    assert handler.model.fc.weight.tolist() == net.fc.weight.tolist()


def test_an_archive_finds_torch_jit_where_it_looks_for_it(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(alias, "active", lambda top: top in ("ts", "torch", "torchvision"))  # whatever is installed
    (tmp_path / "program.pt").write_bytes((DATA / "torchscript" / "exported.pt").read_bytes())
    source = """
import torch
from numserve.handlers import BaseHandler

class Handler(BaseHandler):
    def initialize(self, context):
        super().initialize(context)
        self.model = torch.jit.load(self.model_pt_path, map_location=self.map_location)
"""
    write(tmp_path, handler=source)
    context = context_for(tmp_path, serializedFile="program.pt")

    handler = load_handler("handler.py", tmp_path)
    handler.initialize(context)

    assert handler.handle([[1.0, 1.0]], context) == [[3.0, 4.0]]
