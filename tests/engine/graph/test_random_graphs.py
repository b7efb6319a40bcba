"""Models put together at random, of layers and arithmetic on images and rows: every pass keeps what they mean."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numserve.engine import Tensor, cat, nn, stack
from numserve.engine.executors.builtin import executor_named
from numserve.engine.graph import interpret
from numserve.engine.graph.passes import PASSES, lower
from numserve.engine.graph.plan import plan

from .made import close, formula, graph_of, numbers, same_meaning

F = nn.functional
CHANNELS, SIZE = 4, 6
Dice = np.random.Generator
Values = list[Tensor]
Move = Callable[[Values], Tensor]


def conv(dice: Dice) -> nn.Module:
    kernel = int(dice.choice((1, 1, 3)))
    groups = int(dice.choice((1, 1, 2, CHANNELS)))
    return nn.Conv2d(CHANNELS, CHANNELS, kernel, padding=kernel // 2, groups=groups, bias=bool(dice.integers(2)))


def norm(dice: Dice) -> nn.Module:
    layer = nn.BatchNorm2d(CHANNELS)
    for array, low, high in ((layer.weight, -1, 2), (layer.bias, -1, 1), (layer.running_mean, -1, 1)):
        array.array[...] = dice.uniform(low, high, CHANNELS)
    layer.running_var.array[...] = dice.uniform(0.5, 2, CHANNELS)
    return layer


LAYERS = (conv, conv, norm, norm, lambda _dice: nn.MaxPool2d(3, 1, 1), lambda _dice: nn.AvgPool2d(3, 1, 1))
FUNCTIONS: tuple[Callable[[Tensor], Tensor], ...] = (
    nn.ReLU(), nn.ReLU(), nn.ReLU6(), nn.SiLU(), nn.GELU(), nn.Hardswish(), nn.LeakyReLU(0.1), nn.ELU(),
    lambda x: x * x.sigmoid(), lambda x: x * 2, lambda x: x + 1, lambda x: 1 - x, lambda x: x / 3,
    lambda x: x * x.mean((2, 3), keepdim=True), lambda x: x.permute(0, 2, 3, 1).permute(0, 3, 1, 2),
    lambda x: x.transpose(2, 3), lambda x: cat([x[:, 2:], x[:, :2]], 1),
    lambda x: F.pad(x, (1, 0, 0, 1))[:, :, 1:, :-1],
    lambda x: x.reshape(x.shape[0], 2, 2, SIZE, SIZE).transpose(1, 2).reshape(x.shape), lambda x: x.softmax(1),
    lambda x: stack([x[:, c] * (c + 1) - c for c in range(CHANNELS)], dim=1),
    lambda x: F.interpolate(F.avg_pool2d(x, 2), scale_factor=2), lambda x: x.cumsum(3) / SIZE,
)  # fmt: skip
JOINS: tuple[Callable[[Tensor, Tensor], Tensor], ...] = (
    lambda a, b: a + b, lambda a, b: a + b, lambda a, b: a * b / 2, lambda a, b: a - b,
    lambda a, b: cat([a, b], 1)[:, ::2], lambda a, b: cat([a[:, :2], b[:, :2]], 1), lambda a, b: a.maximum(b),
)  # fmt: skip


def moves(dice: Dice) -> tuple[list[tuple[Any, list[int]]], list[nn.Module]]:
    """What is done to which of the values there are; layers may be used again."""
    layers = [LAYERS[dice.integers(len(LAYERS))](dice) for _ in range(6)]
    made: list[tuple[Any, list[int]]] = []
    for there in range(1, 15):
        kind = dice.integers(3)
        near = [max(0, there - int(dice.geometric(0.6))) for _ in range(2)]
        function = (layers, FUNCTIONS, JOINS)[kind]
        made.append((function[dice.integers(len(function))], near if kind == 2 else near[:1]))
    return made, layers


def random_model(seed: int) -> nn.Module:
    dice = np.random.default_rng(seed)
    steps, layers = moves(dice)
    seen = int(dice.integers(15))
    head = nn.Linear(CHANNELS * SIZE * SIZE if seed % 2 else CHANNELS, 3)

    def forward(x: Tensor, head: nn.Linear, *_layers: nn.Module) -> tuple[Tensor, ...]:
        values = [x]
        for function, operands in steps:
            values.append(function(*(values[n] for n in operands)))
        last = values[-1]
        rows = last.flatten(1) if seed % 2 else last.mean((2, 3))
        return head(rows), values[seen]

    return formula(forward, head=head, **{f"layer{n}": layer for n, layer in enumerate(layers)}).eval()


@pytest.mark.parametrize("seed", range(40))
def test_every_pass_keeps_what_a_model_means(seed: int) -> None:
    graph = graph_of(random_model(seed), (2, CHANNELS, SIZE, SIZE))
    for apply in PASSES:
        after = apply(graph)
        same_meaning(graph, after, batches=(2,))
        graph = after
    assert graph.polymorphic


@pytest.mark.parametrize("seed", range(40, 60))
def test_a_plan_of_the_lowered_graph_gives_the_same(seed: int) -> None:
    graph = graph_of(random_model(seed), (2, CHANNELS, SIZE, SIZE))
    lowered = lower(graph)
    for batch in (1, 3):
        x = numbers(batch, CHANNELS, SIZE, SIZE)
        wanted = interpret(graph, [x])
        close(executor_named("numpy").compile(plan(lowered, batch)).run([x]), wanted)
        close(executor_named("auto").compile(plan(lowered, batch)).run([x]), wanted)
