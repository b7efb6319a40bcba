"""Means of windows are taken before a pointwise convolution instead of after it."""

from __future__ import annotations

import pytest
from numserve.engine import nn
from numserve.engine.graph.passes.pools import pool_before_pointwise

from .made import done, formula, graph_of

SHAPE = (2, 4, 7, 6)


@pytest.mark.parametrize(
    ("conv", "pool"),
    [
        (nn.Conv2d(4, 3, 1), nn.AvgPool2d(2)),
        (nn.Conv2d(4, 3, 1, bias=False), nn.AvgPool2d(3, 2)),
        (nn.Conv2d(4, 6, 1, groups=2), nn.AvgPool2d(2, ceil_mode=True)),
    ],
)
def test_the_pool_comes_first(conv: nn.Module, pool: nn.Module) -> None:
    graph = done(pool_before_pointwise, graph_of(nn.Sequential(conv, pool), SHAPE))

    assert [node.op for node in graph.nodes] == ["avg_pool", "conv"]


@pytest.mark.parametrize(
    ("conv", "pool"),
    [
        (nn.Conv2d(4, 3, 1), nn.MaxPool2d(2)),
        (nn.Conv2d(4, 3, 1), nn.AvgPool2d(2, divisor_override=3)),
        (nn.Conv2d(4, 3, 1), nn.AvgPool2d(3, padding=1)),
        (nn.Conv2d(4, 3, 1), nn.AvgPool2d(1)),
        (nn.Conv2d(4, 3, 3), nn.AvgPool2d(2)),
        (nn.Conv2d(4, 3, 1, padding=1), nn.AvgPool2d(2)),
        (nn.Conv2d(4, 3, 1, stride=2), nn.AvgPool2d(2)),
    ],
)
def test_the_pool_stays_where_the_order_matters_or_nothing_is_won(conv: nn.Module, pool: nn.Module) -> None:
    graph = done(pool_before_pointwise, graph_of(nn.Sequential(conv, pool), SHAPE))

    assert graph.nodes[0].op == "conv"


def test_the_pool_stays_where_something_else_reads_the_convolution() -> None:
    module = formula(lambda x, conv, pool: (y := conv(x), pool(y)), conv=nn.Conv2d(4, 3, 1), pool=nn.AvgPool2d(2))
    graph = done(pool_before_pointwise, graph_of(module, SHAPE))

    assert [node.op for node in graph.nodes] == ["conv", "avg_pool"]
