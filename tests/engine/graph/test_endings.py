"""Sums and activations are done where their input is made, if nobody else wants to see that."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numserve.engine import Tensor, nn
from numserve.engine.graph import Graph, Node
from numserve.engine.graph.passes.channels_last import to_channels_last
from numserve.engine.graph.passes.endings import fuse_endings
from numserve.engine.graph.passes.products import lower_products

from .made import done, formula, graph_of, ops

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": nn.ReLU(),
    "relu6": nn.ReLU6(),
    "clamp:-1.0:2.0": nn.Hardtanh(-1, 2),
    "clamp:-inf:0.5": lambda x: x.clamp(max=0.5),
    "leaky_relu:0.2": nn.LeakyReLU(0.2),
    "gelu": nn.GELU(),
    "gelu_tanh": nn.GELU(approximate="tanh"),
    "silu": nn.SiLU(),
    "hardsigmoid": nn.Hardsigmoid(),
    "hardswish": nn.Hardswish(),
    "sigmoid": nn.Sigmoid(),
    "tanh": nn.Tanh(),
}


def lowered(module: nn.Module, *shapes: tuple[int, ...]) -> Graph:
    return lower_products(to_channels_last(graph_of(module, *shapes)))


def only(graph: Graph, op: str) -> Node:
    [node] = (n for n in graph.nodes if n.op == op)
    return node


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation_goes_into_a_product(name: str) -> None:
    graph = done(fuse_endings, lowered(formula(lambda x, f: ACTIVATIONS[name](f(x)), f=nn.Linear(4, 5)), (2, 4)))

    assert ops(graph) == {"gemm": 1}
    assert only(graph, "gemm").attributes["activation"] == name


@pytest.mark.parametrize(
    ("module", "op"),
    [
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), "conv_nhwc"),
        (nn.Sequential(nn.BatchNorm2d(3), nn.ReLU()), "affine_nhwc"),
        (formula(lambda x: nn.functional.relu(x + x.exp())), "add_act"),
        (formula(lambda x: nn.functional.relu(x + 1)), "add_act"),
    ],
)
def test_what_an_activation_goes_into(module: nn.Module, op: str) -> None:
    graph = done(fuse_endings, lowered(module, (2, 3, 6, 6)))

    assert only(graph, op).attributes["activation"] == "relu"
    assert "relu" not in ops(graph)


def residual(graph: Graph, op: str = "conv_nhwc") -> list[str]:
    return [n.inputs[3].name for n in graph.nodes if n.op == op and n.inputs[3] is not None]  # type: ignore[union-attr]


def test_a_sum_and_a_relu_go_into_the_convolution() -> None:
    module = formula(lambda x, a, b: (a(x) + b(a(x))).relu(), a=nn.Conv2d(3, 4, 1), b=nn.Conv2d(4, 4, 1))
    graph = done(fuse_endings, lowered(module, (2, 3, 6, 6)))

    assert "add" not in ops(graph) and "relu" not in ops(graph)
    assert len(residual(graph)) == 1


def test_a_sum_goes_into_the_convolution_that_is_computed_last() -> None:
    def forward(x: Tensor, a: nn.Conv2d, b: nn.Conv2d) -> Tensor:
        late = b(x.exp())
        early = a(x)
        return late + early

    graph = done(fuse_endings, lowered(formula(forward, a=nn.Conv2d(3, 4, 1), b=nn.Conv2d(3, 4, 1)), (2, 3, 6, 6)))
    last = [n for n in graph.nodes if n.op == "conv_nhwc"][-1]

    assert last.layer == "a" and last.inputs[3] is not None


def test_of_two_sums_in_a_row_the_second_stays() -> None:
    graph = done(fuse_endings, lowered(formula(lambda x, f: f(x) + x + x.exp(), f=nn.Linear(4, 4)), (2, 4)))

    assert ops(graph) == {"gemm": 1, "exp": 1, "add": 1}


KEPT: dict[str, Callable[..., Any]] = {
    "an output before the activation": lambda x, f: ((y := f(x)), y.relu()),
    "another reader before the activation": lambda x, f: (y := f(x)).relu() * y,
    "the sum of a value with itself": lambda x, f: (y := f(x)) + y,
    "an operand that is stretched": lambda x, f: f(x) + x.mean(dim=1, keepdim=True),
    "a product that is stretched": lambda x, f: f(x).mean(dim=0, keepdim=True) + x,
    "an activation before the sum": lambda x, f: nn.functional.mish(f(x)) + x,
    "an activation that not all executors have there": lambda x, f: nn.functional.elu(f(x)),
}


@pytest.mark.parametrize("name", KEPT)
def test_nothing_is_fused_over(name: str) -> None:
    before = lowered(formula(KEPT[name], f=nn.Linear(4, 4)), (2, 4))

    assert ops(done(fuse_endings, before)) == ops(before)


def test_an_activation_before_the_sum_goes_into_the_product_and_the_sum_does_not() -> None:
    graph = done(fuse_endings, lowered(formula(lambda x, f: f(x).relu() + x, f=nn.Linear(4, 4)), (2, 4)))

    assert ops(graph) == {"gemm": 1, "add": 1}
    assert only(graph, "gemm").attributes["activation"] == "relu"


@pytest.mark.parametrize("dtype", [np.float64, np.int64])
def test_other_dtypes_stay(dtype: Any) -> None:
    before = graph_of(formula(lambda x: nn.functional.relu(x + x * 2)), (2, 4), dtype=dtype)

    assert ops(done(fuse_endings, before)) == ops(before)
