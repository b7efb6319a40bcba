"""The classics against what torchvision's gave: names, shapes and outputs, recorded by tests/data/models/make.py."""

import json
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numserve import engine
from numserve.engine import EngineError, Tensor, models, nn, optim
from numserve.engine.models.densenet import DenseNet
from numserve.engine.models.resnet import BasicBlock, Bottleneck, ResNet
from numserve.engine.models.vgg import VGG, cfgs, make_layers
from numserve.engine.nn import Module

from .made import RUNS, VGG_FEATURES, fingerprint, picture, weight

EXPECTED = json.loads((Path(__file__).parents[2] / "data" / "models" / "expected.json").read_text())
FUNCTIONS = [name for name in models.__all__ if name.islower()]


def fill(model: Module) -> Module:
    model.load_state_dict({name: Tensor(weight(name, value.shape)) for name, value in model.state_dict().items()})
    return model.eval()


def agree(outputs: Any, expected: Any) -> None:
    wanted = np.array(expected)
    assert outputs.shape == wanted.shape
    assert wanted.std() > 0.01, "outputs that hardly differ would hide errors"
    assert np.abs(outputs - wanted).max() / wanted.std() <= 1e-4


def test_every_model_function_is_recorded() -> None:
    assert sorted(FUNCTIONS) == sorted(EXPECTED["keys"])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_names_and_shapes_of_all_parameters_are_torchvisions(name: str) -> None:
    state = getattr(models, name)().state_dict(keep_vars=True)
    assert fingerprint((key, value.shape) for key, value in state.items()) == EXPECTED["keys"][name]


@pytest.mark.parametrize("name", RUNS)
@engine.no_grad()
def test_outputs_are_torchvisions(name: str) -> None:
    function, options, size = RUNS[name]
    model = fill(getattr(models, function)(**options))
    agree(model(Tensor(picture(size))).numpy(), EXPECTED["outputs"][name])


@pytest.mark.parametrize("name", VGG_FEATURES)
@engine.no_grad()
def test_the_features_of_vgg_are_torchvisions(name: str) -> None:
    model = fill(getattr(models, name)(init_weights=False).features)
    agree(model(Tensor(picture(32))).numpy().reshape(2, -1)[:, ::8], EXPECTED["features"][name])


def test_torchservers_model_files_build_their_models_by_position() -> None:
    built = [
        (ResNet(BasicBlock, [2, 2, 2, 2]), "resnet18"),
        (ResNet(Bottleneck, [3, 8, 36, 3]), "resnet152"),
        (DenseNet(48, (6, 12, 36, 24), 96), "densenet161"),
        (models.SqueezeNet("1_1"), "squeezenet1_1"),
        (VGG(make_layers(cfgs["D"], False), init_weights=False), "vgg16"),
        (models.AlexNet(), "alexnet"),
    ]
    for model, name in built:
        state = model.state_dict(keep_vars=True)
        assert fingerprint((key, value.shape) for key, value in state.items()) == EXPECTED["keys"][name]


def old_spelling(key: str) -> str:
    """As torchvision 0.1 named them: norm.1 for norm1."""
    for part in ("norm", "conv"):
        for number in "12":
            key = key.replace(f".{part}{number}.", f".{part}.{number}.") if "denselayer" in key else key
    return key


def test_densenet_takes_the_old_names_without_counts_of_batches() -> None:
    model = DenseNet(8, (2, 2), 8, num_classes=4)
    state = {name: Tensor(weight(name, value.shape)) for name, value in model.state_dict().items()}
    old = OrderedDict((old_spelling(k), v) for k, v in state.items() if not k.endswith("num_batches_tracked"))
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    result = model.load_state_dict(old)
    assert result.missing_keys == [] and result.unexpected_keys == []
    assert (
        model.features.denseblock1.denselayer2.conv2.weight.array
        == old["features.denseblock1.denselayer2.conv.2.weight"].array
    ).all()
    assert "features.denseblock1.denselayer1.norm.1.weight" in old, "the caller's dict stays as it was"


def test_a_subclass_may_rename_keys_itself_as_torchservers_example_does() -> None:
    class Renaming(DenseNet):
        def load_state_dict(self, state_dict: Any, strict: bool = True) -> Any:
            for key in list(state_dict):
                state_dict[key.replace("backbone.", "")] = state_dict.pop(key)
            return super().load_state_dict(state_dict, strict)

    model = Renaming(8, (2, 2), 8, num_classes=4)
    state = OrderedDict((f"backbone.{name}", value) for name, value in model.state_dict().items())
    assert model.load_state_dict(state).missing_keys == []


@engine.no_grad()
def test_inception_gives_its_second_classifier_in_training_only() -> None:
    model = models.inception_v3(num_classes=3, init_weights=False)
    logits, second = model.train()(Tensor(picture(299)))
    assert logits.shape == second.shape == (2, 3)
    assert model.eval()(Tensor(picture(75))).shape == (2, 3)
    assert models.inception_v3(aux_logits=False, init_weights=False).AuxLogits is None


@pytest.mark.parametrize("arguments", [{"weights": "DEFAULT"}, {"pretrained": True}])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_asking_for_trained_weights_is_refused_with_what_to_do(name: str, arguments: dict[str, Any]) -> None:
    with pytest.raises(EngineError, match=rf"{name}: .* nothing is downloaded; .*load_state_dict"):
        getattr(models, name)(**arguments)


def test_no_weights_may_be_asked_for_in_every_spelling() -> None:
    for arguments in ({"weights": None}, {"pretrained": False}, {"weights": None, "progress": False}):
        assert isinstance(models.squeezenet1_1(**arguments), models.SqueezeNet)
    assert isinstance(models.squeezenet1_1(False, False), models.SqueezeNet)


def test_a_small_resnet_learns() -> None:
    engine.manual_seed(0)
    model = ResNet(BasicBlock, [1, 1, 1, 1], num_classes=2)
    optimizer = optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    pictures, labels = Tensor(np.concatenate([picture(32), picture(33)[..., :32, :32]])), engine.tensor([0, 1, 0, 1])
    losses = []
    for _ in range(4):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(pictures), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2
