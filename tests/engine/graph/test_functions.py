"""Activations that are written out in arithmetic are known again, and what only looks like them is not."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from numserve.engine import Tensor, functions, nn
from numserve.engine.graph.passes.functions import recognise_functions

from .made import done, formula, graph_of, ops

F = nn.functional
ROOT = math.sqrt(2 / math.pi)

WRITTEN_OUT: dict[str, list[Callable[[Tensor], Tensor]]] = {
    "gelu": [
        lambda x: x * 0.5 * (1.0 + functions.erf(x / math.sqrt(2.0))),
        lambda x: 0.5 * x * (functions.erf(x * 0.7071067811865476) + 1),
        lambda x: x * (0.5 * (1 + functions.erf(x / 1.4142135623730951))),
        lambda x: (1 + functions.erf(x / 1.4142135623730951)) * x / 2,
        lambda x: 0.5 * x * (1 + functions.tanh(ROOT * (x + 0.044715 * x**3))),
        lambda x: x * 0.5 * (functions.tanh((x + x * x * x * 0.044715) * ROOT) + 1),
        lambda x: 0.5 * x * (1 + functions.tanh(x * ROOT + ROOT * 0.044715 * (x * x**2))),
    ],
    "silu": [lambda x: x * functions.sigmoid(x), lambda x: functions.sigmoid(x) * x],
    "hardswish": [
        lambda x: x * F.hardsigmoid(x),
        lambda x: x * F.relu6(x + 3) / 6,
        lambda x: x * (F.relu6(x + 3) / 6),
        lambda x: (x + 3).clamp(0, 6) * (x / 6),
    ],
    "hardsigmoid": [lambda x: F.relu6(x + 3) / 6, lambda x: (3 + x).clamp(0, 6) * (1 / 6)],
    "mish": [lambda x: x * functions.tanh(F.softplus(x))],
    "square": [lambda x: x**2, lambda x: x.pow(2.0)],
}
CASES = [(name, n) for name, found in WRITTEN_OUT.items() for n in range(len(found))]


@pytest.mark.parametrize(("name", "number"), CASES)
def test_a_formula_becomes_the_function(name: str, number: int) -> None:
    graph = done(recognise_functions, graph_of(formula(WRITTEN_OUT[name][number]), (2, 5)))

    assert ops(graph) == {name: 1}


def test_which_gelu_it_is_follows_from_the_formula() -> None:
    kinds = [
        recognise_functions(graph_of(formula(one), (2, 5))).nodes[0].attributes["approximate"]
        for one in WRITTEN_OUT["gelu"]
    ]

    assert kinds == ["none"] * 4 + ["tanh"] * 3


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x * 0.5 * (1.0 + functions.erf(x / 1.5)),
        lambda x: x * 0.6 * (1.0 + functions.erf(x / math.sqrt(2))),
        lambda x: x * 0.5 * (2.0 + functions.erf(x / math.sqrt(2))),
        lambda x: 0.5 * x * (1 + functions.tanh(ROOT * (x + 0.05 * x**3))),
        lambda x: 0.5 * x * (1 + functions.tanh(ROOT * (x + 0.044715 * x**4))),
        lambda x: x.exp() * 0.5 * (1.0 + functions.erf(x / math.sqrt(2))),
        lambda x: x * functions.sigmoid(1.702 * x),
        lambda x: 2 * x * functions.sigmoid(x),
        lambda x: x * functions.sigmoid(x.exp()),
        lambda x: F.relu6(x + 2) / 6,
        lambda x: x * functions.tanh(F.softplus(x, 2)),
        lambda x: x**3,
        lambda x: 2**x,
        lambda x: x / functions.sigmoid(x),
    ],
)
def test_what_looks_like_one_stays(function: Callable[[Tensor], Tensor]) -> None:
    graph = graph_of(formula(function), (2, 5))

    assert ops(done(recognise_functions, graph)) == ops(graph)


@pytest.mark.parametrize("name", ["max", "min"])
def test_an_extreme_whose_position_nobody_asks_for_is_alone(name: str) -> None:
    graph = graph_of(formula(lambda x: getattr(x, name)(dim=1)[0]), (2, 5))

    assert ops(done(recognise_functions, graph)) == {f"a{name}": 1}


def test_an_extreme_whose_position_is_read_stays() -> None:
    graph = graph_of(formula(lambda x: x.max(dim=1, keepdim=True)), (2, 5))

    assert ops(done(recognise_functions, graph)) == {"max_dim": 1}


def test_doubles_stay_as_they_are() -> None:
    graph = graph_of(formula(WRITTEN_OUT["silu"][0]), (2, 5), dtype=np.float64)

    assert ops(done(recognise_functions, graph)) == {"sigmoid": 1, "mul": 1}


def test_parts_that_something_else_reads_stay_for_it() -> None:
    graph = graph_of(formula(lambda x: (x * (g := functions.sigmoid(x)), g)), (2, 5))

    assert ops(done(recognise_functions, graph)) == {"silu": 1, "sigmoid": 1}
