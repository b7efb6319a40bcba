"""Compiled modules: the module's own answers, by plans for a few sizes of batch, or eager with a reason."""

from __future__ import annotations

import gc
import threading
import tracemalloc
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pytest
from numserve import engine
from numserve.engine import CompiledModel, EngineError, Tensor, compile_module, nn
from numserve.engine.errors import DtypeError, ShapeError
from numserve.engine.executors import Choices, ParallelProgram, Program, builtin
from numserve.engine.graph import Graph, GraphModule, capture
from numserve.engine.graph.passes import lower
from numserve.engine.nn import functional as F

EXECUTORS = list(builtin.BUILTIN)


@pytest.fixture(params=EXECUTORS)
def executor(request: pytest.FixtureRequest) -> str:
    try:
        builtin.executor_named(request.param)
    except EngineError as error:
        pytest.skip(str(error))
    return str(request.param)


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return Tensor(np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32))


class Block(nn.Module):
    """What resnet18 is made of."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)
        self.conv2, self.bn2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Two convolutions beside a short cut."""
        return F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))) + x)


def convnet() -> tuple[nn.Module, Any]:
    layers = [nn.Conv2d(3, 32, 7, 2, 3), nn.BatchNorm2d(32), nn.ReLU(True), nn.MaxPool2d(3, 2, 1), Block(32), Block(32)]
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10))
    return model.eval(), lambda batch: numbers(batch, 3, 32, 32)


def encoder() -> tuple[nn.Module, Any]:
    layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True)
    return nn.TransformerEncoder(layer, 2).eval(), lambda batch: numbers(batch, 9, 32)


def recurrent() -> tuple[nn.Module, Any]:
    return nn.LSTM(12, 16, 2, batch_first=True).eval(), lambda batch: numbers(batch, 7, 12)


MODELS = {"convnet": convnet, "encoder": encoder, "lstm": recurrent}


def flat(result: Any) -> list[np.ndarray]:
    if isinstance(result, Tensor):
        return [result.numpy()]
    return [array for part in result for array in flat(part)]


