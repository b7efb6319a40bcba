"""A norm and relu before a pointwise convolution become bounds of what it reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numserve.engine import Tensor, nn
from numserve.engine.graph import Graph, interpret
from numserve.engine.graph.passes import lower
from numserve.engine.graph.passes.channels_last import to_channels_last
from numserve.engine.graph.passes.clips import clip_inputs
from numserve.engine.graph.passes.endings import fuse_endings

from .made import calibrated, close, done, formula, graph_of, numbers, ops

SHAPE = (2, 6, 5, 5)


def norm(scale: list[float] | None = None, shift: list[float] | None = None) -> nn.BatchNorm2d:
    made = nn.BatchNorm2d(6)
    if scale is not None:
        made.weight.array[...] = scale
    if shift is not None:
        made.bias.array[...] = shift
    return made.eval()


def ready(module: nn.Module) -> Graph:
    return fuse_endings(to_channels_last(graph_of(module, SHAPE)))


def bounds(graph: Graph) -> tuple[np.ndarray | None, np.ndarray | None]:
    [conv] = (n for n in graph.nodes if n.op == "conv_nhwc")
    return graph.constant(conv.inputs[4]), graph.constant(conv.inputs[5])


@pytest.mark.parametrize("activation", [nn.ReLU(), nn.ReLU6(), nn.Hardtanh(-0.5, 0.25)])
def test_a_norm_with_slopes_of_both_signs(activation: nn.Module) -> None:
    module = nn.Sequential(calibrated(nn.BatchNorm2d(6), *SHAPE), activation, nn.Conv2d(6, 4, 1))
    graph = done(clip_inputs, ready(module))
    low, high = bounds(graph)

    assert "affine_nhwc" not in ops(graph)
    assert low is not None and high is not None


def test_positive_slopes_need_one_bound() -> None:
    graph = done(clip_inputs, ready(nn.Sequential(norm([1, 2, 3, 4, 5, 6]), nn.ReLU(), nn.Conv2d(6, 4, 1))))
    low, high = bounds(graph)

    assert low is not None and high is None


def test_slopes_of_nothing_are_constants() -> None:
    shift = [1.0, -1.0, 0.0, 2.0, -3.0, 0.5]
    for scale in ([0.0] * 6, [0, 1e-38, -1e-38, 1, -1, 0], [1e-30, -1e-30, 1e-20, -1e-20, 1e-5, -1e-5]):
        graph = done(clip_inputs, ready(nn.Sequential(norm(scale, shift), nn.ReLU(), nn.Conv2d(6, 4, 1))))
        assert "affine_nhwc" not in ops(graph)


def test_a_relu_alone_is_a_bound_where_it_could_not_be_fused() -> None:
    def forward(x: Tensor, a: nn.Conv2d, b: nn.Conv2d) -> Any:
        y = a(x)
        return y, b(y.relu())

    module = formula(forward, a=nn.Conv2d(6, 6, 3, padding=1), b=nn.Conv2d(6, 4, 1))
    graph = done(clip_inputs, ready(module))

    assert "relu" not in ops(graph)


def test_with_a_pool_between_the_bound_is_a_step_before_it() -> None:
    layers = calibrated(nn.BatchNorm2d(6), 4, 6, 6, 6), nn.ReLU(), nn.AvgPool2d(2), nn.Conv2d(6, 4, 1)
    before = fuse_endings(to_channels_last(graph_of(nn.Sequential(*layers), (2, 6, 6, 6))))
    graph = done(clip_inputs, before)

    assert "affine_nhwc" not in ops(graph)
    assert ops(graph)["maximum"] == 1
    assert bounds(graph) == (None, None)


def test_infinity_and_nan_come_through() -> None:
    module = nn.Sequential(norm([1, -1, 2, -2, 0.5, -0.5]), nn.ReLU(), nn.Conv2d(6, 4, 1)).eval()
    graph = ready(module)
    pictures = numbers(1, 6, 5, 5)
    pictures[0, 0, 0, 0], pictures[0, 1, 1, 1], pictures[0, 2, 2, 2] = np.nan, -np.inf, np.inf
    met, wanted = (interpret(g, [pictures])[0] for g in (clip_inputs(graph), graph))

    assert (np.isnan(met) == np.isnan(wanted)).all() and (np.isinf(met) == np.isinf(wanted)).all()
    finite = np.isfinite(wanted)
    close([met[finite]], [wanted[finite]])


KEPT: dict[str, Callable[..., Any]] = {
    "padding": lambda x, n: nn.Sequential(n, nn.ReLU(), nn.Conv2d(6, 4, 1, padding=1)),
    "a stride": lambda x, n: nn.Sequential(n, nn.ReLU(), nn.Conv2d(6, 4, 1, stride=2)),
    "a window": lambda x, n: nn.Sequential(n, nn.ReLU(), nn.Conv2d(6, 4, 3)),
    "groups": lambda x, n: nn.Sequential(n, nn.ReLU(), nn.Conv2d(6, 4, 1, groups=2)),
    "another activation": lambda x, n: nn.Sequential(n, nn.SiLU(), nn.Conv2d(6, 4, 1)),
    "a pool with padding": lambda x, n: nn.Sequential(n, nn.ReLU(), nn.AvgPool2d(3, padding=1), nn.Conv2d(6, 4, 1)),
    "a pool of maxima": lambda x, n: nn.Sequential(n, nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 4, 1)),
}


@pytest.mark.parametrize("name", KEPT)
def test_it_stays_with(name: str) -> None:
    before = ready(KEPT[name](None, norm()))

    assert ops(done(clip_inputs, before)) == ops(before)


def test_it_stays_where_something_else_reads_it() -> None:
    module = formula(lambda x, n, c: (y := n(x).relu(), c(y)), n=norm(), c=nn.Conv2d(6, 4, 1))
    before = ready(module)

    assert ops(done(clip_inputs, before)) == ops(before)


def test_a_dense_layer_ends_without_a_norm() -> None:
    layers = [nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 8, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 2, 3)]
    graph = done(lower, graph_of(calibrated(nn.Sequential(*layers), *SHAPE), SHAPE))

    assert ops(graph) == {"permute": 2, "conv_nhwc": 2}
