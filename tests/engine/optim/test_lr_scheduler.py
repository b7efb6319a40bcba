"""Schedules: the rates that torch sets, recorded by tests/data/optim/make.py."""

import json
from pathlib import Path

import numpy as np
import pytest
from numserve.engine import nn, optim
from numserve.engine.optim import lr_scheduler

from .runs import MEASURES, PLATEAUS, SCHEDULES

EXPECTED = json.loads((Path(__file__).parents[2] / "data" / "optim" / "expected.json").read_text())["rates"]


@pytest.fixture
def optimizer() -> optim.Optimizer:
    return optim.SGD([nn.Parameter(np.zeros(1, np.float32))], lr=0.1)


@pytest.mark.parametrize("name", SCHEDULES)
def test_the_rates_of_twenty_epochs_are_torchs(name: str, optimizer: optim.Optimizer) -> None:
    kind, options = SCHEDULES[name]
    schedule = getattr(lr_scheduler, kind)(optimizer, **options)
    seen = []
    for _ in range(20):
        schedule.step()
        seen += schedule.get_last_lr()
    assert seen == pytest.approx(EXPECTED[name])


@pytest.mark.parametrize("name", PLATEAUS)
def test_the_rates_on_a_plateau_are_torchs(name: str, optimizer: optim.Optimizer) -> None:
    schedule = lr_scheduler.ReduceLROnPlateau(optimizer, **PLATEAUS[name])
    seen = []
    for measure in MEASURES:
        schedule.step(measure)
        seen += schedule.get_last_lr()
    assert seen == pytest.approx(EXPECTED[name])


def test_a_saved_schedule_goes_on(optimizer: optim.Optimizer) -> None:
    schedule = lr_scheduler.StepLR(optimizer, step_size=2)
    for _ in range(3):
        schedule.step()
    other = lr_scheduler.StepLR(optim.SGD([nn.Parameter(np.zeros(1, np.float32))], lr=0.1), step_size=9)
    other.load_state_dict(schedule.state_dict())
    assert (other.last_epoch, other.step_size) == (3, 2)
    assert "optimizer" not in schedule.state_dict()


def test_each_group_has_its_own_rate() -> None:
    weights = [nn.Parameter(np.zeros(1, np.float32)) for _ in range(2)]
    optimizer = optim.SGD([{"params": [weights[0]]}, {"params": [weights[1]], "lr": 1.0}], lr=0.1)
    schedule = lr_scheduler.LambdaLR(optimizer, [lambda epoch: 1.0, lambda epoch: 0.5**epoch])
    schedule.step()
    assert schedule.get_last_lr() == [0.1, 0.5]
    with pytest.raises(ValueError, match="one function a group"):
        lr_scheduler.LambdaLR(optimizer, [lambda epoch: 1.0])
