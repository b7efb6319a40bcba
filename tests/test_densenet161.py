"""TorchServe's first example against torch: both file forms, both spellings of the keys, all the way over HTTP."""

import importlib.util
import io
import json
import re
from collections import OrderedDict
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parent.parent
pytestmark = pytest.mark.oracle
torch: Any = None


def load_file(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def torchvision() -> ModuleType:
    global torch
    torch = pytest.importorskip("torch")
    return load_file(ROOT / "tests" / "data" / "torchvision_oracle.py").torchvision()


@pytest.fixture(scope="module")
def picture() -> bytes:
    """A 300x260 photograph-like JPEG: smooth colours with some detail."""
    rng = np.random.default_rng(7)
    small = Image.fromarray(rng.integers(0, 256, (12, 14, 3), dtype=np.uint8))
    file = io.BytesIO()
    small.resize((300, 260), Image.Resampling.BICUBIC).save(file, "JPEG", quality=90)
    return file.getvalue()


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("labels") / "index_to_name.json"
    path.write_text(json.dumps({str(i): [f"n{i:08}", f"thing_{i}"] for i in range(1000)}))
    return path


@pytest.fixture(scope="module")
def batch(torchvision: ModuleType, picture: bytes) -> Any:
    """The picture as the image classifier prepares it."""
    t = torchvision.transforms
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    prepare = t.Compose([t.Resize(256), t.CenterCrop(224), t.ToTensor(), t.Normalize(mean, std)])
    return prepare(Image.open(io.BytesIO(picture)))[None]


@pytest.fixture(scope="module")
def model(torchvision: ModuleType, batch: Any) -> Any:
    """densenet161 whose output depends on its input: batch norms set by a pass, logits of a standard deviation of 2."""
    torch.manual_seed(0)
    torch.set_num_threads(2)
    model = torchvision.models.densenet161()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None
    with torch.no_grad():
        model.train()(torch.cat([batch, torch.randn(2, 3, 224, 224)]))
        model.eval().classifier.weight.mul_(2 / model(batch).std())
    return model


@pytest.fixture(scope="module")
def expected(model: Any, batch: Any) -> dict[str, float]:
    with torch.no_grad():
        values, indices = model(batch).softmax(1).topk(5)
    return {f"thing_{i}": p for i, p in zip(indices[0].tolist(), values[0].tolist(), strict=True)}


def old_names(state: dict[str, Any]) -> "OrderedDict[str, Any]":
    """The keys as densenet's first checkpoints had them: `norm.1` for `norm1`, no batch counts."""
    renamed = ((re.sub(r"(denselayer\d+\.(?:norm|relu|conv))([12])", r"\1.\2", key), state[key]) for key in state)
    return OrderedDict((key, value) for key, value in renamed if not key.endswith("num_batches_tracked"))


@pytest.mark.parametrize("form", ["legacy file, old names", "zip file, today's names"])
def test_the_answer_is_torchs_own(
    server: Any, model: Any, picture: bytes, labels: Path, expected: dict[str, float], form: str
) -> None:
    legacy = form.startswith("legacy")
    weights = server.folder / "densenet161-8d451a50.pth"
    state = old_names(model.state_dict()) if legacy else model.state_dict()
    torch.save(state, weights, _use_new_zipfile_serialization=not legacy)
    server.archive(
        "densenet161", "--model-file", ROOT / "examples" / "densenet161" / "model.py", "--serialized-file", weights,
        "--extra-files", labels, "--handler", "image_classifier",
    )  # fmt: skip
    server.start("densenet161=densenet161.mar")

    answer = server.predict(picture, "/predictions/densenet161")

    assert list(answer) == list(expected)
    assert len(set(expected.values())) == 5, "these weights do not tell classes apart"
    assert answer == pytest.approx(expected, rel=1e-4)
