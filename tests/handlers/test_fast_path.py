"""A model with its plans around it: always what the model gives, whatever becomes of the plans."""

from typing import Any

import numpy as np
import pytest
from numserve import engine
from numserve.engine import nn
from numserve.handlers import HandlerError, fast_path
from numserve.handlers.engine_options import EngineOptions
from numserve.handlers.fast_path import PATIENCE, FastPath


class Net(nn.Module):
    """Takes pictures of any size."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x: Any, scale: float = 1.0) -> Any:
        return self.conv(x).relu().mean((2, 3)) * scale


class Moody(Net):
    """Cannot be captured: what it does depends on the values."""

    def forward(self, x: Any, scale: float = 1.0) -> Any:
        return super().forward(x) if x.sum().item() > 0 else super().forward(-x)


def pictures(count: int, size: int = 8) -> Any:
    return engine.tensor(np.random.default_rng(count).normal(size=(count, 3, size, size)).astype(np.float32))


def fast(model: Any = None, **options: Any) -> FastPath:
    return FastPath((model or Net()).eval(), EngineOptions(**options))


def same(path: FastPath, x: Any) -> bool:
    """Whether it gives what the model gives."""
    with engine.inference_mode():
        return np.allclose(path(x).array, path.model(x).array, atol=1e-5)


def told(path: FastPath, *keys: str) -> tuple[Any, ...]:
    described = path.describe()
    return tuple(described[key] for key in keys)


def batches(path: FastPath) -> list[int]:
    return [plan["batch"] for plan in path.describe()["plans"]]


def test_the_first_call_compiles() -> None:
    path = fast()
    assert told(path, "mode", "reason") == ("eager", fast_path.NOT_YET)

    assert same(path, pictures(1)) and same(path, pictures(4))

    assert told(path, "mode", "reason", "eager_calls") == ("plan", "", 0)
    assert batches(path) == [1, 4]


def test_it_can_be_done_before() -> None:
    path = fast(executor="numpy", exact=True, threads=1)

    path.prepare((pictures(1),), [1, 3])

    assert told(path, "mode", "executor", "exact", "threads") == ("plan", "numpy", True, 1)
    assert batches(path) == [1, 3]


def test_examples_that_do_not_fit_leave_it_to_the_first_call() -> None:
    path = fast()

    path.prepare((engine.zeros(1, 5, 8, 8),), [1])
    assert "ShapeError" in path.problem
    with pytest.raises(HandlerError, match="cannot be compiled for its inputs: ShapeError"):
        path.require()

    assert same(path, pictures(1))
    assert told(path, "mode") == ("plan",)


def test_a_guess_gives_way_to_the_first_request() -> None:
    path = fast()
    path.prepare((pictures(1, 8),), [1])

    assert all(same(path, pictures(1, 9)) for _ in range(3))

    assert told(path, "mode", "eager_calls") == ("plan", 1)


def test_other_shapes_run_eager_until_they_are_the_rule() -> None:
    path = fast()
    assert same(path, pictures(1, 8)) and same(path, pictures(1, 9)) and same(path, pictures(1, 8))
    assert told(path, "eager_calls") == (1,)

    assert all(same(path, pictures(1, 9)) for _ in range(PATIENCE + 2))

    assert told(path, "eager_calls") == (1 + PATIENCE,)


def test_shapes_that_go_on_changing_run_eager(monkeypatch) -> None:
    """As when a text grows by a word with each call."""
    path = fast()
    path(pictures(1, 8))
    compiled = path.compiled

    for size in range(9, 9 + 3 * PATIENCE):
        assert same(path, pictures(1, size))

    assert path.compiled is compiled
    assert told(path, "eager_calls") == (3 * PATIENCE,)


def test_it_is_not_compiled_for_other_shapes_for_ever() -> None:
    path = fast()
    sizes = [8 + number for number in range(fast_path.RESHAPINGS + 3)]

    for size in sizes:
        assert all(same(path, pictures(count % 3 + 1, size)) for count in range(PATIENCE + 1))

    assert path._reshapings == fast_path.RESHAPINGS
    assert same(path, pictures(1, sizes[fast_path.RESHAPINGS]))


def test_what_cannot_be_captured_runs_eager_and_says_why(caplog) -> None:
    path = fast(Moody())

    assert same(path, pictures(1)) and same(path, pictures(2))

    mode, reason, eager_calls = told(path, "mode", "reason", "eager_calls")
    assert (mode, eager_calls) == ("eager", 2)
    assert "item" in reason
    assert caplog.text.count("the model runs eager") == 1


def test_a_plan_that_fails_costs_no_request(caplog, monkeypatch) -> None:
    path = fast()
    path.prepare((pictures(1),), [1])
    monkeypatch.setattr(fast_path.CompiledModel, "__call__", lambda *_: 1 / 0)

    assert same(path, pictures(1)) and same(path, pictures(1))

    assert told(path, "mode", "reason") == ("eager", "ZeroDivisionError: division by zero")
    assert caplog.text.count("the model runs eager") == 1


@pytest.mark.parametrize("before", [True, False])
def test_plans_that_cannot_be_made_leave_it_eager(monkeypatch, caplog, before) -> None:
    monkeypatch.setattr("numserve.engine.programs.plan", lambda *_: 1 / 0)
    path = fast()
    if before:
        path.prepare((pictures(1),), [1])

    assert all(same(path, pictures(1)) for _ in range(3))

    mode, reason, eager_calls = told(path, "mode", "reason", "eager_calls")
    assert (mode, eager_calls) == ("eager", 3)
    assert "division by zero" in reason
    assert caplog.text.count("the model runs eager") == 1


def test_compiling_that_fails_costs_no_request(monkeypatch) -> None:
    monkeypatch.setattr(fast_path, "compile_module", lambda *_, **__: 1 / 0)
    path = fast()

    assert same(path, pictures(1))

    assert told(path, "mode", "reason") == ("eager", "ZeroDivisionError: division by zero")


def test_a_wrong_request_is_its_own_fault() -> None:
    path = fast()
    for _ in range(2):
        with pytest.raises(engine.ShapeError):
            path(engine.zeros(1, 5, 8, 8))

    assert same(path, pictures(1))
    assert told(path, "mode") == ("plan",)
    with pytest.raises(engine.ShapeError):
        path(engine.zeros(1, 5, 8, 8))
    assert told(path, "mode") == ("plan",)


def test_what_runs_eager_runs_once() -> None:
    calls = []
    path = FastPath(lambda x: calls.append(x) or 1 / 0, EngineOptions())

    with pytest.raises(ZeroDivisionError):
        path(pictures(1))

    assert len(calls) == 1


class Other(nn.Module):
    """Adds something to what it is given."""

    def forward(self, x: Any) -> Any:
        return x + 1


def scaled(net: Any) -> None:
    with engine.no_grad():
        net.conv.weight.mul_(2)


def given(net: Any) -> None:
    net.conv.weight.data = net.conv.weight.data * 2


CHANGES: dict[str, Any] = {
    "a weight in place": scaled,
    "the memory of a weight": given,
    "all weights": lambda net: net.load_state_dict(Changing().state_dict()),
    "a buffer": lambda net: net.norm.running_mean.fill_(0.5),
    "a weight for another": lambda net: setattr(net.conv, "bias", nn.Parameter(engine.ones(4))),
    "a part for another": lambda net: setattr(net, "conv", nn.Conv2d(3, 4, 5)),
    "a part within": lambda net: net.parts.append(Other()),
    "a number": lambda net: setattr(net, "times", 3.0),
}


class Changing(Net):
    """Has a bit of everything that can be changed."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(4)
        self.parts = nn.Sequential(Other())
        self.times = 1.0

    def forward(self, x: Any) -> Any:
        return self.parts(self.norm(self.conv(x)).relu().mean((2, 3))) * self.times


