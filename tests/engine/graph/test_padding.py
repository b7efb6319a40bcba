"""Convolutions pad their inputs themselves where those were padded with zeros."""

from __future__ import annotations

import pytest
from numserve.engine import nn
from numserve.engine.graph.passes.padding import fold_padding

from .made import done, graph_of, ops


@pytest.mark.parametrize(
    ("pad", "conv", "padding"),
    [
        (nn.ZeroPad2d((0, 1, 2, 3)), nn.Conv2d(2, 3, 3), ((2, 3), (0, 1))),
        (nn.ZeroPad2d(1), nn.Conv2d(2, 3, 3, padding=1, stride=2), ((2, 2), (2, 2))),
        (nn.ConstantPad2d(2, 0.0), nn.Conv2d(2, 4, 3, groups=2), ((2, 2), (2, 2))),
    ],
)
def test_zeros_around_an_image_become_padding(pad: nn.Module, conv: nn.Module, padding: object) -> None:
    graph = done(fold_padding, graph_of(nn.Sequential(pad, conv), (2, 2, 5, 6)))

    assert ops(graph) == {"conv": 1}
    assert graph.nodes[0].attributes["padding"] == padding


@pytest.mark.parametrize(
    "pad", [nn.ConstantPad2d(1, 0.5), nn.ReflectionPad2d(1), nn.ReplicationPad2d(1), nn.ZeroPad2d((-1, 0, 0, 0))]
)
def test_other_padding_stays(pad: nn.Module) -> None:
    graph = done(fold_padding, graph_of(nn.Sequential(pad, nn.Conv2d(2, 3, 3)), (2, 2, 5, 6)))

    assert ops(graph) == {"pad": 1, "conv": 1}


def test_what_is_not_a_convolution_reads_the_padding() -> None:
    graph = done(fold_padding, graph_of(nn.Sequential(nn.ZeroPad2d(1), nn.MaxPool2d(2)), (2, 2, 5, 6)))

    assert ops(graph) == {"pad": 1, "max_pool": 1}
