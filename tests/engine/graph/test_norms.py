"""Normalisations that are written out in arithmetic are known again, and what only looks like them is not."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numserve.engine import Tensor, functions
from numserve.engine.graph.passes.norms import recognise_norms

from .made import done, formula, graph_of, ops

W = Tensor(np.linspace(0.5, 2, 5, dtype=np.float32))
B = Tensor(np.linspace(-1, 1, 5, dtype=np.float32))

ONE = Tensor(np.full(1, 2, np.float32))


def centred(x: Tensor) -> Tensor:
    return x - x.mean(-1, keepdim=True)


def spread(x: Tensor, eps: float = 1e-5) -> Tensor:
    return functions.sqrt((x * x).mean(-1, keepdim=True) + eps)


WRITTEN_OUT: dict[str, list[Callable[[Tensor], Tensor]]] = {
    "layer_norm": [
        lambda x: (c := centred(x)) / spread(c),
        lambda x: (c := centred(x)) / functions.sqrt(1e-5 + (c**2).mean(-1, keepdim=True)) * W + B,
        lambda x: B + W * ((c := centred(x)) * functions.rsqrt((c * c).mean((-1,), keepdim=True) + 1e-6)),
        lambda x: W * ((c := centred(x)) * functions.reciprocal(spread(c))),
        lambda x: (c := x - x.mean((1, 2), keepdim=True)) / ((c * c).mean((1, 2), keepdim=True) + 1e-5).sqrt(),
    ],
    "rms_norm": [
        lambda x: x / spread(x),
        lambda x: W * (x * functions.rsqrt((x**2).mean(-1, keepdim=True) + 1e-6)),
    ],
}
CASES = [(name, n) for name, found in WRITTEN_OUT.items() for n in range(len(found))]


@pytest.mark.parametrize(("name", "number"), CASES)
def test_a_formula_becomes_the_normalisation(name: str, number: int) -> None:
    graph = done(recognise_norms, graph_of(formula(WRITTEN_OUT[name][number]), (2, 3, 5)))

    assert ops(graph) == {name: 1}


@pytest.mark.parametrize(
    "function",
    [
        lambda x: centred(x) / spread(x),
        lambda x: x / (x * x).mean(1, keepdim=True).add(1e-5).sqrt(),
        lambda x: (c := centred(x)) / ((c * c).mean(-1, keepdim=True)).sqrt(),
        lambda x: (c := centred(x)) / (c * c).mean(-1, keepdim=True),
        lambda x: spread(x) / x,
    ],
)
def test_what_only_looks_like_one_stays(function: Callable[[Tensor], Tensor]) -> None:
    graph = graph_of(formula(function), (2, 3, 5))

    assert ops(done(recognise_norms, graph)) == ops(graph)


def test_a_weight_of_another_shape_stays_apart() -> None:
    graph = graph_of(formula(lambda x: x / spread(x) * ONE), (2, 3, 5))

    assert ops(done(recognise_norms, graph)) == {"rms_norm": 1, "mul": 1}


def test_a_bias_without_a_weight_stays_apart() -> None:
    graph = graph_of(formula(lambda x: (c := centred(x)) / spread(c) + B), (2, 3, 5))

    assert ops(done(recognise_norms, graph)) == {"layer_norm": 1, "add": 1}


def test_a_normalisation_that_is_read_elsewhere_stays_as_it_is() -> None:
    def both(x: Tensor) -> Tensor:
        unit = x / spread(x)
        return unit * W + unit

    assert ops(done(recognise_norms, graph_of(formula(both), (2, 3, 5)))) == {"rms_norm": 1, "mul": 1, "add": 1}