@pytest.mark.parametrize("change", CHANGES)
def test_what_changes_counts(change) -> None:
    path = fast(Changing())
    before = path(pictures(1)).array

    CHANGES[change](path.model)

    assert same(path, pictures(1))
    assert not np.allclose(path(pictures(1)).array, before, atol=1e-5)
    assert told(path, "mode", "eager_calls") == ("plan", 0)


def test_what_is_set_to_what_it_was_does_not_count(caplog) -> None:
    path = fast()
    path(pictures(1))
    compiled = path.compiled

    for _ in range(10):
        path.model.eval()
        assert same(path, pictures(1))

    assert path.compiled is compiled


def test_a_model_that_keeps_changing_is_left_alone() -> None:
    path = fast()
    for _ in range(fast_path.RECOMPILATIONS + 2):
        assert same(path, pictures(1))
        scaled(path.model)

    assert same(path, pictures(1))
    assert told(path, "mode", "reason") == ("eager", "it keeps changing")


def test_hooks_are_called() -> None:
    path, seen = fast(), []
    assert same(path, pictures(1))

    with path.model.conv.register_forward_hook(lambda *given: seen.append(given)):
        path(pictures(1))
        assert len(seen) == 1
        assert told(path, "mode", "reason") == (
            "eager", "conv has a hook around its forward, which a plan would not call",
        )  # fmt: skip
    path(pictures(1))

    assert len(seen) == 1
    assert told(path, "mode", "eager_calls") == ("plan", 1)


def test_a_model_with_hooks_is_not_compiled_before() -> None:
    path = fast()
    path.model.register_forward_pre_hook(lambda *given: None)

    path.prepare((pictures(1),), [1])

    assert told(path, "mode", "reason") == (
        "eager", "the model itself has a hook around its forward, which a plan would not call",
    )  # fmt: skip


def test_training_is_eager() -> None:
    path = fast()
    path.model.train()

    assert path(pictures(1)).requires_grad
    assert told(path, "mode", "eager_calls") == ("eager", 1)


def test_keywords_reach_the_model() -> None:
    path = fast()

    with engine.inference_mode():
        assert np.allclose(path(pictures(1), scale=2.0).array, path.model(pictures(1)).array * 2, atol=1e-5)


@pytest.mark.parametrize(
    ("model", "executor", "reason"),
    [
        (Net(), "eager", "engine.executor says so"),
        (
            Net(),
            "tpu",
            "engine.executor: executor 'tpu': no executors plug-in is called 'tpu'; there are: native, numpy",
        ),
        (nn.Module, "auto", "a type is no module of the engine"),
    ],
)
def test_what_is_not_compiled_at_all(model, executor, reason) -> None:
    path = FastPath(model, EngineOptions(executor=executor))

    path.prepare((pictures(1),), [1])

    assert told(path, "mode", "executor", "reason", "plans") == ("eager", executor, reason, [])
