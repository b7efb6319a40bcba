"""The native kernels for recurrent layers, a step at a time and in whole modules."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numserve.engine import Tensor, compile_module, no_grad
from numserve.engine import nn as layers
from numserve.engine.executors.native.executor import BUILDERS
from numserve.engine.executors.native.library import load
from numserve.engine.executors.native.program import Segment, scratch_for
from numserve.engine.executors.native.work import Shop, builder_of
from numserve.engine.graph.plan import Step
from numserve.engine.ops import PRIMITIVES

from .steps import VARIANTS, random

GATES = {"lstm": 4, "gru": 3, "rnn": 1}


def _step(op: str, batch: int, size: int, biased: bool = True, times: int = 5, **attributes: Any) -> Step:
    """A layer of 10 features; outputs lie in wider arrays, as those of two directions do."""
    gates, features = GATES[op] * size, 10
    states = [random(i, batch, size, pitch=3) for i in range(2 if op == "lstm" else 1)]
    weights = [random(3, gates, features) / 3, random(4, gates, size) / np.sqrt(size, dtype=np.float32)]
    biases = [random(5, gates), random(6, gates)] if biased else [None, None]
    last = [None] if op == "lstm" else []
    inputs = (random(7, times, batch, features), *states, *weights, *biases, *last)
    outputs = (random(8, times, batch, size, pitch=size), *(random(9, batch, size, pitch=2) for _ in states))
    constant = tuple(i > len(states) for i in range(len(inputs)))
    return Step(op, op, inputs, outputs, attributes, constant, 0, 0)


def _check(step: Step) -> None:
    """Every candidate of every variant, on one thread and two, twice each, against the primitive."""
    expected = PRIMITIVES[step.op].run(*step.inputs, **step.attributes)
    for variant in VARIANTS:
        for threads in (1, 2):
            library = load(variant)
            candidates = builder_of(step, BUILDERS, Shop(library, threads))
            assert candidates
            for build in candidates.values():
                works = build()
                for out in step.outputs:
                    out.fill(np.nan)
                segment = Segment(library, works, scratch_for(works, threads))
                segment()
                segment()
                for met, wanted in zip(step.outputs, expected, strict=True):
                    np.testing.assert_allclose(met, wanted, rtol=0, atol=3e-6)


@pytest.mark.parametrize("op", GATES)
@pytest.mark.parametrize("batch", [1, 3, 8])
@pytest.mark.parametrize("size", [5, 48, 67])
def test_a_layer_is_the_primitive(op: str, batch: int, size: int) -> None:
    _check(_step(op, batch, size))
    _check(_step(op, batch, size, reverse=True))


@pytest.mark.parametrize("op", GATES)
def test_biases_may_be_left_out(op: str) -> None:
    _check(_step(op, 2, 20, biased=False))


def test_an_rnn_may_end_in_relu() -> None:
    _check(_step("rnn", 3, 37, nonlinearity="relu"))


@pytest.mark.parametrize("op", GATES)
def test_one_time_is_the_primitive(op: str) -> None:
    _check(_step(op, 1, 16, times=1))


def test_sequences_of_different_lengths_are_left_to_numpy() -> None:
    step = _step("lstm", 2, 16, lengths=(5, 3))
    assert builder_of(step, BUILDERS, Shop(load(), 1)) is None


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("batch", [1, 3, 8])
@pytest.mark.parametrize("how", [{"batch_first": True, "num_layers": 2}, {"bidirectional": True}])
def test_whole_modules_are_computed_natively(kind: str, threads: int, batch: int, how: dict[str, Any]) -> None:
    module = getattr(layers, kind)(12, 40, **how).eval()
    x = Tensor(random(1, *((batch, 6) if "batch_first" in how else (6, batch)), 12))
    model = compile_module(module, x, executor="native", threads=threads)
    with no_grad():
        expected, met = module(x), model(x)
    np.testing.assert_allclose(met[0].numpy(), expected[0].numpy(), rtol=0, atol=3e-6)
    works = [unit for unit in model.program(batch).units if unit.step.op == kind.lower()]
    assert works and all(unit.algorithm.startswith("native") for unit in works)
