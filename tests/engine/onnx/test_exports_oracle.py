"""What torch exports, by both of its exporters, run here: eager, and on the plan for every batch."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import pytest
from numserve.engine import Tensor
from numserve.engine.compiled import compile_module
from numserve.engine.onnx import load

from .whole import NAMES, TOLERANCE, error, inputs, pair

pytestmark = pytest.mark.oracle


def export_with_torch(module: Any, example: Any, path: Path, dynamo: bool) -> None:
    torch = pytest.importorskip("torch")
    options: dict[str, Any] = {"dynamic_axes": {"x": {0: "batch"}}, "opset_version": 17}
    if dynamo:
        pytest.importorskip("onnxscript")
        options = {"dynamic_shapes": ({0: torch.export.Dim("batch")},), "external_data": False}
    logging.disable(logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(module, (example,), path, dynamo=dynamo, input_names=["x"], verbose=False, **options)
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("dynamo", [False, True], ids=["legacy", "dynamo"])
@pytest.mark.parametrize("name", NAMES)
def test_models_that_torch_exports_run_here(name: str, dynamo: bool, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    theirs, _, shape = pair(name)
    export_with_torch(theirs, torch.from_numpy(inputs(shape, 2)), tmp_path / "model.onnx", dynamo)

    module = load(tmp_path / "model.onnx")
    compiled = compile_module(module, Tensor(inputs(shape, 2)))

    assert compiled.reason == "" and compiled.graph is not None and compiled.graph.note == ""
    for batch in (1, 3):
        x = inputs(shape, batch)
        with torch.no_grad():
            wanted = theirs(torch.from_numpy(x)).numpy()
        assert error(module(Tensor(x)).array, wanted) <= TOLERANCE
        assert error(compiled(Tensor(x)).array, wanted) <= TOLERANCE
    assert compiled.eager_calls == 0
