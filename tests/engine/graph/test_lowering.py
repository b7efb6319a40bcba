"""Whole models through all passes: the same outputs, by the operations that are expected and no others."""

from __future__ import annotations

from typing import Any

import pytest
from numserve.engine import models, nn
from numserve.engine.graph import interpret
from numserve.engine.graph.passes import lower
from numserve.engine.graph.plan import plan

from .made import calibrated, close, graph_of, numbers, ops, outputs_of

# Model, size of the picture, what it is lowered to.
CLASSICS: dict[str, tuple[int, dict[str, int]]] = {
    "resnet18": (64, {"permute": 1, "conv_nhwc": 20, "max_pool_nhwc": 1, "mean_nhwc": 1, "gemm": 1}),
    "mobilenet_v2": (64, {"permute": 1, "conv_nhwc": 52, "mean_nhwc": 1, "gemm": 1}),
    "squeezenet1_1": (64, {"permute": 1, "conv_nhwc": 26, "cat": 8, "max_pool_nhwc": 3, "mean_nhwc": 1}),
    "densenet121": (
        64,
        {
            "permute": 1, "conv_nhwc": 120, "cat": 58, "max_pool_nhwc": 1, "avg_pool_nhwc": 3, "maximum": 3,
            "minimum": 3, "affine_nhwc": 1, "mean_nhwc": 1, "gemm": 1,
        },
    ),
}  # fmt: skip
FREE = {"permute", "cat"}


def model(name: str, size: int) -> nn.Module:
    options: dict[str, Any] = {"num_classes": 10}
    return calibrated(getattr(models, name)(**options), 4, 3, size, size)


@pytest.mark.parametrize("name", CLASSICS)
def test_a_classic_consists_of_few_operations_and_gives_the_same(name: str) -> None:
    size, expected = CLASSICS[name]
    module = model(name, size)
    lowered = lower(graph_of(module, (2, 3, size, size)))

    assert ops(lowered) == expected
    for batch in (1, 3):
        pictures = numbers(batch, 3, size, size)
        close(interpret(lowered, [pictures]), outputs_of(module, pictures))


@pytest.mark.parametrize("name", CLASSICS)
def test_a_classic_is_planned_without_copies(name: str) -> None:
    size, expected = CLASSICS[name]
    lowered = lower(graph_of(model(name, size), (2, 3, size, size)))
    planned = plan(lowered, batch=2)

    assert {s.op for s in planned.steps} == expected.keys() - FREE
    assert planned.memory.constants == sum(a.nbytes for a in lowered.constants.values())
