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

from .whole import FOREIGN, OURS, TOLERANCE, error, model, other_batches

pytestmark = pytest.mark.oracle


def export_with_torch(module: Any, examples: tuple[Any, ...], path: Path, dynamo: bool) -> None:
    torch = pytest.importorskip("torch")
    names = [f"x{n}" for n in range(len(examples))]
    options: dict[str, Any] = {"dynamic_axes": {name: {0: "batch"} for name in names}, "opset_version": 17}
    if dynamo:
        pytest.importorskip("onnxscript")
        batch = torch.export.Dim("batch")
        options = {"dynamic_shapes": tuple({0: batch} for _ in examples), "external_data": False}
    logging.disable(logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(module, examples, path, dynamo=dynamo, input_names=names, verbose=False, **options)
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("dynamo", [False, True], ids=["legacy", "dynamo"])
@pytest.mark.parametrize("name", [*OURS, *FOREIGN])
def test_models_that_torch_exports_run_here(name: str, dynamo: bool, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    theirs, given = model(name)
    export_with_torch(theirs, tuple(map(torch.from_numpy, given)), tmp_path / "model.onnx", dynamo)

    module = load(tmp_path / "model.onnx")
    compiled = compile_module(module, *map(Tensor, given))

    assert compiled.reason == "" and compiled.graph is not None and compiled.graph.note == ""
    for arrays in other_batches(given):
        with torch.no_grad():
            wanted = theirs(*map(torch.from_numpy, arrays)).numpy()
        assert error(module(*map(Tensor, arrays)).array, wanted) <= TOLERANCE
        assert error(compiled(*map(Tensor, arrays)).array, wanted) <= TOLERANCE
    assert compiled.eager_calls == 0
