"""Chains of views are one split, one order and one merge; operations on rows come before the rows are turned."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from numserve.engine import Tensor, nn
from numserve.engine.graph import Graph
from numserve.engine.graph.passes.identities import remove_identities
from numserve.engine.graph.passes.view_chains import simplify_views

from .made import done, formula, graph_of


def simple(module: nn.Module, *shapes: tuple[int, ...]) -> Graph:
    return done(remove_identities, done(simplify_views, graph_of(module, *shapes)))


def names(graph: Graph) -> list[str]:
    return [node.op for node in graph.nodes]


CHAINS: dict[str, tuple[Callable[[Tensor], Tensor], tuple[int, ...], list[str]]] = {
    "heads merged with the batch, and apart again": (
        lambda x: x.reshape(5, x.shape[1] * 2, 4).transpose(0, 1).reshape(-1, 2, 5, 4), (5, 3, 8),
        ["reshape", "permute"],
    ),
    "there and back": (lambda x: x.reshape(-1, 4, 2).transpose(1, 2).transpose(2, 1).reshape(x.shape), (3, 8), []),
    "dims of one element": (lambda x: x[:, None].squeeze(1).unsqueeze(2).reshape(x.shape), (3, 8), []),
    "permutes around a reshape": (
        lambda x: x.permute(0, 2, 3, 1).reshape(x.shape[0], 30, 4).transpose(1, 2), (2, 4, 5, 6), ["reshape"],
    ),
    "one of three": (
        lambda x: x.reshape(-1, 5, 3, 2, 4).permute(2, 0, 3, 1, 4)[1], (3, 5, 24), ["reshape", "getitem", "permute"],
    ),
    "the last of the rows": (lambda x: x.transpose(0, 1)[-1], (3, 5, 2), ["getitem"]),
    "a shuffle": (
        lambda x: x.reshape(-1, 2, 3, 4).transpose(1, 2).reshape(-1, 24), (3, 24), ["reshape", "permute", "reshape"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CHAINS)
def test_a_chain_is_as_short_as_can_be(name: str) -> None:
    function, shape, expected = CHAINS[name]

    assert names(simple(formula(lambda x: function(x)), shape)) == expected


def test_views_are_left_alone_where_a_slice_lies_between() -> None:
    graph = simple(formula(lambda x: x.transpose(1, 2)[:, 1:].transpose(1, 2)), (2, 3, 4))

    assert names(graph) == ["permute", "getitem", "permute"]


SUNK: dict[str, tuple[Callable[..., Any], dict[str, nn.Module], tuple[int, ...], list[str]]] = {
    "a linear layer on rows in another order": (
        lambda x, f: f(x.transpose(0, 1)).transpose(0, 1), {"f": nn.Linear(4, 3)}, (2, 5, 4), ["linear"],
    ),
    "a linear layer on merged rows": (
        lambda x, f: f(x.reshape(-1, 4)).reshape(-1, 5, 3), {"f": nn.Linear(4, 3)}, (2, 5, 4), ["linear"],
    ),
    "a linear layer that merges heads": (
        lambda x, f: f(x.permute(2, 0, 1, 3).reshape(-1, 8)).reshape(5, -1, 3).transpose(0, 1),
        {"f": nn.Linear(8, 3)}, (2, 2, 5, 4), ["permute", "reshape", "linear"],
    ),
    "a linear layer with one output": (
        lambda x, f: f(x.transpose(0, 1)).squeeze(-1), {"f": nn.Linear(4, 1)}, (2, 5, 4),
        ["linear", "reshape", "permute"],
    ),
    "a norm of rows": (
        lambda x, n: n(x.transpose(0, 1)).transpose(0, 1), {"n": nn.LayerNorm(4)}, (2, 5, 4), ["layer_norm"],
    ),
    "functions of single elements": (
        lambda x, a: a(x.flatten(1)).exp().clamp(0, 1).reshape(x.shape) * 2, {"a": nn.ReLU()}, (2, 5, 4),
        ["relu", "exp", "clamp", "mul"],
    ),
    "a sum of two that are seen alike": (
        lambda x, a: (x.transpose(1, 2) + x.exp().transpose(1, 2)).transpose(1, 2), {"a": nn.ReLU()}, (2, 5, 4),
        ["exp", "add"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SUNK)
def test_it_is_done_before_the_view(name: str) -> None:
    function, layers, shape, expected = SUNK[name]

    assert names(simple(formula(function, **layers), shape)) == expected


KEPT: dict[str, tuple[Callable[..., Any], dict[str, nn.Module], tuple[int, ...]]] = {
    "a sum of two that are seen otherwise": (lambda x: x.transpose(1, 2) + x, {}, (2, 4, 4)),
    "a sum with a row": (lambda x: x.transpose(1, 2) + Tensor([1.0, 2.0, 3.0]), {}, (2, 3, 4)),
    "a function of a part": (lambda x: x.reshape(-1, 2, 3, 4)[:, 1].exp(), {}, (2, 6, 4)),
    "a norm of turned rows": (lambda x, n: n(x.transpose(1, 2)), {"n": nn.LayerNorm(5)}, (2, 5, 4)),
    "a linear layer on turned features": (lambda x, f: f(x.transpose(1, 2)), {"f": nn.Linear(5, 3)}, (2, 5, 4)),
    "a softmax": (lambda x: x.transpose(1, 2).softmax(-1), {}, (2, 5, 4)),
}


@pytest.mark.parametrize("name", KEPT)
def test_it_stays_behind_the_view(name: str) -> None:
    function, layers, shape = KEPT[name]
    before = graph_of(formula(function, **layers), shape)

    assert names(done(simplify_views, before)) == names(before)


def test_all_values_on_the_way_can_be_outputs() -> None:
    def forward(x: Tensor) -> Any:
        a = x.transpose(1, 2)
        b = a.reshape(x.shape[0], -1)
        return a, b, b.exp(), b.exp().reshape(a.shape).transpose(1, 2)

    done(simplify_views, graph_of(formula(forward), (2, 3, 4)))


def test_sizes_that_are_a_batch_and_more_stay() -> None:
    def forward(x: Tensor) -> Tensor:
        return nn.functional.pad(x, (0, 0, 1, 0)).transpose(0, 1).transpose(0, 1).reshape(-1)

    done(simplify_views, graph_of(formula(forward), (2, 3)))