def agree(met: Any, expected: Any) -> None:
    for one, other in zip(flat(met), flat(expected), strict=True):
        assert np.abs(one - other).max() <= 1e-5 * max(1, np.abs(other).max())


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("threads", [1, 2])
@engine.no_grad()
def test_answers_are_the_modules(name: str, executor: str, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("numserve.engine.programs.WORTH_A_THREAD", 0)
    module, example = MODELS[name]()
    model = compile_module(module, example(1), executor=executor, threads=threads)
    for batch in (1, 2, 3, 8, 7, 17):
        agree(model(example(batch)), module(example(batch)))
    assert model.describe()["mode"] == "plan" and model.eager_calls == 0
    assert {1, 2, 8} <= set(batches_of(model)) <= {1, 2, 4, 8, 16, 32} and len(batches_of(model)) <= 4


def test_results_have_no_history_whatever_runs() -> None:
    module, example = convnet()
    model = compile_module(module, example(1))
    for size in (32, 40):
        x = numbers(1, 3, size, size)
        x.requires_grad_()
        assert not model(x).requires_grad
    assert model.eager_calls == 1


class Results(NamedTuple):
    """A named tuple of a tensor and more."""

    logits: Tensor
    sizes: tuple[int, ...]
    parts: dict[str, list[Tensor]]


def test_results_keep_their_structure() -> None:
    class Several(nn.Module):
        def forward(self, x: Tensor, *, scale: Tensor) -> Results:
            return Results(x * scale, (1, 2), {"halves": [x[:, :1], x[:, 1:]]})

    model = compile_module(Several().eval(), numbers(2, 3), named={"scale": numbers(2, 1)})
    met = model(numbers(4, 3), scale=numbers(4, 1))
    assert model.describe()["mode"] == "plan"
    assert type(met).__name__ == "Results" and met._fields == Results._fields and met.sizes == (1, 2)
    assert [part.shape for part in met.parts["halves"]] == [(4, 1), (4, 2)]


def test_what_cannot_be_captured_runs_eager_and_says_why() -> None:
    class Branching(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x if x.sum() > 0 else -x

    model = compile_module(Branching().eval(), numbers(1, 3))
    agree(model(engine.ones(1, 3)), engine.ones(1, 3))
    told = model.describe()
    assert told["mode"] == "eager" and told["eager_calls"] == 1 and told["plans"] == [] and model.graph is None
    assert told["reason"].startswith("data-dependent control flow: ") and "test_compiled.py" in told["reason"]
    with pytest.raises(EngineError, match="Branching runs eager: data-dependent"):
        model.program(1)
    model.prepare([1, 2])


@pytest.mark.parametrize(
    "x",
    [numbers(2, 3, 40, 40), Tensor(np.zeros((2, 3, 32, 32))), numbers(0, 3, 32, 32)],
    ids=["shape", "dtype", "none"],
)
def test_inputs_that_the_graph_is_not_for_run_eager(x: Tensor) -> None:
    class Pooled(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.mean((2, 3))

    model = compile_module(Pooled().eval(), numbers(1, 3, 32, 32))
    assert model(x).dtype == x.dtype and model(x).shape == (len(x), 3)
    assert model.eager_calls == 2 and model.describe()["plans"] == []


def test_arguments_of_another_structure_run_eager() -> None:
    class Scaled(nn.Module):
        def forward(self, x: Tensor, scale: float = 2.0) -> Tensor:
            return x * scale

    model = compile_module(Scaled().eval(), numbers(1, 3))
    x = numbers(4, 3)
    for met, scale in ((model(x), 2.0), (model(x, 3.0), 3.0), (model(x, scale=4.0), 4.0)):
        agree(met, x * scale)
    assert model.eager_calls == 2


def test_arguments_may_be_given_by_name_in_any_order() -> None:
    class Scaled(nn.Module):
        def forward(self, x: Tensor, *, scale: Tensor, added: Tensor) -> Tensor:
            return x * scale + added

    module, x, y, z = Scaled().eval(), numbers(2, 3), numbers(2, 3, seed=1), numbers(2, 3, seed=2)
    model = compile_module(module, x, named={"scale": y, "added": z})
    for given in ({"scale": y, "added": z}, {"added": z, "scale": y}):
        agree(model(x, **given), x * y + z)
    assert model.eager_calls == 0


def test_a_graph_read_from_a_file_has_its_own_order() -> None:
    class Difference(nn.Module):
        def forward(self, right: Tensor, left: Tensor) -> Tensor:
            return left - right

    x, y = numbers(2, 3), numbers(2, 3, seed=1)
    module = GraphModule(capture(Difference().eval(), x, y))
    assert [value.name for value in module.graph.inputs] == ["right", "left"]
    model = compile_module(module, named={"left": y, "right": x})
    agree(model(left=y, right=x), y - x)
    agree(model(right=x, left=y), y - x)
    assert model.eager_calls == 0


def test_what_the_module_refuses_is_refused() -> None:
    module, example = convnet()
    model = compile_module(module, example(1))
    with pytest.raises(EngineError):
        model(numbers(1, 4, 32, 32))


@pytest.mark.parametrize(
    ("x", "met"),
    [
        (numbers(1, 4, 32, 32), "float32 (1, 4, 32, 32)"),
        (numbers(3, 32), "float32 (3, 32)"),
        (Tensor(np.zeros((1, 3, 32, 32))), "float64 (1, 3, 32, 32)"),
    ],
    ids=["shape", "rank", "dtype"],
)
def test_refused_inputs_are_named_with_the_layer_and_what_was_expected(x: Tensor, met: str) -> None:
    module, example = convnet()
    model = compile_module(module, example(1))
    with pytest.raises((ShapeError, DtypeError)) as caught:
        model(x)
    assert str(caught.value).startswith("layer 0: ")
    assert f"; met inputs {met}; the model was compiled for float32 (1, 3," in str(caught.value)


def test_layers_are_named_however_deep_they_are() -> None:
    model = nn.Sequential(
        nn.Identity(), nn.ModuleDict({"a": nn.ReLU()})["a"], nn.Sequential(nn.ReLU(), nn.Linear(3, 4))
    )
    with pytest.raises(ShapeError, match=r"^layer 2\.1: "):
        model(numbers(2, 5))


@pytest.mark.parametrize("x", [numbers(1, 1, 32, 32), numbers(2, 3, 32, 32), Tensor(np.zeros((1, 3, 32, 32)))])
def test_a_program_runs_nothing_on_inputs_that_it_is_not_for(x: Tensor, executor: str) -> None:
    module, example = convnet()
    program = compile_module(module, example(1), executor=executor).program(1)
    before = [array.copy() for array in program.inputs]
    with pytest.raises(ShapeError, match=r"met float\d+ \(.*; the plan is for float32 \(1, 3, 32, 32\)"):
        program.run([x.array])
    assert all(np.array_equal(a, b) for a, b in zip(program.inputs, before, strict=True))


def test_an_executor_that_is_not_there_is_an_error() -> None:
    with pytest.raises(EngineError, match="'quick'"):
        compile_module(nn.ReLU().eval(), numbers(1), executor="quick")


def test_a_plan_that_cannot_be_made_leaves_the_module_eager(monkeypatch: pytest.MonkeyPatch) -> None:
    module, example = convnet()
    model = compile_module(module, example(1))
    monkeypatch.setattr("numserve.engine.programs.plan", None)
    agree(model(example(2)), module(example(2)).detach())
    assert model.describe()["mode"] == "eager" and "TypeError" in model.reason


def test_a_plan_that_gives_something_else_leaves_the_module_eager(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(graph: Graph) -> Graph:
        name = next(name for name, array in graph.constants.items() if array.ndim == 4)
        return replace(graph, constants={**graph.constants, name: graph.constants[name] * 2})

    monkeypatch.setattr("numserve.engine.compiled.lower", lambda graph: wrong(lower(graph)))
    module, example = convnet()
    for prepare in (False, True):
        model = compile_module(module, example(1))
        if prepare:
            model.prepare([2])
        agree(model(example(2)), module(example(2)).detach())
        assert model.describe()["mode"] == "eager" and "is not what the module gives" in model.reason


def test_a_graph_that_cannot_be_lowered_leaves_the_module_eager(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("numserve.engine.compiled.lower", None)
    assert "TypeError" in compile_module(nn.ReLU().eval(), numbers(1)).reason


def test_what_nobody_saw_is_noticed_at_the_first_run() -> None:
    class Hidden(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            y = x + 0
            y.array[...] = np.tanh(y.array)
            return y + 1

    model = compile_module(Hidden().eval(), numbers(2, 3))
    agree(model(numbers(2, 3)), np.tanh(numbers(2, 3)) + Tensor(np.float32(1)))
    assert model.describe()["mode"] == "eager" and "is not what the module gives" in model.reason


# Batches


def batches_of(model: CompiledModel) -> list[int]:
    return [plan["batch"] for plan in model.describe()["plans"]]


def test_few_programs_serve_a_stream_of_any_batches() -> None:
    module, example = encoder()
    model = compile_module(module, example(1), plans=4)
    with engine.no_grad():
        for batch in [*range(1, 20)] * 2:
            agree(model(example(batch)), module(example(batch)))
            assert len(batches_of(model)) <= 4


def test_batches_that_were_prepared_are_not_cut() -> None:
    module, example = encoder()
    model = compile_module(module, example(1))
    model.prepare([6])
    assert batches_of(model) == [6]
    model(example(6))
    assert batches_of(model) == [6]


def test_a_model_whose_rows_meet_gets_a_program_for_every_batch() -> None:
    class Centred(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x - x.mean(0, keepdim=True)

    module = Centred().eval()
    model = compile_module(module, numbers(2, 3), plans=2)
    for batch in (3, 5, 7):
        agree(model(numbers(batch, 3)), module(numbers(batch, 3)))
    assert batches_of(model) == [5, 7]


def test_the_batch_may_be_any_dim_of_outputs() -> None:
    class Turned(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return x.permute(1, 0, 2) * 2, x.reshape(-1, 3) + 1

    module = Turned().eval()
    model = compile_module(module, numbers(1, 2, 3))
    for batch in (1, 7, 9):
        agree(model(numbers(batch, 2, 3)), module(numbers(batch, 2, 3)))
    assert model.eager_calls == 0 and set(batches_of(model)) <= {1, 2, 4, 8}


def test_a_large_batch_is_cut_by_what_its_arena_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("numserve.engine.programs.ARENA_BYTES", 100_000)
    module, example = convnet()
    model = compile_module(module, example(1))
    with engine.no_grad():
        agree(model(example(40)), module(example(40)))
    assert max(plan["arena_bytes"] for plan in model.describe()["plans"]) <= 100_000


@pytest.mark.parametrize("worth", [True, False])
def test_threads_of_numpy_are_given_whole_images_where_there_is_enough_to_do(
    worth: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, example = convnet()
    model = compile_module(module, example(1), executor="numpy", threads=2)
    flops = model.program(1).plan.flops
    monkeypatch.setattr("numserve.engine.programs.WORTH_A_THREAD", 2 * flops if worth else 3 * flops)
    assert isinstance(model.program(4), ParallelProgram) is worth
    assert not isinstance(model.program(1), ParallelProgram)


def test_overflows_go_unsaid_in_every_thread(executor: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("numserve.engine.programs.WORTH_A_THREAD", 0)

    class Exploding(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return (x * 1e30).exp() / (x - x)

    model = compile_module(Exploding().eval(), numbers(2, 8), executor=executor, threads=2)
    assert not np.isfinite(model(numbers(4, 8)).numpy()).any()  # a warning would be an error here


# Telling


def test_a_description_is_plain_and_whole(executor: str) -> None:
    module, example = convnet()
    model = compile_module(module, example(1), executor=executor, exact=True)
    model.prepare([1, 4])
    told = model.describe()
    assert told.keys() == {
        "mode", "reason", "executor", "threads", "exact", "plans", "constants_bytes", "eager_calls"
    }  # fmt: skip
    assert (told["executor"], told["threads"], told["exact"]) == (executor, 1, True)
    first, second = told["plans"]
    assert first.keys() == {"batch", "steps", "arena_bytes", "scratch_bytes", "gflop"}
    assert second["gflop"] == pytest.approx(4 * first["gflop"], rel=0.2)
    assert told["constants_bytes"] > 4 * 4 * 9 * 32 * 32


def test_a_profile_has_a_time_for_every_step(executor: str) -> None:
    model = compile_module(nn.Sequential(nn.Embedding(5, 8), nn.Linear(8, 3)).eval(), engine.arange(4))
    for times in (model.profile(1), model.profile(3, rounds=2)):
        assert [time.op for time in times] == ["embedding", "gemm"]
        assert all(time.seconds > 0 for time in times)


def test_choices_are_kept_for_the_next_time(executor: str) -> None:
    module, example = convnet()
    choices = Choices()
    model = compile_module(module, example(1), executor=executor, choices=choices)
    model.prepare()
    assert model.choices is choices and len(choices) > 0


# Memory and threads


NUMPYS_OWN = 140_000  # NumPy's iterators take up to 32 KiB an operand, whatever the size of the arrays
PYTHONS_OWN = 10_000


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(("name", "batch"), [("convnet", 32), ("encoder", 128)])
def test_a_run_allocates_no_arrays(name: str, batch: int, executor: str, threads: int) -> None:
    module, example = MODELS[name]()
    program = compile_module(module, example(1), executor=executor, threads=threads).program(batch)
    x = [example(batch).numpy()]
    outputs = [output.copy() for output in program.run(x)]
    run(program, x, outputs, 3)
    gc.collect()
    tracemalloc.start()
    run(program, x, outputs, 10)
    warm, _ = tracemalloc.get_traced_memory()
    run(program, x, outputs, 20)
    kept, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept - warm < PYTHONS_OWN
    assert peak < (threads * NUMPYS_OWN if executor == "numpy" else PYTHONS_OWN)


def run(program: Program, inputs: Sequence[np.ndarray], outputs: Sequence[np.ndarray], times: int) -> None:
    for _ in range(times):
        program.run(inputs, outputs)


@engine.no_grad()
def test_threads_may_share_a_model() -> None:
    module, example = encoder()
    model = compile_module(module, example(1))
    answers: dict[int, Any] = {}

    def ask(number: int) -> None:
        for _ in range(5):
            answers[number] = model(example(number))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(1, 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    for number in range(1, 7):
        agree(answers[number], module(example(number)))


@engine.no_grad()
def test_models_of_several_threads_each_run_side_by_side(executor: str) -> None:
    module, example = convnet()
    models = [compile_module(module, example(1), executor=executor, threads=2) for _ in range(2)]
    failures: list[BaseException] = []

    def ask(model: CompiledModel) -> None:
        try:
            with engine.no_grad():
                for batch in (1, 4, 3, 2) * 5:
                    agree(model(example(batch)), module(example(batch)))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=ask, args=(model,), daemon=True) for model in models]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert not failures
