"""Stacks are cats, and channels that are scaled one by one are scaled at once."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from numserve.engine import Tensor, cat, nn, stack
from numserve.engine.graph.passes import lower
from numserve.engine.graph.passes.joins import unify_joins

from .made import done, formula, graph_of, ops

SHAPE = (2, 3, 4, 5)


@pytest.mark.parametrize("dim", [0, 1, 2, -1])
def test_a_stack_is_a_cat_of_reshaped_parts(dim: int) -> None:
    graph = done(unify_joins, graph_of(formula(lambda x: stack([x, x.exp()], dim=dim)), (2, 3)))

    assert ops(graph) == {"exp": 1, "reshape": 2, "cat": 1}


SCALED: list[Callable[[Tensor], Tensor]] = [
    lambda x: stack([x[:, 0] * 2 + 1, x[:, 1] * 3 - 1, x[:, 2] * 4], dim=1),
    lambda x: cat([x[:, 0].unsqueeze(1) * 2 + 1, x[:, 1][:, None] * 3, x[:, 2, None] + 0.5], 1),
    lambda x: cat([x[:, 0:1] * 2 + 1, x[:, 1:2] * 3, x[:, 2:3] * 1.5 * 2 + 3 + 1], 1),
]


@pytest.mark.parametrize("function", SCALED)
def test_channels_that_are_scaled_one_by_one_are_scaled_at_once(function: Callable[[Tensor], Tensor]) -> None:
    graph = done(unify_joins, graph_of(formula(function), SHAPE))

    assert ops(graph) == {"mul": 1, "add": 1}


@pytest.mark.parametrize(
    "function",
    [
        lambda x: stack([x[:, 1] * 2, x[:, 0] * 3, x[:, 2] * 4], dim=1),
        lambda x: stack([x[:, 0] * 2, x[:, 1] * 3], dim=1),
        lambda x: stack([x[:, 0] * 2, x[:, 0] * 3, x[:, 2]], dim=1),
        lambda x: stack([x[:, 0] * 2, x[:, 1] * x[:, 1], x[:, 2]], dim=1),
        lambda x: stack([x[:, 0] * 2, x.exp()[:, 1], x[:, 2]], dim=1),
        lambda x: stack([x[:, 0] * 2, x[:, 1], x[:, 2]], dim=2),
        lambda x: stack([x[0:, 0, 1:] * 2, x[:, 1, 1:], x[:, 2, 1:]], dim=1),
        lambda x: cat([x[:, 0:2] * 2, x[:, 2:]], 1),
    ],
)
def test_other_joins_stay(function: Callable[[Tensor], Tensor]) -> None:
    assert ops(done(unify_joins, graph_of(formula(function), SHAPE)))["cat"] == 1


def test_what_inception_does_to_its_pictures_goes_into_the_first_convolution() -> None:
    graph = done(lower, graph_of(formula(lambda x, conv: conv(SCALED[0](x)), conv=nn.Conv2d(3, 4, 3)), SHAPE))

    assert ops(graph) == {"permute": 2, "conv_nhwc": 1}
