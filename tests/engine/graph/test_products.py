"""Linear layers and products with constants become gemm; those that share their input become one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numserve.engine import Tensor, nn
from numserve.engine.graph.passes.products import lower_products, merge_products, unify_products

from .made import done, formula, graph_of, numbers, ops

WEIGHT = Tensor(numbers(4, 5))


def test_a_linear_layer_is_lowered_with_its_weight_turned() -> None:
    graph = done(lower_products, graph_of(nn.Linear(4, 5), (2, 3, 4)))
    [node] = graph.nodes
    weight = graph.constant(node.inputs[1])

    assert node.op == "gemm"
    assert weight is not None and weight.shape == (4, 5)
    assert weight.flags.c_contiguous and weight.ctypes.data % 64 == 0


def test_a_bias_that_is_missing_is_zeros() -> None:
    graph = done(lower_products, graph_of(nn.Linear(4, 5, bias=False), (2, 4)))

    assert not graph.constants[graph.nodes[0].inputs[2].name].any()  # type: ignore[union-attr]


def test_two_layers_with_one_weight_keep_one() -> None:
    graph = done(lower_products, graph_of(formula(lambda x, f: f(f(x)), f=nn.Linear(4, 4)), (2, 4)))

    assert ops(graph) == {"gemm": 2}
    assert len(graph.constants) == 2


@pytest.mark.parametrize("side", [lambda x: x @ WEIGHT, lambda x: x.matmul(WEIGHT) + 1])
def test_a_product_with_a_constant_is_a_linear_layer(side: Callable[[Tensor], Tensor]) -> None:
    graph = done(unify_products, graph_of(formula(side), (2, 3, 4)))

    assert ops(graph)["linear"] == 1


@pytest.mark.parametrize(
    "function",
    [
        lambda x: WEIGHT.transpose(0, 1) @ x.transpose(0, 1),
        lambda x: x @ Tensor(numbers(3, 4, 5)),
        lambda x: x @ Tensor(numbers(4)),
        lambda x: x @ x.transpose(0, 1),
    ],
)
def test_other_products_stay(function: Callable[[Tensor], Tensor]) -> None:
    graph = graph_of(formula(function), (2, 4))

    assert ops(done(unify_products, graph)) == ops(graph)


@pytest.mark.parametrize(
    ("module", "shape", "dtype"),
    [
        (nn.Linear(4, 5).double(), (2, 4), np.float64),
        (nn.Linear(4, 5), (4,), np.float32),
        (formula(lambda x: nn.functional.linear(x, x)), (2, 4), np.float32),
    ],
)
def test_what_is_no_product_of_float32_rows_with_constants_stays(
    module: nn.Module, shape: tuple[int, ...], dtype: Any
) -> None:
    assert ops(done(lower_products, graph_of(module, shape, dtype=dtype))) == {"linear": 1}


def heads_of(x: Tensor) -> Tensor:
    return x.reshape(x.shape[0], 2, 2)


def heads(x: Tensor) -> Tensor:
    return x.reshape(x.shape[0], 3, 2, 4).transpose(1, 2)


def test_queries_keys_and_values_are_computed_at_once() -> None:
    def forward(x: Tensor, q: nn.Linear, k: nn.Linear, v: nn.Linear) -> Tensor:
        return nn.functional.scaled_dot_product_attention(heads(q(x)), heads(k(x)), heads(v(x)))

    module = formula(forward, q=nn.Linear(4, 8), k=nn.Linear(4, 8, bias=False), v=nn.Linear(4, 8))
    graph = done(merge_products, graph_of(module, (2, 3, 4)))

    assert ops(graph)["linear"] == 1 and ops(graph)["getitem"] == 3


def test_keys_and_values_of_another_input_are_merged_on_their_own() -> None:
    def forward(x: Tensor, y: Tensor, q: nn.Linear, k: nn.Linear, v: nn.Linear) -> Tensor:
        return nn.functional.scaled_dot_product_attention(heads(q(x)), heads(k(y)), heads(v(y)))

    module = formula(forward, q=nn.Linear(4, 8), k=nn.Linear(5, 8), v=nn.Linear(5, 8))
    graph = done(merge_products, graph_of(module, (2, 3, 4), (2, 3, 5)))

    assert ops(graph)["linear"] == 2 and ops(graph)["getitem"] == 2


@pytest.mark.parametrize(
    "function",
    [
        lambda x, a, b: a(x).relu() * b(x),
        lambda x, a, b: (a(x), b(x)),
        lambda x, a, b: a(x).reshape(-1) + b(x).reshape(-1),
        lambda x, a, b: heads_of(a(x)) * heads_of(b(x * 2)),
    ],
)
def test_layers_are_not_merged_where_more_follows_or_inputs_differ(function: Callable[..., Any]) -> None:
    graph = graph_of(formula(function, a=nn.Linear(4, 4), b=nn.Linear(4, 4)), (2, 4))

    assert ops(done(merge_products, graph)) == ops(graph)
