"""The default handlers over the files that PyTorch writes: TorchScript, torch.export and ONNX."""

from __future__ import annotations

import io
import json
import warnings
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numserve.handlers import load_handler
from PIL import Image

from .conftest import context_for, oracle

pytestmark = pytest.mark.oracle
PICTURE = np.random.default_rng(0).integers(0, 255, (256, 256, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def torch() -> Any:
    return pytest.importorskip("torch")


@pytest.fixture(autouse=True)
def _quiet() -> Any:
    with warnings.catch_warnings():  # of what PyTorch's exporters use themselves
        warnings.simplefilter("ignore")
        yield


def body() -> bytes:
    stream = io.BytesIO()
    Image.fromarray(PICTURE).save(stream, "PNG")
    return stream.getvalue()


def served(name: str, folder: Path, file: str, **entries: str) -> tuple[Any, Any]:
    context = context_for(folder, serializedFile=file, **entries)
    handler = load_handler(name, folder)
    handler.initialize(context)
    return handler, context


@pytest.fixture(scope="module")
def segmenter(torch: Any) -> Any:
    torchvision, nn = oracle(), torch.nn
    from torchvision.models._utils import IntermediateLayerGetter
    from torchvision.models.segmentation.fcn import FCN, FCNHead

    assert torchvision is not None
    torch.manual_seed(0)
    near, far = nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 8, 3, 1, 2, 2)
    layers = nn.Sequential(OrderedDict(near=near, act=nn.ReLU(), far=far))
    model = FCN(IntermediateLayerGetter(layers, {"far": "out"}), FCNHead(8, 3))
    model.train()(torch.randn(8, 3, 64, 64))  # statistics of its own
    return model.eval()


def written(torch: Any, model: Any, path: Path) -> None:
    pictures = torch.randn(2, 3, 224, 224)
    if path.name == "scripted.pt":
        torch.jit.script(model).save(path)
    elif path.name == "traced.pt":
        torch.jit.trace(model, pictures, strict=False).save(path)
    elif path.suffix == ".pt2":
        batch = torch.export.Dim("n", min=1, max=8)
        torch.export.save(torch.export.export(model, (pictures,), dynamic_shapes=({0: batch},)), path)
    else:
        torch.onnx.export(
            model, (pictures,), str(path), dynamo=False, opset_version=17, input_names=["x"], output_names=["out"],
            dynamic_axes={"x": {0: "n"}},
        )  # fmt: skip
    model.eval()


@pytest.mark.parametrize("file", ["scripted.pt", "traced.pt", "exported.pt2", "exported.onnx"])
def test_a_segmenter_of_any_file_runs_on_a_plan(segmenter: Any, torch: Any, tmp_path: Path, file: str) -> None:
    written(torch, segmenter, tmp_path / file)
    handler, context = served("image_segmenter", tmp_path, file)

    answers = handler.handle([{"body": body()}, {"body": body()}], context)

    with torch.no_grad():
        scores = segmenter(torch.from_numpy(handler.preprocess([{"body": body()}]).numpy()))["out"]
        best, classes = scores.softmax(1).max(1)
    for answer in answers:
        pixels = np.array(answer)
        assert (pixels[..., 0] == classes[0].numpy()).mean() > 0.999
        assert np.abs(pixels[..., 1] - best[0].numpy()).max() < 1e-4
    assert handler.fast_path.describe()["mode"] == "plan"


@pytest.fixture(scope="module")
def detector(torch: Any) -> Any:
    torch.manual_seed(0)
    build = oracle().models.detection.ssdlite320_mobilenet_v3_large
    model = build(weights=None, weights_backbone=None, num_classes=4, score_thresh=0.3, detections_per_img=20)
    for norm in (m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)):
        norm.momentum = None
    with torch.no_grad():
        model.train().head(list(model.backbone(torch.randn(4, 3, 320, 320)).values()))
        for part in model.head.classification_head.module_list:
            part[1].weight.mul_(3)
    return model.eval()


@pytest.mark.parametrize("file", ["scripted.pt", "exported.onnx"])
def test_a_detector_of_any_file_finds_the_same(detector: Any, torch: Any, tmp_path: Path, file: str) -> None:
    pixels = torch.from_numpy(PICTURE.transpose(2, 0, 1) / np.float32(255))
    if file == "scripted.pt":
        torch.jit.script(detector).save(tmp_path / file)
    else:
        names = ["boxes", "scores", "labels"]
        torch.onnx.export(
            detector, ([pixels],), str(tmp_path / file), dynamo=False, opset_version=17, input_names=["x"],
            output_names=names,
        )  # fmt: skip
    with torch.no_grad():
        (wanted,) = detector.eval()([pixels])
    handler, context = served("object_detector", tmp_path, file)
    handler.threshold = 0.0

    first, second = handler.handle([{"body": body()}, {"body": body()}], context)

    assert len(wanted["boxes"]) == 20
    for found in (first, second):
        for thing, box, label, score in zip(found, wanted["boxes"], wanted["labels"], wanted["scores"], strict=True):
            assert thing["score"] == pytest.approx(float(score), abs=1e-4)
            assert thing[str(int(label))] == pytest.approx(box.tolist(), abs=0.05)


@pytest.mark.parametrize("file", ["traced.pt", "exported.pt2"])
def test_a_text_classifier_of_any_file_answers_the_same(torch: Any, tmp_path: Path, file: str) -> None:
    class Bags(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.embedding, self.fc = torch.nn.EmbeddingBag(20, 4), torch.nn.Linear(4, 3)

        def forward(self, text: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
            return self.fc(self.embedding(text, offsets))

    model, example = Bags().eval(), (torch.tensor([1, 2, 3, 4]), torch.tensor([0, 2]))
    if file == "traced.pt":
        torch.jit.trace(model, example).save(tmp_path / file)
    else:
        sizes = {0: torch.export.Dim("t", min=1, max=4096)}, {0: torch.export.Dim("n", min=1, max=64)}
        torch.export.save(torch.export.export(model, example, dynamic_shapes=sizes), tmp_path / file)
    (tmp_path / "words.json").write_text(json.dumps([f"w{number}" for number in range(20)]))
    handler, context = served("text_classifier", tmp_path, file, sourceVocab="words.json")

    answers = handler.handle([{"body": "w1 w2"}, {"body": "w3 w5 w7"}], context)

    with torch.no_grad():
        wanted = model(torch.tensor([1, 2, 3, 5, 7]), torch.tensor([0, 2])).softmax(1)
    assert np.allclose([list(answer.values()) for answer in answers], wanted.numpy(), atol=1e-6)
