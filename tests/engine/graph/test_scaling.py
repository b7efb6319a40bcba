"""Batch norms and numbers by channel go into the weights beside them, where nobody else sees what lies between."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numserve.engine import Tensor, nn
from numserve.engine.graph.passes.scaling import fold_scaling, merge_scaling

from .made import calibrated, done, formula, graph_of, numbers, ops

IMAGE, ROWS = (2, 4, 6, 6), (2, 4)


def by_channel(seed: int, *shape: int) -> Tensor:
    return Tensor(numbers(*shape, seed=seed))


A, B = by_channel(1, 4, 1, 1), by_channel(2, 1, 4, 1, 1)
DIVISOR = A * A + 1
ROW = by_channel(3, 4)
FOLDED: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
    "norm after conv": (nn.Sequential(nn.Conv2d(4, 5, 3), nn.BatchNorm2d(5)), IMAGE),
    "norm after conv without bias": (nn.Sequential(nn.Conv2d(4, 5, 3, bias=False), nn.BatchNorm2d(5)), IMAGE),
    "plain norm": (nn.Sequential(nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4, affine=False)), IMAGE),
    "norm after grouped conv": (nn.Sequential(nn.Conv2d(4, 8, 3, groups=2), nn.BatchNorm2d(8)), IMAGE),
    "norm after sequences": (nn.Sequential(nn.Conv1d(4, 5, 3), nn.BatchNorm1d(5)), (2, 4, 7)),
    "norm after transposed conv": (nn.Sequential(nn.ConvTranspose2d(4, 5, 3), nn.BatchNorm2d(5)), IMAGE),
    "norm after grouped transposed conv": (
        nn.Sequential(nn.ConvTranspose2d(4, 6, 3, groups=2, bias=False), nn.BatchNorm2d(6)),
        IMAGE,
    ),
    "norm after linear": (nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)), (5, 4)),
    "norm before conv": (nn.Sequential(nn.BatchNorm2d(4), nn.Conv2d(4, 5, 3)), IMAGE),
    "norm before grouped conv": (nn.Sequential(nn.BatchNorm2d(4), nn.Conv2d(4, 6, 3, groups=2)), IMAGE),
    "norm before linear": (nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 3)), (5, 4)),
    "norms on both sides": (nn.Sequential(nn.BatchNorm2d(4), nn.Conv2d(4, 5, 1), nn.BatchNorm2d(5)), IMAGE),
    "norm between": (nn.Sequential(nn.Conv2d(4, 5, 1), nn.BatchNorm2d(5), nn.Conv2d(5, 2, 3, padding=1)), IMAGE),
    "numbers": (formula(lambda x, conv: (conv(x) * 2 + 1 - 3) / 4, conv=nn.Conv2d(4, 4, 3)), IMAGE),
    "constants": (formula(lambda x, conv: B - conv(x) * A, conv=nn.Conv2d(4, 4, 3)), IMAGE),
    "constants before": (formula(lambda x, conv: conv((x - B) / DIVISOR), conv=nn.Conv2d(4, 4, 3)), IMAGE),
    "scale before padding": (formula(lambda x, conv: conv(x * A), conv=nn.Conv2d(4, 4, 3, padding=1)), IMAGE),
    "row after linear": (formula(lambda x, f: f(x) * ROW + ROW, f=nn.Linear(4, 4)), (2, 3, 4)),
}


@pytest.mark.parametrize("name", FOLDED)
def test_it_goes_into_the_weights(name: str) -> None:
    module, shape = FOLDED[name]
    graph = done(fold_scaling, graph_of(calibrated(module, *shape), shape))

    assert ops(graph).keys() <= {"conv", "conv_transpose", "linear"}


def shared(x: Tensor, conv: nn.Conv2d, norm: nn.BatchNorm2d) -> Any:
    y = conv(x)
    return norm(y), y


def read_twice(x: Tensor, conv: nn.Conv2d, norm: nn.BatchNorm2d) -> Any:
    y = conv(x)
    return norm(y) * y


KEPT: dict[str, tuple[Callable[..., Any], dict[str, nn.Module], tuple[int, ...]]] = {
    "an output lies between": (shared, {"conv": nn.Conv2d(4, 4, 3), "norm": nn.BatchNorm2d(4)}, IMAGE),
    "something else reads what lies between": (
        read_twice, {"conv": nn.Conv2d(4, 4, 3), "norm": nn.BatchNorm2d(4)}, IMAGE,
    ),
    "an activation lies between": (
        lambda x, conv, norm: norm(conv(x).relu()), {"conv": nn.Conv2d(4, 4, 3), "norm": nn.BatchNorm2d(4)}, IMAGE,
    ),
    "the padding would be shifted": (
        lambda x, norm, conv: conv(norm(x)), {"norm": nn.BatchNorm2d(4), "conv": nn.Conv2d(4, 4, 3, padding=1)}, IMAGE,
    ),
    "numbers differ along rows": (lambda x, conv: conv(x) * by_channel(4, 4, 4), {"conv": nn.Conv2d(4, 4, 3)}, IMAGE),
    "numbers differ along the last dim of an image": (
        lambda x, conv: conv(x) * ROW, {"conv": nn.Conv2d(4, 4, 3)}, IMAGE,
    ),
    "numbers differ along the rows of a linear layer": (
        lambda x, f: f(x) * by_channel(5, 3, 1), {"f": nn.Linear(4, 4)}, (2, 3, 4),
    ),
    "a transposed conv comes after it": (
        lambda x, n, c: c(n(x)), {"n": nn.BatchNorm2d(4), "c": nn.ConvTranspose2d(4, 4, 3)}, IMAGE,
    ),
    "the number is not constant": (lambda x, conv: conv(x) * x.mean(), {"conv": nn.Conv2d(4, 4, 3)}, IMAGE),
    "a division by zero": (lambda x, conv: conv(x) / 0, {"conv": nn.Conv2d(4, 4, 3)}, IMAGE),
    "it is the divisor": (lambda x, conv: 2 / conv(x), {"conv": nn.Conv2d(4, 4, 3)}, IMAGE),
}  # fmt: skip


@pytest.mark.parametrize("name", KEPT)
def test_it_stays_where(name: str) -> None:
    function, layers, shape = KEPT[name]
    before = graph_of(calibrated(formula(function, **layers), *shape), shape)
    after = fold_scaling(before)

    assert ops(after) == ops(before)


def test_an_image_that_is_scaled_and_shifted_before_padding_has_a_norm() -> None:
    module = formula(lambda x, conv: conv(x * A + B), conv=nn.Conv2d(4, 4, 3, padding=1))

    assert ops(done(fold_scaling, graph_of(module, IMAGE))) == {"batch_norm": 1, "conv": 1}


def test_an_image_that_is_scaled_by_numbers_alone_has_none() -> None:
    module = formula(lambda x, conv: conv(x * 2 + 1), conv=nn.Conv2d(4, 4, 3, padding=1))

    assert ops(done(fold_scaling, graph_of(module, IMAGE))) == {"mul": 1, "add": 1, "conv": 1}


def test_weights_that_are_shared_stay_shared() -> None:
    module = calibrated(
        formula(
            lambda x, conv, norm: norm(conv(x)) + norm(conv(x * x)), conv=nn.Conv2d(4, 5, 3), norm=nn.BatchNorm2d(5)
        ),
        *IMAGE,
    )
    graph = done(fold_scaling, graph_of(module, IMAGE))

    assert len(graph.constants) == 2


def test_shared_weights_with_different_norms_become_two() -> None:
    module = calibrated(
        formula(
            lambda x, conv, a, b: (a(conv(x)), b(conv(x * x))),
            conv=nn.Conv2d(4, 5, 3), a=nn.BatchNorm2d(5), b=nn.BatchNorm2d(5),
        ),
        *IMAGE,
    )  # fmt: skip
    graph = done(fold_scaling, graph_of(module, IMAGE))

    assert ops(graph) == {"conv": 2, "mul": 1}
    assert len(graph.constants) == 4


def test_doubles_are_folded_as_doubles() -> None:
    module = nn.Sequential(nn.Conv2d(4, 5, 3), nn.BatchNorm2d(5)).double().eval()
    graph = fold_scaling(graph_of(module, IMAGE, dtype=np.float64))

    assert ops(graph) == {"conv": 1}
    assert {a.dtype for a in graph.constants.values()} == {np.dtype(np.float64)}


def test_scalings_in_a_row_become_one_along_the_last_dim() -> None:
    graph = done(merge_scaling, graph_of(formula(lambda x: 3 - (x * ROW + 1) / 2), (2, 3, 4)))

    assert ops(graph) == {"affine_nhwc": 1}


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x * ROW,
        lambda x: (x * ROW).exp() + 1,
        lambda x: x * by_channel(5, 3, 1) + 1,
        lambda x: x.double() * 2 + 1,
        lambda x: ((y := x * 2), y + 1),
    ],
)
def test_scalings_alone_or_apart_stay(function: Callable[..., Any]) -> None:
    before = graph_of(formula(function), (2, 3, 4))

    assert ops(done(merge_scaling, before)) == ops(before)
