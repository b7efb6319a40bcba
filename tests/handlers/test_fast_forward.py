"""A model that is called as always, and runs by plans where that is the same."""

import copy
import inspect
import threading
from typing import Any

import numpy as np
import pytest
from numserve import engine
from numserve.engine import nn
from numserve.engine.compiled import compile_module
from numserve.handlers.engine_options import EngineOptions
from numserve.handlers.fast_forward import FastForward, attach
from numserve.handlers.fast_path import FastPath


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3, 2)

    def forward(self, x: Any, scale: float = 1.0) -> Any:
        return self.fc(x) * scale


def attached(model: Any = None) -> FastPath:
    return attach(FastPath((model or Net()).eval(), EngineOptions()))


def rows(count: int = 2) -> Any:
    return engine.tensor(np.random.default_rng(count).normal(size=(count, 3)).astype(np.float32))


def planned(path: FastPath) -> bool:
    described = path.describe()
    return bool(described["plans"]) and not described["eager_calls"]


@pytest.mark.parametrize("mode", [engine.no_grad, engine.inference_mode])
def test_calling_the_model_without_gradients_takes_the_fast_path(mode) -> None:
    path = attached()
    expected = path.model(rows()).detach().array

    with mode():
        assert np.allclose(path.model(rows()).array, expected, atol=1e-6)
        assert np.allclose(path.model(rows(), scale=2.0).array, expected * 2, atol=1e-6)

    assert path.describe()["plans"]


def test_with_gradients_it_is_as_it_was() -> None:
    path = attached()

    path.model(rows()).sum().backward()

    assert path.model.fc.weight.grad is not None
    assert path.compiled is None


def test_the_fast_path_itself_is_the_same() -> None:
    path = attached()

    with engine.no_grad():
        path(rows())
        path.model(rows())

    assert planned(path)


def test_what_has_no_plan_is_counted_once() -> None:
    class Moody(Net):
        def forward(self, x: Any, scale: float = 1.0) -> Any:
            return x if x.sum().item() > 0 else -x

    path = attached(Moody())

    with engine.no_grad():
        path.model(rows())
        path(rows())

    assert path.describe()["eager_calls"] == 2


def test_hooks_of_the_model_are_called_once() -> None:
    path, seen = attached(), []
    path.model.register_forward_hook(lambda *given: seen.append(given))

    with engine.no_grad():
        path.model(rows())
        path(rows())

    assert len(seen) == 2


def test_an_error_of_the_model_is_its_own() -> None:
    path = attached()

    with engine.no_grad(), pytest.raises(engine.EngineError):
        path.model(engine.zeros(2, 5))
    with engine.no_grad():
        path.model(rows())

    assert path.compiled is not None


def test_the_model_looks_as_before() -> None:
    model = attached().model

    assert list(model.state_dict()) == ["fc.weight", "fc.bias"]
    assert str(inspect.signature(model.forward)) == str(inspect.signature(Net().forward))
    assert [name for name, _ in model.named_modules()] == ["", "fc"]
    assert repr(model) == repr(Net())


def test_a_copy_is_another_model() -> None:
    path = attached()
    other = copy.deepcopy(path.model)
    with engine.no_grad():
        other.fc.weight.zero_()
        other.fc.bias.zero_()
        assert not other(rows()).array.any()
        assert path.model(rows()).array.any()

    assert FastForward.of(other) is None


def test_others_may_capture_it() -> None:
    path = attached()

    compiled = compile_module(path.model, rows())

    assert compiled.graph is not None
    assert path.compiled is None


def test_it_can_be_taken_away() -> None:
    model = attached().model

    del model.forward

    assert FastForward.of(model) is None
    assert model(rows()).shape == (2, 2)


def test_a_second_one_takes_the_place_of_the_first() -> None:
    first = attached()
    second = attach(FastPath(first.model, EngineOptions(executor="numpy")))

    with engine.no_grad():
        first.model(rows())

    assert first.compiled is None
    assert planned(second)


def test_threads_do_not_disturb_each_other() -> None:
    path = attached()
    wrong: list[int] = []

    def ask(count: int) -> None:
        with engine.no_grad():
            expected = rows(count).array @ path.model.fc.weight.array.T + path.model.fc.bias.array
            for _ in range(50):
                if not np.allclose(path.model(rows(count)).array, expected, atol=1e-5):
                    wrong.append(count)

    threads = [threading.Thread(target=ask, args=(count,)) for count in (1, 2, 3, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert not wrong
    assert planned(path)


def test_what_is_no_module_stays_alone() -> None:
    path = attach(FastPath(len, EngineOptions()))

    assert path([1, 2]) == 2
