"""The classics against torchvision itself, on calibrated weights, so that an error anywhere shows in the outputs."""

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numserve import engine
from numserve.engine import Tensor, models

pytestmark = pytest.mark.oracle
FUNCTIONS = [name for name in models.__all__ if name.islower()]


@pytest.fixture(scope="module")
def torch() -> ModuleType:
    return pytest.importorskip("torch")  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def theirs(torch: ModuleType) -> Any:
    if importlib.util.find_spec("torchvision") is None:
        pytest.skip("torchvision is not installed")
    file = Path(__file__).parents[2] / "data" / "torchvision_oracle.py"
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.torchvision().models


def calibrated(torch: ModuleType, model: Any, size: int) -> Any:
    """Running statistics of the weights there are, and no matrix or bias of zeros.

    Bottlenecks add a part of what they would: as drawn, 50 of them make the last bit of float32 the fourth digit.
    """
    torch.manual_seed(0)
    norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    with torch.no_grad():
        for parameter in model.parameters():
            if not parameter.any():
                parameter.uniform_(-0.2, 0.2)
        for norm in norms:
            norm.momentum = None
        for block in model.modules():
            if hasattr(block, "bn3"):
                block.bn3.weight.fill_(0.3)
        if norms:
            model.train()(torch.randn(6, 3, size, size))
    return model.eval()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_outputs_are_torchvisions_on_calibrated_weights(name: str, torch: ModuleType, theirs: Any) -> None:
    inception = name == "inception_v3"
    options = {"init_weights": False, "transform_input": True} if inception else {}
    reference = calibrated(torch, getattr(theirs, name)(**options), 299 if inception else 128)
    state = {key: Tensor(value.numpy().copy()) for key, value in reference.state_dict().items()}
    ours = getattr(models, name)(**options).eval()
    result = ours.load_state_dict(state)
    assert result.missing_keys == [] and result.unexpected_keys == []
    reference.double()
    for batch, size in ((1, 128), (3, 112)):
        pictures = torch.randn(batch, 3, size, size)
        with torch.no_grad(), engine.no_grad():
            wanted, outputs = reference(pictures.double()).numpy(), ours(Tensor(pictures.numpy())).numpy()
        assert wanted.std() > 0.01
        assert np.abs(outputs - wanted).max() / np.abs(wanted).max() <= 1e-4


def test_inception_in_training_is_torchvisions(torch: ModuleType, theirs: Any) -> None:
    options = {"init_weights": False, "dropout": 0.0, "num_classes": 10}
    reference, ours = theirs.inception_v3(**options).train(), models.inception_v3(**options).train()
    ours.load_state_dict({key: Tensor(value.numpy()) for key, value in reference.state_dict().items()})
    pictures = torch.randn(2, 3, 299, 299)
    with torch.no_grad(), engine.no_grad():
        wanted, outputs = reference(pictures), ours(Tensor(pictures.numpy()))
    assert type(outputs).__name__ == type(wanted).__name__ and outputs._fields == wanted._fields
    for one, other in zip(outputs, wanted, strict=True):
        assert np.abs(one.numpy() - other.numpy()).max() / np.abs(other.numpy()).max() <= 1e-3


def test_a_step_of_training_moves_the_weights_as_torchs(torch: ModuleType, theirs: Any) -> None:
    reference = theirs.resnet.ResNet(theirs.resnet.BasicBlock, [1, 1, 1, 1], num_classes=5).double()
    ours = models.ResNet(models.resnet.BasicBlock, [1, 1, 1, 1], num_classes=5).double()
    ours.load_state_dict({key: Tensor(value.numpy().copy()) for key, value in reference.state_dict().items()})
    pictures, labels = torch.randn(4, 3, 48, 48).double(), torch.tensor([0, 4, 2, 1])
    torch.nn.functional.cross_entropy(reference(pictures), labels).backward()
    engine.nn.functional.cross_entropy(ours(Tensor(pictures.numpy())), Tensor(labels.numpy())).backward()
    for (name, one), other in zip(ours.named_parameters(), reference.parameters(), strict=True):
        wanted = other.grad.numpy()
        assert np.abs(one.grad.numpy() - wanted).max() <= 1e-8 * max(1, np.abs(wanted).max()), name
