from collections.abc import Callable

import pytest
from numserve import engine
from numserve.engine import nn
from numserve.engine.nn.changes import CHANGES


@pytest.mark.parametrize(
    "change",
    [
        lambda net: setattr(net, "scale", 2.0),
        lambda net: setattr(net, "weight", nn.Parameter(engine.ones(2, 2))),
        lambda net: delattr(net, "bias"),
        lambda net: net.register_parameter("other", None),
        lambda net: net.register_buffer("other", engine.ones(2)),
        lambda net: net.register_module("other", nn.Linear(2, 2)),
        lambda net: net.register_forward_hook(print).remove(),
        lambda net: net.register_forward_pre_hook(print),
        lambda net: net.eval(),
    ],
)
def test_every_change_counts(change: Callable[[nn.Module], object]) -> None:
    net = nn.Linear(2, 2)
    before = CHANGES.count

    change(net)

    assert CHANGES.count > before


def test_running_a_module_is_no_change() -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.BatchNorm1d(2)).eval()
    before = CHANGES.count

    net(engine.ones(3, 2))

    assert CHANGES.count == before
