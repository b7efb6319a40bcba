"""Losses against torch: same values and gradients, however they are reduced."""

from types import ModuleType

import pytest
from numserve.engine import Tensor, nn

from .oracle import agree

pytestmark = pytest.mark.oracle


@pytest.fixture
def torch() -> ModuleType:
    module = pytest.importorskip("torch")
    module.manual_seed(3)
    return module  # type: ignore[no-any-return]


LOSSES = [
    ("CrossEntropyLoss", {"label_smoothing": 0.2}, "classes"), ("CrossEntropyLoss", {"ignore_index": 1}, "classes"),
    ("CrossEntropyLoss", {"weight": True, "label_smoothing": 0.1}, "classes"),
    ("CrossEntropyLoss", {"weight": True}, "chances"),
    ("CrossEntropyLoss", {"label_smoothing": 0.3}, "chances"), ("NLLLoss", {"weight": True}, "classes"),
    ("MSELoss", {}, "values"),
    ("L1Loss", {}, "values"), ("SmoothL1Loss", {"beta": 0.4}, "values"), ("HuberLoss", {"delta": 0.4}, "values"),
    ("BCEWithLogitsLoss", {"pos_weight": True}, "chances"), ("KLDivLoss", {}, "chances"),
    ("KLDivLoss", {"log_target": True}, "values"),
]  # fmt: skip


@pytest.mark.filterwarnings("ignore:reduction:UserWarning")
@pytest.mark.parametrize(("name", "options", "target"), LOSSES)
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("shape", [(6, 4), (2, 4, 3, 2)])
def test_losses(
    name: str, options: dict, target: str, reduction: str, shape: tuple[int, ...], torch: ModuleType
) -> None:
    values = {
        key: torch.rand(4).double() if value is True and key.endswith("weight") else value
        for key, value in options.items()
    }
    if "pos_weight" in values:
        values["pos_weight"] = values["pos_weight"].reshape(4, *[1] * (len(shape) - 2))
    wrapped = {k: Tensor(v.numpy()) if torch.is_tensor(v) else v for k, v in values.items()}
    theirs = getattr(torch.nn, name)(**values, reduction=reduction)
    ours = getattr(nn, name)(**wrapped, reduction=reduction)
    x = torch.randn(shape).double()
    targets = {
        "classes": torch.randint(0, 4, (shape[0], *shape[2:])),
        "chances": torch.randn(shape).double().softmax(1),
        "values": torch.randn(shape).double(),
    }
    agree(theirs, ours, [x, targets[target]])
