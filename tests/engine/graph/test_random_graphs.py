"""Models put together at random, of layers and arithmetic on images and rows: every pass keeps what they mean."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numserve.engine import Tensor, cat, nn, stack
from numserve.engine.executors.builtin import executor_named
from numserve.engine.graph import interpret
from numserve.engine.graph.passes import PASSES, lower
from numserve.engine.graph.plan import plan

from .made import close, formula, graph_of, numbers

F = nn.functional
Dice = np.random.Generator
CHANNELS, SIZE, LENGTH, FEATURES = 4, 6, 4, 6
IMAGE, ROWS = (CHANNELS, SIZE, SIZE), (LENGTH, FEATURES)


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


def spread(dice: Dice) -> nn.Module:
    kernel = int(dice.choice((2, 3, 4)))
    larger = nn.ConvTranspose2d(
        CHANNELS, CHANNELS, kernel, stride=2, padding=(kernel - 1) // 2, output_padding=kernel % 2
    )
    return nn.Sequential(larger, nn.AvgPool2d(2))


def heads(x: Tensor) -> Tensor:
    return x.reshape(x.shape[0], LENGTH, 2, FEATURES // 2).transpose(1, 2)


def heads_by_the_batch(x: Tensor) -> Tensor:
    """The same, on a way that merges heads with the batch."""
    merged = x.transpose(0, 1).reshape(LENGTH, -1, FEATURES // 2).transpose(0, 1)
    return merged.reshape(x.shape[0], 2, LENGTH, FEATURES // 2)


def joined(x: Tensor) -> Tensor:
    return x.transpose(1, 2).reshape(x.shape[0], LENGTH, FEATURES)


def attention(a: Tensor, b: Tensor) -> Tensor:
    scores = heads(a) @ heads_by_the_batch(b).transpose(-2, -1) / 2
    return joined(scores.softmax(-1) @ heads(b))


LAYERS: dict[tuple[int, ...], tuple[Callable[[Dice], nn.Module], ...]] = {
    IMAGE: (
        conv, conv, conv, norm, norm, norm, lambda _: nn.MaxPool2d(3, 1, 1), lambda _: nn.AvgPool2d(3, 1, 1), spread,
    ),
    ROWS: (
        lambda dice: nn.Linear(FEATURES, FEATURES, bias=bool(dice.integers(2))),
        lambda _: nn.Linear(FEATURES, FEATURES),
        lambda _: nn.LayerNorm(FEATURES),
        lambda _: nn.BatchNorm1d(LENGTH),
    ),
}  # fmt: skip
FUNCTIONS: dict[tuple[int, ...], tuple[Callable[[Tensor], Tensor], ...]] = {
    IMAGE: (
        nn.ReLU(), nn.ReLU(), nn.ReLU6(), nn.SiLU(), nn.GELU(), nn.Hardswish(), nn.LeakyReLU(0.1), nn.ELU(),
        lambda x: x * x.sigmoid(), lambda x: x * 2, lambda x: x + 1, lambda x: 1 - x, lambda x: x / 3,
        lambda x: x * x.mean((2, 3), keepdim=True), lambda x: x.permute(0, 2, 3, 1).permute(0, 3, 1, 2),
        lambda x: x.transpose(2, 3), lambda x: cat([x[:, 2:], x[:, :2]], 1), lambda x: x.softmax(1),
        lambda x: F.pad(x, (1, 0, 0, 1))[:, :, 1:, :-1],
        lambda x: x.reshape(x.shape[0], 2, 2, SIZE, SIZE).transpose(1, 2).reshape(x.shape),
        lambda x: stack([x[:, c] * (c + 1) - c for c in range(CHANNELS)], dim=1),
        lambda x: F.interpolate(F.avg_pool2d(x, 2), scale_factor=2), lambda x: x.cumsum(3) / SIZE,
    ),
    ROWS: (
        nn.ReLU(), nn.GELU(), lambda x: x * 2, lambda x: 1 - x, lambda x: x.softmax(-1), lambda x: x.cumsum(1) / LENGTH,
        lambda x: x.transpose(1, 2).reshape(x.shape), lambda x: x.flatten(1).relu().reshape(x.shape),
        lambda x: joined(heads(x)), lambda x: joined(heads_by_the_batch(x).tanh()),
        lambda x: joined(heads(x)[:, [1, 0]]),
        lambda x: x.transpose(0, 1).tanh().transpose(0, 1),
        lambda x: x.reshape(-1, FEATURES).sigmoid().reshape(x.shape),
        lambda x: cat([x.reshape(-1, LENGTH, 2, 3)[:, :, 1], x.reshape(-1, LENGTH, 2, 3).permute(2, 0, 1, 3)[0]], -1),
        lambda x: x.reshape(-1, 2, 2, FEATURES).permute(0, 2, 1, 3).reshape(x.shape), lambda x: x.flip(1),
    ),
}  # fmt: skip
JOINS: dict[tuple[int, ...], tuple[Callable[[Tensor, Tensor], Tensor], ...]] = {
    IMAGE: (
        lambda a, b: a + b, lambda a, b: a + b, lambda a, b: a * b / 2, lambda a, b: a - b,
        lambda a, b: cat([a, b], 1)[:, ::2], lambda a, b: cat([a[:, :2], b[:, :2]], 1), lambda a, b: a.maximum(b),
    ),
    ROWS: (
        lambda a, b: a + b, lambda a, b: (a.transpose(1, 2) + b.transpose(1, 2)).transpose(1, 2), attention, attention,
        lambda a, b: F.scaled_dot_product_attention(heads(a), heads(b), heads(a)).permute(0, 2, 1, 3).reshape(a.shape),
        lambda a, b: cat([a[:, :, :2], b[:, :, 2:]], -1),
    ),
}  # fmt: skip


def steps_for(shape: tuple[int, ...], dice: Dice) -> tuple[list[tuple[Any, list[int]]], list[nn.Module]]:
    """What is done to which of the values there are; layers may be used again."""
    layers = [LAYERS[shape][dice.integers(len(LAYERS[shape]))](dice) for _ in range(6)]
    made: list[tuple[Any, list[int]]] = []
    for there in range(1, 15):
        kind = dice.integers(3)
        near = [max(0, there - int(dice.geometric(0.6))) for _ in range(2)]
        function = (layers, FUNCTIONS[shape], JOINS[shape])[kind]
        made.append((function[dice.integers(len(function))], near if kind == 2 else near[:1]))
    return made, layers


def random_model(shape: tuple[int, ...], seed: int) -> nn.Module:
    dice = np.random.default_rng(seed)
    steps, layers = steps_for(shape, dice)
    seen = int(dice.integers(15))
    flat = shape == ROWS or bool(seed % 2)
    head = nn.Linear(math.prod(shape) if flat else CHANNELS, 3)

    def forward(x: Tensor, head: nn.Linear, *_layers: nn.Module) -> tuple[Tensor, ...]:
        values = [x]
        for function, operands in steps:
            values.append(function(*(values[n] for n in operands)))
        last = values[-1]
        return head(last.flatten(1) if flat else last.mean((2, 3))), values[seen]

    return formula(forward, head=head, **{f"layer{n}": layer for n, layer in enumerate(layers)}).eval()


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("shape", [IMAGE, ROWS])
def test_every_pass_keeps_what_a_model_means(shape: tuple[int, ...], seed: int) -> None:
    graph = graph_of(random_model(shape, seed), (2, *shape))
    x = numbers(2, *shape, seed=3)
    wanted = interpret(graph, [x])
    for apply in PASSES:
        graph = apply(graph).validate()
        close(interpret(graph, [x]), wanted)
    assert graph.polymorphic


@pytest.mark.parametrize("seed", range(30, 42))
@pytest.mark.parametrize("shape", [IMAGE, ROWS])
def test_a_plan_of_the_lowered_graph_gives_the_same(shape: tuple[int, ...], seed: int) -> None:
    graph = graph_of(random_model(shape, seed), (2, *shape))
    lowered = lower(graph)
    for batch in (1, 3):
        x = numbers(batch, *shape)
        wanted = interpret(graph, [x])
        close(executor_named("numpy").compile(plan(lowered, batch)).run([x]), wanted)
        close(executor_named("auto").compile(plan(lowered, batch)).run([x]), wanted)
