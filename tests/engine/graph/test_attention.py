"""Attention that is written out as products and a softmax is known again."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numserve.engine import Tensor
from numserve.engine.graph.passes.attention import recognise_attention
from numserve.engine.graph.passes.identities import remove_identities

from .made import done, formula, graph_of, numbers, ops

MASK = Tensor(numbers(5, 3))
TRIANGLE = Tensor(np.triu(np.full((5, 3), -np.inf, np.float32), 1))
HIDDEN = Tensor(np.full((5, 3), -np.inf, np.float32))
Q, K, V = (2, 2, 5, 4), (2, 2, 3, 4), (2, 2, 3, 6)
FOUND: list[Callable[[Tensor, Tensor, Tensor], Tensor]] = [
    lambda q, k, v: (q @ k.transpose(-2, -1)).softmax(-1) @ v,
    lambda q, k, v: (q @ k.transpose(-2, -1) * 0.5).softmax(-1) @ v,
    lambda q, k, v: (q @ k.transpose(2, 3) / 2).softmax(3) @ v,
    lambda q, k, v: ((q * 0.3) @ k.transpose(-2, -1)).softmax(-1) @ v,
    lambda q, k, v: (q @ k.transpose(-2, -1) / 2 + MASK).softmax(-1) @ v,
    lambda q, k, v: (TRIANGLE + q @ k.transpose(-2, -1)).softmax(-1) @ v,
    lambda q, k, v: (0.5 * ((q / 3) @ k.permute(0, 1, 3, 2))).softmax(dim=-1) @ v,
]
KEPT: list[Callable[[Tensor, Tensor, Tensor], Tensor]] = [
    lambda q, k, v: (q @ k.transpose(-2, -1) + v.sum()).softmax(-1) @ v,
    lambda q, k, v: ((q @ k.transpose(-2, -1) + MASK) * 2).softmax(-1) @ v,
    lambda q, k, v: (q @ k.transpose(-2, -1)).softmax(-2) @ v,
    lambda q, k, v: (q @ k.transpose(-2, -1)).sigmoid() @ v,
    lambda q, k, v: (q @ k.transpose(-2, -1) * MASK).softmax(-1) @ v,
    lambda q, k, v: (s := (q @ k.transpose(-2, -1)).softmax(-1)) @ v + s.sum(),
    lambda q, k, v: (s := q @ k.transpose(-2, -1)).softmax(-1) @ v + s.sum(),
    lambda q, k, v: (q @ k.transpose(-2, -1)).softmax(-1) @ v[:, :1],
]


@pytest.mark.parametrize("function", FOUND)
def test_it_becomes_one_node(function: Callable[[Tensor, Tensor, Tensor], Tensor]) -> None:
    graph = done(remove_identities, done(recognise_attention, graph_of(formula(function), Q, K, V)))

    assert ops(graph) == {"scaled_dot_product_attention": 1}


def test_a_mask_that_hides_a_whole_row_stays_outside() -> None:
    graph = graph_of(formula(lambda q, k, v: (q @ k.transpose(-2, -1) + HIDDEN).softmax(-1) @ v), Q, K, V)

    assert "scaled_dot_product_attention" not in ops(recognise_attention(graph))


def test_keys_that_were_turned_by_one_permute_are_found_behind_it() -> None:
    def forward(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return (q @ k.permute(0, 2, 3, 1)).softmax(-1) @ v

    graph = done(remove_identities, done(recognise_attention, graph_of(formula(forward), Q, (2, 3, 2, 4), V)))

    assert ops(graph) == {"permute": 1, "scaled_dot_product_attention": 1}


@pytest.mark.parametrize("function", KEPT)
def test_what_differs_stays(function: Callable[[Tensor, Tensor, Tensor], Tensor]) -> None:
    graph = graph_of(formula(function), Q, K, V)

    assert "scaled_dot_product_attention" not in ops(done(recognise_attention, graph))
