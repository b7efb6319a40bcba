"""Optimisers: their steps are torch's (recorded by tests/data/optim/make.py), their groups and states too."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numserve import engine
from numserve.engine import EngineError, Tensor, nn, optim
from numserve.engine.formats import load, save

from .runs import OPTIMIZERS, gradient, start

EXPECTED = json.loads((Path(__file__).parents[2] / "data" / "optim" / "expected.json").read_text())["steps"]


def made(name: str, parameters: Any) -> optim.Optimizer:
    kind, options = OPTIMIZERS[name]
    optimizer: optim.Optimizer = getattr(optim, kind)(parameters, **options)
    return optimizer


def parameters() -> list[Tensor]:
    return [nn.Parameter(value) for value in start()]


def step(optimizer: optim.Optimizer, those: list[Tensor], number: int) -> list[float]:
    for position, parameter in enumerate(those):
        parameter.grad = Tensor(gradient(number, position, parameter.detach().numpy()))
    optimizer.step()
    return [float(x) for p in those for x in p.array.ravel()]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_twenty_steps_are_torchs(name: str) -> None:
    those = parameters()
    optimizer = made(name, those)
    seen = [step(optimizer, those, number) for number in range(20)]
    assert np.abs(np.array(seen) - EXPECTED[name]).max() <= 2e-6


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_saved_state_goes_on_as_if_never_stopped(name: str, tmp_path: Path) -> None:
    those = parameters()
    first = made(name, those)
    for number in range(10):
        step(first, those, number)
    save(first.state_dict(), tmp_path / "optimizer.pth")
    second = made(name, those)
    second.load_state_dict(load(tmp_path / "optimizer.pth"))
    seen = [step(second, those, number) for number in range(10, 20)]
    assert np.abs(np.array(seen) - EXPECTED[name][10:]).max() <= 2e-6


def test_a_group_has_its_own_options() -> None:
    a, b = parameters()
    optimizer = optim.SGD([{"params": [a]}, {"params": b, "lr": 0.0}], lr=1.0)
    before = b.array.copy()
    step(optimizer, [a, b], 0)
    assert (b.array == before).all() and not (a.array == start()[0]).all()
    assert [group["lr"] for group in optimizer.param_groups] == [1.0, 0.0]


def test_parameters_without_a_gradient_stay() -> None:
    a, b = parameters()
    optimizer = optim.Adam([a, b])
    a.grad = Tensor(np.ones_like(a.array))
    optimizer.step()
    assert (b.array == start()[1]).all()
    assert list(optimizer.state) == [a]


def test_zero_grad_forgets_or_makes_zeros() -> None:
    (a, b) = parameters()
    optimizer = optim.SGD([a, b])
    a.grad = Tensor(np.ones_like(a.array))
    optimizer.zero_grad(set_to_none=False)
    assert a.grad is not None and not a.grad.array.any() and b.grad is None
    optimizer.zero_grad()
    assert a.grad is None


def test_a_closure_gives_the_loss_and_the_gradients() -> None:
    weight = nn.Parameter(np.array([2.0], np.float32))
    optimizer = optim.SGD([weight], lr=0.25)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = (weight * weight).sum()
        loss.backward()
        return loss

    with engine.no_grad():
        assert optimizer.step(closure).item() == 4
    assert weight.tolist() == [1.0]


def test_a_step_on_weights_borrowed_from_a_file_leaves_the_file_alone(tmp_path: Path) -> None:
    model = nn.Linear(64, 64)
    save(model.state_dict(), tmp_path / "weights.pth")
    content = (tmp_path / "weights.pth").read_bytes()
    model.load_state_dict(load(tmp_path / "weights.pth"))
    model(engine.ones(1, 64)).sum().backward()
    optim.SGD(model.parameters(), lr=1.0).step()
    assert (tmp_path / "weights.pth").read_bytes() == content
    assert not (model.weight.array == load(tmp_path / "weights.pth")["weight"].array).any()


def test_a_step_spoils_a_history_that_needs_the_old_values() -> None:
    weight = nn.Parameter(np.array([2.0], np.float32))
    loss = (weight * weight).sum()
    loss.backward(retain_graph=True)
    optim.SGD([weight], lr=0.1).step()
    with pytest.raises(EngineError, match="changed in place"):
        loss.backward()


def test_what_cannot_be_optimised_is_refused() -> None:
    a, b = parameters()
    with pytest.raises(ValueError, match="empty"):
        optim.SGD([])
    with pytest.raises(TypeError, match="single tensor"):
        optim.SGD(a)
    with pytest.raises(TypeError, match="met ndarray"):
        optim.SGD([np.zeros(2)])
    with pytest.raises(ValueError, match="leaves"):
        optim.SGD([a * 2])
    with pytest.raises(ValueError, match="two groups"):
        optim.SGD([{"params": [a, b]}, {"params": [b]}])


@pytest.mark.parametrize(
    ("options", "message"),
    [({"lr": -1.0}, "lr must not be negative"), ({"betas": (0.9, 1.0)}, "betas"), ({"eps": -1.0}, "eps")],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        optim.Adam(parameters(), **options)
    with pytest.raises(ValueError, match="nesterov"):
        optim.SGD(parameters(), nesterov=True)


def test_a_state_of_another_number_of_parameters_is_refused() -> None:
    a, b = parameters()
    with pytest.raises(EngineError, match=r"groups of \[2\] parameters; this optimiser has \[1\]"):
        optim.SGD([a]).load_state_dict(optim.SGD([a, b]).state_dict())


def test_an_optimiser_prints_its_options() -> None:
    assert repr(optim.SGD(parameters(), lr=0.5)).startswith("SGD({'lr': 0.5, 'momentum': 0")
