"""Whole models through all passes: the same outputs, by the operations that are expected and no others."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
from numserve.engine import Tensor, compile_module, models, nn
from numserve.engine.executors import Choices
from numserve.engine.executors.builtin import executor_named
from numserve.engine.graph import Graph, interpret
from numserve.engine.graph.passes import PASSES, lower
from numserve.engine.graph.plan import plan
from numserve.engine.models.vgg import cfgs, make_layers

from .made import calibrated, close, done, formula, graph_of, numbers, ops, outputs_of


def small_vgg() -> nn.Module:
    """vgg11_bn with less in its linear layers, which are most of it."""
    rows = nn.Sequential(nn.Flatten(), nn.Linear(512 * 4, 64), nn.ReLU(True), nn.Dropout(), nn.Linear(64, 10))
    return nn.Sequential(make_layers(cfgs["A"], batch_norm=True), nn.AdaptiveAvgPool2d(2), rows)


# Model, size of the picture, what it is lowered to.
CLASSICS: dict[str, tuple[Callable[[], nn.Module], int, dict[str, int]]] = {
    "resnet18": (
        lambda: models.resnet18(num_classes=10), 64,
        {"permute": 1, "conv_nhwc": 20, "max_pool_nhwc": 1, "mean_nhwc": 1, "gemm": 1},
    ),
    "mobilenet_v2": (
        lambda: models.mobilenet_v2(num_classes=10), 64, {"permute": 1, "conv_nhwc": 52, "mean_nhwc": 1, "gemm": 1},
    ),
    "squeezenet1_1": (
        lambda: models.squeezenet1_1(num_classes=10), 64,
        {"permute": 1, "conv_nhwc": 26, "cat": 8, "max_pool_nhwc": 3, "mean_nhwc": 1},
    ),
    "densenet121": (
        lambda: models.densenet121(num_classes=10), 64,
        {
            "permute": 1, "conv_nhwc": 120, "cat": 58, "max_pool_nhwc": 1, "avg_pool_nhwc": 3, "maximum": 3,
            "minimum": 3, "affine_nhwc": 1, "mean_nhwc": 1, "gemm": 1,
        },
    ),
    "vgg11_bn": (small_vgg, 64, {"permute": 1, "conv_nhwc": 8, "max_pool_nhwc": 5, "reshape": 1, "gemm": 2}),
}  # fmt: skip
LARGE: dict[str, tuple[Callable[[], nn.Module], int, dict[str, int]]] = {
    "alexnet": (
        lambda: models.alexnet(num_classes=10), 224,
        {"permute": 2, "conv_nhwc": 5, "max_pool_nhwc": 3, "reshape": 1, "gemm": 3},
    ),
    "inception_v3": (
        lambda: models.inception_v3(num_classes=10, init_weights=False, transform_input=True), 299,
        {
            "permute": 1, "conv_nhwc": 94, "cat": 11, "avg_pool_nhwc": 9, "max_pool_nhwc": 4, "mean_nhwc": 1, "gemm": 1,
        },
    ),
}  # fmt: skip
EVERY = [*CLASSICS, *(pytest.param(name, marks=pytest.mark.slow) for name in LARGE)]
FREE = {"permute", "cat", "reshape"}


class Lowered:
    """A classic, and what it was lowered to."""

    def __init__(self, name: str) -> None:
        make, self.size, self.ops = {**CLASSICS, **LARGE}[name]
        self.module = calibrated(make(), 4, 3, self.size, self.size)
        self.graph = lower(graph_of(self.module, (2, 3, self.size, self.size)))


@pytest.fixture
def classic(name: str) -> Lowered:
    return made(name)


made = cache(Lowered)


@pytest.mark.parametrize("name", EVERY)
def test_a_classic_consists_of_few_operations_and_gives_the_same(classic: Lowered) -> None:
    assert ops(classic.graph) == classic.ops
    for batch in (1, 3):
        pictures = numbers(batch, 3, classic.size, classic.size)
        close(interpret(classic.graph, [pictures]), outputs_of(classic.module, pictures))


@pytest.mark.parametrize("name", EVERY)
def test_a_classic_is_planned_without_copies(classic: Lowered) -> None:
    planned = plan(classic.graph, batch=2)
    turned = {"reshape"} if classic.ops["permute"] > 1 else set()  # images before a large linear layer

    assert {step.op for step in planned.steps} == classic.ops.keys() - FREE | turned
    assert planned.memory.constants == sum(a.nbytes for a in classic.graph.constants.values())


@pytest.mark.parametrize("executor", ["numpy", "auto"])
@pytest.mark.parametrize("name", EVERY)
def test_a_classic_runs_on_the_executors(classic: Lowered, executor: str) -> None:
    program = executor_named(executor).compile(plan(classic.graph, batch=3), Choices())
    pictures = numbers(3, 3, classic.size, classic.size, seed=5)

    close(program.run([pictures]), outputs_of(classic.module, pictures))
    assert not [unit for unit in program.units if unit.algorithm == "primitive"]


def test_constants_are_where_no_plan_has_to_copy_them() -> None:
    module = nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU(), nn.Flatten(), nn.Linear(5 * 16, 7), nn.Softmax(-1))
    lowered = lower(graph_of(module, (2, 3, 6, 6)))
    planned = [plan(lowered, batch) for batch in (1, 2)]
    constants = {id(i) for p in planned for s in p.steps for i, c in zip(s.inputs, s.constant, strict=True) if c}

    assert all(a.ctypes.data % 64 == 0 and a.flags.c_contiguous for a in lowered.constants.values())
    assert constants - {id(None)} == {id(a) for a in lowered.constants.values()}


ENCODER = {"gemm": 8, "getitem": 6, "reshape": 8, "permute": 8, "scaled_dot_product_attention": 2, "layer_norm": 4}
OTHERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], dict[str, int], set[str]]] = {
    "encoder": (
        lambda: nn.TransformerEncoder(nn.TransformerEncoderLayer(32, 4, 64, batch_first=True), 2), (2, 7, 32),
        ENCODER, {"gemm", "scaled_dot_product_attention", "layer_norm"},
    ),
    "encoder with norms first": (
        lambda: nn.TransformerEncoder(
            nn.TransformerEncoderLayer(32, 4, 64, activation="gelu", norm_first=True, batch_first=True), 2
        ),
        (2, 7, 32), ENCODER, {"gemm", "scaled_dot_product_attention", "layer_norm"},
    ),
    "mlp": (
        lambda: nn.Sequential(nn.Linear(9, 8), nn.ReLU(), nn.Dropout(), nn.Linear(8, 3), nn.Softmax(-1)), (2, 9),
        {"gemm": 2, "softmax": 1}, {"gemm", "softmax"},
    ),
    "recurrent layers": (
        lambda: formula(
            lambda x, lstm, fc: fc(lstm(x)[0][:, -1]), lstm=nn.LSTM(5, 6, 2, batch_first=True), fc=nn.Linear(6, 3)
        ),
        (2, 7, 5), {"expand": 1, "permute": 1, "getitem": 3, "lstm": 2, "gemm": 1}, {"lstm", "gemm"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", OTHERS)
def test_rows_and_sequences_are_lowered_and_planned_without_copies(name: str) -> None:
    make, shape, expected, steps = OTHERS[name]
    module = make().eval()
    lowered = done(lower, graph_of(module, shape))

    assert ops(lowered) == expected
    for batch in (1, 3):
        planned = plan(lowered, batch)
        x = numbers(batch, *shape[1:], seed=4)
        assert {step.op for step in planned.steps} == steps
        for executor in ("numpy", "auto"):
            close(executor_named(executor).compile(planned, Choices()).run([x]), outputs_of(module, x))


def test_attention_as_torch_exports_it_is_found_behind_its_views() -> None:
    def forward(x: Tensor, packed: nn.Linear, out: nn.Linear) -> Tensor:
        rows = packed(x.transpose(0, 1))
        apart = rows.reshape(1, 5, -1, 3, 8).permute(3, 1, 2, 0, 4).squeeze(3)
        q, k, v = (
            apart[n].reshape(5, -1, 4).transpose(0, 1).reshape(-1, 2, 5, 4) for n in range(3)
        )  # with heads merged into the batch for a while
        seen = (q * 0.7 @ (k.transpose(2, 3) * 0.7)).softmax(-1) @ v
        joined = out(seen.permute(2, 0, 1, 3).reshape(-1, 8)).reshape(5, -1, 8)
        return x + joined.transpose(0, 1)

    lowered = done(lower, graph_of(formula(forward, packed=nn.Linear(8, 24), out=nn.Linear(8, 8)), (2, 5, 8)))

    assert [step.op for step in plan(lowered, 2).steps] == ["gemm", "scaled_dot_product_attention", "gemm"]


def test_all_outputs_of_a_model_are_kept_in_their_order() -> None:
    def forward(x: Tensor, conv: nn.Conv2d, norm: nn.BatchNorm2d, fc: nn.Linear) -> Any:
        y = conv(x)
        z = norm(y).relu()
        return y, z, z, fc(z.mean((2, 3))), x

    module = formula(forward, conv=nn.Conv2d(3, 4, 3), norm=nn.BatchNorm2d(4), fc=nn.Linear(4, 2))
    graph = done(lower, graph_of(calibrated(module, 2, 3, 6, 6), (2, 3, 6, 6)))

    assert len(graph.outputs) == 5
    assert graph.structure == graph_of(module, (2, 3, 6, 6)).structure


@pytest.mark.parametrize("dtype", [np.float64, np.int64, np.bool_])
def test_graphs_of_other_dtypes_are_right(dtype: Any) -> None:
    def forward(x: Tensor) -> Any:
        return (x * 2 + x).sum(1), x == 1, x.permute(1, 0).reshape(-1)

    done(lower, graph_of(formula(forward), (3, 4), dtype=dtype))


def test_a_model_of_doubles_loses_no_digits() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)).double()
    before = graph_of(module, (2, 3, 6, 6), dtype=np.float64)
    x = np.random.default_rng(1).standard_normal((2, 3, 6, 6))

    close(interpret(lower(before), [x]), interpret(before, [x]), tolerance=1e-12)


def test_a_graph_for_one_batch_is_lowered_too() -> None:
    graph = graph_of(formula(lambda x: nn.functional.relu(x + Tensor(numbers(2, 3)))), (2, 3))

    assert not done(lower, graph).polymorphic


def test_lowering_again_changes_nothing_more() -> None:
    graph = lower(graph_of(calibrated(models.squeezenet1_1(num_classes=10), 2, 3, 64, 64), (2, 3, 64, 64)))

    assert ops(lower(graph)) == ops(graph)


def test_the_passes_leave_their_input_as_it_was() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)).eval()
    graph: Graph = graph_of(module, (2, 3, 6, 6))
    weights = {name: array.copy() for name, array in graph.constants.items()}
    for apply in PASSES:
        apply(graph)

    assert all(np.array_equal(graph.constants[name], array) for name, array in weights.items())


SIZES: dict[str, Callable[[Tensor, Tensor], Any]] = {
    "times the batch": lambda x, y: y * x.size(0),
    "over and plus the batch": lambda x, y: y / x.size(0) + x.shape[0],
    "times a number made of it": lambda x, y: y * (2 * x.size(0) + 1),
    "times all elements, bent": lambda x, y: (y * x.numel()).sigmoid() * y,
    "a mean by hand": lambda x, y: y.sum(0) / x.size(0),
}


@pytest.mark.parametrize("name", SIZES)
def test_sizes_are_numbers_of_the_batch_that_is_run(name: str) -> None:
    module = formula(lambda x, fc: SIZES[name](x, fc(x)), fc=nn.Linear(4, 3)).eval()
    compiled = compile_module(module, Tensor(numbers(2, 4)))

    for batch in (1, 2, 5):
        x = numbers(batch, 4, seed=batch)
        close([compiled(Tensor(x)).numpy()], outputs_of(module, x))
    assert (compiled.reason, compiled.eager_calls) == ("", 0)
