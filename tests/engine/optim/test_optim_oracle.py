"""Optimisers and torch's own: training goes on from what torch saved, and torch's from what we saved."""

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from numserve.engine import Tensor, nn, optim
from numserve.engine.formats import load, save

from .runs import OPTIMIZERS, gradient, start

pytestmark = pytest.mark.oracle


@pytest.fixture
def torch() -> ModuleType:
    return pytest.importorskip("torch")  # type: ignore[no-any-return]


def step(parameters, optimizer, number, tensor) -> None:
    for position, parameter in enumerate(parameters):
        parameter.grad = tensor(gradient(number, position, parameter.detach().numpy()))
    optimizer.step()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_training_goes_on_from_either_side(name: str, torch: ModuleType, tmp_path: Path) -> None:
    kind, options = OPTIMIZERS[name]
    theirs = [torch.nn.Parameter(torch.from_numpy(value)) for value in start()]
    ours = [nn.Parameter(value.copy()) for value in start()]
    reference, optimizer = getattr(torch.optim, kind)(theirs, **options), getattr(optim, kind)(ours, **options)
    for number in range(10):
        step(theirs, reference, number, torch.from_numpy)
        step(ours, optimizer, number, Tensor)
    torch.save(reference.state_dict(), tmp_path / "theirs.pt")
    save(optimizer.state_dict(), tmp_path / "ours.pt")
    optimizer.load_state_dict(load(tmp_path / "theirs.pt"))
    reference.load_state_dict(torch.load(tmp_path / "ours.pt"))
    for number in range(10, 30):
        step(theirs, reference, number, torch.from_numpy)
        step(ours, optimizer, number, Tensor)
    for one, other in zip(ours, theirs, strict=True):
        assert np.abs(one.detach().numpy() - other.detach().numpy()).max() <= 1e-5
