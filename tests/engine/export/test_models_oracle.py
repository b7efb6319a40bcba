"""Whole models as torch.export saves them, against torch: run eager and on the plan."""

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
pytestmark = [pytest.mark.oracle, pytest.mark.filterwarnings("ignore")]

from numserve.engine import Tensor, compile_module, export, no_grad  # noqa: E402  # torch decides whether this is run

DATA = Path(__file__).parents[2] / "data"
NAMES = [
    "resnet18",
    "densenet121",
    "squeezenet1_0",
    "mobilenet_v3_small",
    "efficientnet_b0",
    "shufflenet_v2_x1_0",
    "vit",
]


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


def model(name: str) -> tuple[Any, Any]:
    """A model with calibrated weights, and an input of two rows."""
    torch.manual_seed(0)
    if name in oracle_models.OTHERS:
        pair = oracle_models.pair(name)
        return pair.theirs, torch.randn(2, *pair.shape)
    vision = oracle_models.torchvision_models()
    if name == "vit":
        made = vision.vision_transformer.VisionTransformer(64, 16, 3, 4, 64, 128)
    else:
        made = getattr(vision, name)()
    return oracle_models.calibrated(made, 64), torch.randn(2, 3, 64, 64)


@pytest.mark.parametrize("decomposed", [False, True], ids=["training form", "decomposed"])
@pytest.mark.parametrize("name", [*NAMES, *oracle_models.OTHERS])
def test_a_model_gives_what_torch_gives(name: str, decomposed: bool, tmp_path: Path) -> None:
    made, x = model(name)
    free = {0: torch.export.Dim("batch", min=1, max=64)}
    program = torch.export.export(made, (x,), dynamic_shapes=(free,))
    program = program.run_decompositions() if decomposed else program
    torch.export.save(program, tmp_path / "m.pt2")
    run = torch.export.load(tmp_path / "m.pt2").module()

    ours = export.load(tmp_path / "m.pt2")

    compiled = compile_module(ours, Tensor(x.numpy()))
    for inputs in (x, torch.cat([x, x.flip(0), x[:1]])):
        with torch.no_grad():
            expected = run(inputs).numpy()
        mine = Tensor(inputs.numpy())
        scale = float(np.abs(expected).max())
        assert np.std(expected) > 1e-3 * scale, "the outputs are all alike and show nothing"
        with no_grad():
            assert np.abs(ours(mine).array - expected).max() <= 1e-4 * scale
        assert np.abs(compiled(mine).array - expected).max() <= 1e-4 * scale
    assert compiled.describe()["mode"] == "plan", compiled.reason
    assert compiled.eager_calls == 0
