"""Whole models as torch.jit saves them, scripted, traced and frozen, against torch: run eager and on the plan."""

from __future__ import annotations

import importlib.util
import sys
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.oracle

from numserve.engine import Tensor, compile_module, jit, no_grad  # noqa: E402  # torch decides whether this is run

DATA = Path(__file__).parents[2] / "data"
FORMS = ["scripted", "traced", "frozen"]
NOT_SCRIPTED = {"bert"}
ONE_OF_EACH = {"alexnet", "densenet121", "inception_v3", "resnet18", "resnext50_32x4d", "squeezenet1_0", "vgg11_bn"}


def loaded(name: str) -> ModuleType:
    """A file of tests/data as a module."""
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, DATA / f"{name}.py")
        assert spec is not None and spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


oracle_models = loaded("oracle_models")


def model(name: str) -> tuple[Any, tuple[Any, ...]]:
    """A model with calibrated weights, and an input of two rows."""
    if name in oracle_models.FOREIGN:
        return oracle_models.foreign(name)  # type: ignore[no-any-return]
    pair = oracle_models.pair(name, 75 if name == "inception_v3" else 64)
    return pair.theirs, (torch.randn(2, *pair.shape),)


def saved(made: Any, inputs: tuple[Any, ...], form: str, path: Path) -> Any:
    """Save a model in a form; gives the program as torch loads it."""
    with torch.no_grad():
        if form == "traced":
            program = torch.jit.trace(made, inputs, check_trace=False, strict=False)
        else:
            program = torch.jit.script(made)
            program = torch.jit.freeze(program) if form == "frozen" else program
        program.save(path)
    return torch.jit.load(path)


def arrays(result: Any) -> list[np.ndarray[Any, Any]]:
    """The tensors in a result."""
    if isinstance(result, (list, tuple)):
        return [array for item in result for array in arrays(item)]
    if isinstance(result, dict):
        return [array for item in result.values() for array in arrays(item)]
    return [] if result is None else [result.detach().numpy()]


def check(met: Any, expected: Any) -> None:
    ours, theirs = arrays(met), arrays(expected)
    assert len(ours) == len(theirs) > 0
    for mine, other in zip(ours, theirs, strict=True):
        scale = float(np.abs(other).max())
        assert np.std(other) > 1e-3 * scale, "the outputs are all alike and show nothing"
        assert np.abs(mine - other).max() <= 1e-4 * scale


DETECTORS = ["fasterrcnn_resnet50_fpn", "maskrcnn_resnet50_fpn", "retinanet_resnet50_fpn", "ssd300_vgg16"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", DETECTORS)
def test_a_detector_finds_what_torchs_finds(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    made = getattr(oracle_models.torchvision_models().detection, name)(weights_backbone=None, num_classes=5)
    for holder in (made, getattr(made, "roi_heads", made)):
        if hasattr(holder, "score_thresh"):
            holder.score_thresh = 0.0
    torch.jit.script(made.eval()).save(tmp_path / "m.pt")
    picture = torch.rand(3, 96, 120)
    with torch.no_grad():
        wanted = torch.jit.load(tmp_path / "m.pt")([picture])[1][0]

    with no_grad():
        found = jit.load(tmp_path / "m.pt")([Tensor(picture.numpy())])[1][0]

    boxes, others = found["boxes"].array, wanted["boxes"].numpy()
    assert len(boxes) == len(others) > 10
    assert np.allclose(found["scores"].array[:10], wanted["scores"].numpy()[:10], atol=1e-4)
    assert np.median(np.abs(boxes[:, None] - others).max(2).min(1)) < 0.05  # scores that are nearly equal change places


CLASSICS = [
    name if name in ONE_OF_EACH else pytest.param(name, marks=pytest.mark.slow)
    for name in oracle_models.CLASSICS
    if name not in oracle_models.FOREIGN
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", [*CLASSICS, *oracle_models.OTHERS, *oracle_models.FOREIGN])
def test_a_model_gives_what_torch_gives(name: str, form: str, tmp_path: Path) -> None:
    if name in NOT_SCRIPTED and form != "traced":
        pytest.skip("torch cannot script it")
    made, inputs = model(name)
    theirs = saved(made, inputs, form, tmp_path / "m.pt")
    with torch.no_grad():
        expected = theirs(*inputs)
    mine = [Tensor(x.numpy()) for x in inputs]

    ours = jit.load(tmp_path / "m.pt").eval()

    with no_grad():
        check(ours(*mine), expected)
    compiled = compile_module(ours, *mine)
    assert compiled.describe()["mode"] == "plan", compiled.reason
    check(compiled(*mine), expected)
    more = [torch.cat([x, x.flip(0), x[:1]]) for x in inputs]
    with torch.no_grad():
        expected = theirs(*more)
    check(compiled(*[Tensor(x.numpy()) for x in more]), expected)
    assert compiled.eager_calls == 0
