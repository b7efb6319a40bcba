"""Whole plans by the NumPy executor: right, without allocations, and quick to build where choices are known."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numserve.engine import nn, no_grad, tensor
from numserve.engine.executors import Choices
from numserve.engine.executors.numpy import NumpyExecutor, executor
from numserve.engine.graph import capture
from numserve.engine.graph.passes import lower
from numserve.engine.graph.plan import plan
from numserve.engine.models import mobilenet_v2, resnet18, squeezenet1_1
from numserve.engine.random import manual_seed

NUMBERS = np.random.default_rng(17)
BUFFERS = 150_000  # bytes at most that NumPy's loops read through, which lie in no array


def floats(*shape: int) -> np.ndarray:
    return NUMBERS.standard_normal(shape, np.float32)


def encoder() -> nn.Module:
    return nn.TransformerEncoder(nn.TransformerEncoderLayer(32, 4, 64, activation="gelu", batch_first=True), 2)


class Tagger(nn.Module):
    """Words to the probabilities of tags."""

    def __init__(self, cell: type[nn.Module]) -> None:
        super().__init__()
        self.words = nn.Embedding(50, 24)
        self.cell = cell(24, 16, 2, batch_first=True, bidirectional=True)
        self.tags = nn.Linear(32, 7)

    def forward(self, words: Any) -> Any:
        states, _ = self.cell(self.words(words))
        return self.tags(states).softmax(-1)


def line() -> nn.Module:
    return nn.Sequential(
        nn.Conv1d(4, 16, 5, padding=2), nn.BatchNorm1d(16), nn.ReLU(), nn.MaxPool1d(2), nn.Conv1d(16, 8, 3), nn.SiLU(),
        nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(8, 3), nn.LogSoftmax(-1),
    )  # fmt: skip


MODELS: dict[str, tuple[Any, Any]] = {
    "resnet18": (resnet18, lambda n: floats(n, 3, 64, 64)),
    "squeezenet1_1": (squeezenet1_1, lambda n: floats(n, 3, 64, 64)),
    "mobilenet_v2": (mobilenet_v2, lambda n: floats(n, 3, 64, 64)),
    "encoder": (encoder, lambda n: floats(n, 11, 32)),
    "lstm": (lambda: Tagger(nn.LSTM), lambda n: NUMBERS.integers(0, 50, (n, 9))),
    "gru": (lambda: Tagger(nn.GRU), lambda n: NUMBERS.integers(0, 50, (n, 9))),
    "conv1d": (line, lambda n: floats(n, 4, 40)),
}


def prepared(name: str, batch: int) -> tuple[Any, np.ndarray, np.ndarray]:
    """The lowered graph of a model, an input, and what the model itself makes of it."""
    manual_seed(5)
    module, x = MODELS[name][0]().eval(), MODELS[name][1](batch)
    with no_grad():
        expected = module(tensor(x)).array
    return lower(capture(module, tensor(x))), x, expected


@pytest.mark.parametrize(("batch", "threads"), [(1, 1), (3, 2)])
@pytest.mark.parametrize("name", MODELS)
def test_models_run_without_primitives_and_without_allocating(name: str, batch: int, threads: int) -> None:
    graph, x, expected = prepared(name, batch)
    program = NumpyExecutor(threads).compile(plan(graph, batch, threads))
    output = np.empty_like(expected)
    program.run([x], [output])

    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    program.run([x], [output])
    after, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert [str(unit.step) for unit in program.units if unit.algorithm == executor.PRIMITIVE] == []
    np.testing.assert_allclose(output, expected, atol=2e-5 * max(1.0, float(np.abs(expected).max())))
    assert after - before < 2_000 and peak - before < threads * BUFFERS


def test_choices_are_made_once_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graph, x, expected = prepared("resnet18", 1)
    choices = Choices()
    first = NumpyExecutor().compile(plan(graph, 1), choices)
    choices.save(tmp_path / "choices.json")
    monkeypatch.setattr(executor, "fastest", None)

    again = NumpyExecutor().compile(plan(graph, 1), Choices.load(tmp_path / "choices.json"))

    assert [unit.algorithm for unit in again.units] == [unit.algorithm for unit in first.units]
    np.testing.assert_allclose(again.run([x])[0], expected, atol=1e-4)


def test_exact_programs_have_no_winograd() -> None:
    graph, x, expected = prepared("resnet18", 1)
    program = NumpyExecutor(exact=True).compile(plan(graph, 1))

    assert not [unit.algorithm for unit in program.units if "winograd" in unit.algorithm]
    np.testing.assert_allclose(program.run([x])[0], expected, atol=1e-5)


def test_weights_are_packed_once_for_all_batches() -> None:
    graph, _, _ = prepared("encoder", 1)
    one = NumpyExecutor()
    programs = [one.compile(plan(graph, batch)) for batch in (2, 2)]
    kept = len(one.packed._kept)
    programs.append(one.compile(plan(graph, 2)))

    assert len(one.packed._kept) == kept
