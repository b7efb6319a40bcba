"""Exported files, judged by onnx's checker and run by ONNX Runtime."""

from __future__ import annotations

import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numserve.engine import Tensor, jit
from numserve.engine.errors import UnsupportedOpError
from numserve.engine.graph import GraphModule, interpret
from numserve.engine.onnx import export, load
from numserve.engine.onnx.exporting import RULES

from ..cases import CASES
from .made import graph_of
from .whole import FOREIGN, OURS, TOLERANCE, error, inputs, model, other_batches, pair

pytestmark = pytest.mark.oracle
ROWS = [
    pytest.param(name, case, id=f"{name}-{n}") for name in sorted(RULES) for n, case in enumerate(CASES.get(name, []))
]


@pytest.fixture(scope="module")
def runtime() -> ModuleType:
    return pytest.importorskip("onnxruntime")  # type: ignore[no-any-return]


def session(runtime: ModuleType, path: Path) -> Any:
    onnx = pytest.importorskip("onnx")
    onnx.checker.check_model(str(path), full_check=True)
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    return runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize(("name", "case"), ROWS)
def test_every_rule_means_what_its_primitive_does(name: str, case: Any, runtime: ModuleType, tmp_path: Path) -> None:
    graph, arrays = graph_of(name, case)
    if not arrays or any(a.dtype.kind == "c" or not a.size for a in arrays):
        pytest.skip("nothing that ONNX Runtime takes")
    try:
        export(GraphModule(graph), tuple(map(Tensor, arrays)), tmp_path / "one.onnx", dynamic_batch=False)
    except UnsupportedOpError:
        pytest.skip("refused")
    expected = interpret(graph, arrays)
    try:
        run = session(runtime, tmp_path / "one.onnx")
    except Exception as error:
        if "NOT_IMPLEMENTED" in str(error):
            pytest.skip(f"ONNX Runtime: {error}"[:200])
        raise
    outputs = run.run(None, {v.name: a for v, a in zip(graph.inputs, arrays, strict=True)})
    for met, wanted in zip(outputs, expected, strict=True):
        assert met.shape == wanted.shape and met.dtype == wanted.dtype
        np.testing.assert_allclose(met, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", OURS)
def test_whole_models_run_elsewhere_for_every_batch(name: str, runtime: ModuleType, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    theirs, ours, shape = pair(name)
    path = tmp_path / "model.onnx"

    export(ours, Tensor(inputs(shape, 2)), path, input_names=["pictures"], output_names=["answers"])

    run, again = session(runtime, path), load(path)
    for batch in (1, 3):
        x = inputs(shape, batch)
        with torch.no_grad():
            wanted = theirs(torch.from_numpy(x)).numpy()
        assert error(run.run(["answers"], {"pictures": x})[0], wanted) <= TOLERANCE
        assert error(again(Tensor(x)).array, wanted) <= TOLERANCE


@pytest.mark.parametrize("name", FOREIGN)
def test_what_was_read_from_torchscript_runs_elsewhere_too(name: str, runtime: ModuleType, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    theirs, given = model(name)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.trace(theirs, tuple(map(torch.from_numpy, given)), check_trace=False).save(tmp_path / "model.pt")
    names = [f"x{n}" for n in range(len(given))]

    export(jit.load(tmp_path / "model.pt"), tuple(map(Tensor, given)), tmp_path / "model.onnx", input_names=names)

    run = session(runtime, tmp_path / "model.onnx")
    for arrays in other_batches(given):
        with torch.no_grad():
            wanted = theirs(*map(torch.from_numpy, arrays)).numpy()
        assert error(run.run(None, dict(zip(names, arrays, strict=True)))[0], wanted) <= TOLERANCE
