"""What need not be computed, or not twice, is left out."""

from __future__ import annotations

import numpy as np
from numserve.engine import Tensor, nn
from numserve.engine.dtype import float32
from numserve.engine.graph import Extent, Graph, Node, Value, interpret
from numserve.engine.graph.passes.cleaning import fold_constants, merge_equal, remove_dead

from .made import done, formula, graph_of, numbers, ops

N = Extent(1)


def test_what_no_output_needs_is_left_out() -> None:
    def forward(x: Tensor, used: nn.Linear, unused: nn.Linear) -> Tensor:
        unused(x)
        return used(x)

    graph = done(remove_dead, graph_of(formula(forward, used=nn.Linear(3, 2), unused=nn.Linear(3, 2)), (2, 3)))

    assert ops(graph) == {"linear": 1}
    assert set(graph.constants) == {"used.weight", "used.bias"}


def test_a_node_stays_whole_where_one_of_its_outputs_is_read() -> None:
    graph = done(remove_dead, graph_of(formula(lambda x: x.max(dim=1)[1]), (2, 3)))

    assert [len(node.outputs) for node in graph.nodes] == [2]


def test_what_depends_on_constants_alone_is_computed_once() -> None:
    table = Tensor(numbers(4, 3))
    graph = done(fold_constants, graph_of(formula(lambda x: x @ (table * 2 + 1).transpose(0, 1)), (2, 3)))

    assert ops(graph) == {"matmul": 1}
    assert len(graph.constants) == 1


def test_what_follows_the_batch_is_not_computed_once() -> None:
    graph = done(fold_constants, graph_of(nn.LSTM(3, 4, batch_first=True), (2, 5, 3)))

    assert ops(graph)["expand"] == 2
    assert graph.polymorphic


def test_several_outputs_of_a_folded_node_are_all_there() -> None:
    table = Tensor(numbers(4, 3))
    graph = done(fold_constants, graph_of(formula(lambda x: x + table.max(dim=0)[0] * table.max(dim=0)[1]), (2, 3)))

    assert ops(graph) == {"add": 1}


def test_nodes_that_compute_the_same_become_one() -> None:
    graph = done(merge_equal, graph_of(formula(lambda x: (x.exp() + 1) * (x.exp() + 1)), (2, 3)))

    assert ops(graph) == {"exp": 1, "add": 1, "mul": 1}


def test_nodes_that_differ_in_an_attribute_or_an_operands_type_stay_two() -> None:
    different = [
        lambda x: x.clamp(0, 1) + x.clamp(0, 2),
        lambda x: x.sum(0) + x.sum(1),
        lambda x: x[:, :2] + x[:, 1:],
        lambda x: (x / 2) + (x / 3),
        lambda x: (x - x.exp()) + (x.exp() - x),
    ]
    for function in different:
        graph = graph_of(formula(function), (3, 3))
        assert len(done(merge_equal, graph).nodes) >= 3


def test_small_constants_of_the_same_content_become_one() -> None:
    ones, more, others = (Tensor(np.full((2, 3), value, np.float32)) for value in (1, 1, 2))
    graph = done(merge_equal, graph_of(formula(lambda x: (x + ones) * (x + more) * (x + others)), (2, 3)))

    assert ops(graph) == {"add": 2, "mul": 2}
    assert len(graph.constants) == 2


def test_one_and_true_are_not_the_same_operand() -> None:
    x, a, b, c = (Value(name, (N, 2), float32) for name in ("x", "a", "b", "c"))
    nodes = (Node("mul", (x, 1), (a,)), Node("mul", (x, True), (b,)), Node("add", (a, b), (c,)))

    assert len(done(merge_equal, Graph((x,), (c,), nodes)).nodes) == 3


def test_equal_outputs_stay_two_outputs() -> None:
    graph = done(merge_equal, graph_of(formula(lambda x: (x.exp(), x.exp())), (2, 3)))

    assert ops(graph) == {"exp": 1}
    assert len(interpret(graph, [np.zeros((1, 3), np.float32)])) == 2
