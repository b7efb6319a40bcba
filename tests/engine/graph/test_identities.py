"""Nodes that give what they were given vanish; those that nearly do stay."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from numserve.engine import Tensor, float64, nn
from numserve.engine.graph import interpret
from numserve.engine.graph.passes.identities import remove_identities

from .made import done, formula, graph_of, numbers, ops

IDLE: dict[str, Callable[[Tensor], Any]] = {
    "reshape": lambda x: x.reshape(x.shape[0], 4, 6, 6),
    "permute": lambda x: x.permute(0, 1, 2, 3),
    "permutes that cancel": lambda x: x.permute(0, 2, 3, 1).permute(0, 3, 1, 2),
    "transposes that cancel": lambda x: x.transpose(1, -1).transpose(-1, 1),
    "reshapes that cancel": lambda x: x.flatten(1).reshape(x.shape),
    "expand": lambda x: x.expand(-1, 4, 6, 6),
    "slices": lambda x: x[:, 0:4, :],
    "plus 0": lambda x: x + 0,
    "times 1": lambda x: x * 1,
    "over 1": lambda x: x / 1.0,
    "to the power of 1": lambda x: x**1,
    "pools": lambda x: nn.MaxPool2d(1)(nn.AvgPool2d(1)(x)),
    "adaptive pool": nn.AdaptiveAvgPool2d(6),
    "adaptive maxima": nn.AdaptiveMaxPool2d(6),
    "resize": lambda x: nn.functional.interpolate(x, size=(6, 6), mode="area"),
    "padding": lambda x: nn.functional.pad(x, (0, 0)),
    "dropout": nn.Dropout(0.5).eval(),
}
BUSY: dict[str, Callable[[Tensor], Any]] = {
    "cast": lambda x: x.to(float64),
    "reshape": lambda x: x.reshape(x.shape[0], 6, 4, 6),
    "permute of equal sizes": lambda x: x.transpose(2, 3),
    "slices": lambda x: x[:, 1:],
    "slices of equal size": lambda x: x.flip(1),
    "pool with a stride": nn.MaxPool2d(1, 2),
    "pool with a divisor": lambda x: nn.functional.avg_pool2d(x, 1, divisor_override=2),
    "plus 1": lambda x: x + 1,
    "a number over x": lambda x: 1 / x,
    "expand": lambda x: x[:, :, :1].expand(-1, -1, 6, -1),
    "resize": lambda x: nn.functional.interpolate(x, size=(6, 6), mode="bilinear", align_corners=True) * 2,
}


@pytest.mark.parametrize("name", IDLE)
def test_what_changes_nothing_vanishes(name: str) -> None:
    graph = done(remove_identities, graph_of(formula(lambda x: IDLE[name](x).exp()), (2, 4, 6, 6)))

    assert ops(graph) == {"exp": 1}


@pytest.mark.parametrize("name", BUSY)
def test_what_changes_something_stays(name: str) -> None:
    graph = graph_of(formula(lambda x: BUSY[name](x).tanh()), (2, 4, 6, 6))

    assert len(done(remove_identities, graph).nodes) > 1


def test_two_permutes_in_a_row_become_one() -> None:
    graph = done(
        remove_identities, graph_of(formula(lambda x: x.permute(0, 2, 3, 1).permute(0, 1, 3, 2)), (2, 4, 5, 6))
    )

    assert [node.attributes for node in graph.nodes] == [{"dims": (0, 2, 1, 3)}]


def test_a_view_in_the_middle_that_others_read_stays_for_them() -> None:
    def forward(x: Tensor) -> Any:
        turned = x.permute(0, 2, 3, 1)
        return turned, turned.permute(0, 3, 1, 2).exp()

    graph = done(remove_identities, graph_of(formula(forward), (2, 4, 5, 6)))

    assert ops(graph) == {"permute": 1, "exp": 1}


def test_an_input_can_be_an_output() -> None:
    graph = done(remove_identities, graph_of(formula(lambda x: (x + 0, x.exp())), (2, 3)))
    x = numbers(2, 3)

    assert graph.outputs[0] == graph.inputs[0]
    assert (interpret(graph, [x])[0] == x).all()


def test_the_second_factor_must_be_a_number_to_be_idle() -> None:
    graph = done(remove_identities, graph_of(formula(lambda x, y: x * y), (2, 3), (2, 3)))

    assert ops(graph) == {"mul": 1}
