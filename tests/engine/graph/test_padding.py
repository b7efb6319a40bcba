"""Convolutions pad their inputs themselves where those were padded with zeros."""

from __future__ import annotations

import pytest
from numserve.engine import Tensor, nn
from numserve.engine.graph.passes.padding import drop_padded_taps, fold_padding

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


@pytest.mark.parametrize(
    ("conv", "size", "weight", "padding"),
    [
        (nn.Conv2d(2, 3, 3, padding=12, dilation=12), (5, 6), (3, 2, 1, 1), ((0, 0), (0, 0))),
        (nn.Conv2d(2, 3, 3, padding=6, dilation=6), (6, 7), (3, 2, 1, 3), ((0, 0), (6, 6))),
        (nn.Conv2d(2, 4, (5, 1), padding=(4, 0), dilation=(2, 1), groups=2), (2, 7), (4, 1, 1, 1), ((0, 0), (0, 0))),
        (nn.Conv2d(2, 3, 3, padding=4, dilation=4, stride=3), (5, 5), (3, 2, 2, 2), ((0, 4), (0, 4))),
    ],
)
def test_what_meets_zeros_alone_is_cut_off(
    conv: nn.Module, size: tuple[int, int], weight: object, padding: object
) -> None:
    graph = done(drop_padded_taps, graph_of(conv, (2, 2, *size)))

    (node,) = graph.nodes
    assert graph.constants[node.inputs[1].name].shape == weight
    assert node.attributes["padding"] == padding


def test_a_filter_that_meets_nothing_or_more_than_was_padded_stays() -> None:
    for conv, size in ((nn.Conv2d(1, 1, 1, padding=9, stride=8), (3, 3)), (nn.Conv2d(1, 1, 3, padding=1), (1, 1))):
        done(drop_padded_taps, graph_of(conv, (1, 1, *size)))


def test_shared_weights_are_cut_once() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(2, 2, 3, padding=12, dilation=12)

        def forward(self, x: Tensor) -> Tensor:
            return self.conv(self.conv(x))

    graph = done(drop_padded_taps, graph_of(Twice(), (2, 2, 5, 6)))

    assert graph.nodes[0].inputs[1] == graph.nodes[1].inputs[1]
