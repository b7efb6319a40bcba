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
ONE_OF_EACH = {"alexnet", "densenet121", "inception_v3", "resnet18", "squeezenet1_0", "vgg11_bn"}


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


NAMES = [
    name if name in ONE_OF_EACH else pytest.param(name, marks=pytest.mark.slow)
    for name in oracle_models.CLASSICS
    if name not in oracle_models.FOREIGN
]


def model(name: str) -> tuple[Any, tuple[Any, ...]]:
    """A model with calibrated weights, and inputs of two rows."""
    if name in oracle_models.FOREIGN:
        return oracle_models.foreign(name)  # type: ignore[no-any-return]
    pair = oracle_models.pair(name, 75 if name == "inception_v3" else 64)
    return pair.theirs, (torch.randn(2, *pair.shape),)


@pytest.mark.parametrize("decomposed", [False, True], ids=["training form", "decomposed"])
@pytest.mark.parametrize("name", [*NAMES, *oracle_models.OTHERS, *oracle_models.FOREIGN])
def test_a_model_gives_what_torch_gives(name: str, decomposed: bool, tmp_path: Path) -> None:
    made, inputs = model(name)
    free = {0: torch.export.Dim("batch", min=1, max=64)}
    program = torch.export.export(made, inputs, dynamic_shapes=(free,) * len(inputs))
    program = program.run_decompositions() if decomposed else program
    torch.export.save(program, tmp_path / "m.pt2")
    run = torch.export.load(tmp_path / "m.pt2").module()

    ours = export.load(tmp_path / "m.pt2")

    compiled = compile_module(ours, *[Tensor(x.numpy()) for x in inputs])
    for given in (inputs, [torch.cat([x, x.flip(0), x[:1]]) for x in inputs]):
        with torch.no_grad():
            expected = run(*given).numpy()
        mine = [Tensor(x.numpy()) for x in given]
        scale = float(np.abs(expected).max())
        assert np.std(expected) > 1e-3 * scale, "the outputs are all alike and show nothing"
        with no_grad():
            assert np.abs(ours(*mine).array - expected).max() <= 1e-4 * scale
        assert np.abs(compiled(*mine).array - expected).max() <= 1e-4 * scale
    assert compiled.describe()["mode"] == "plan", compiled.reason
    assert compiled.eager_calls == 0
