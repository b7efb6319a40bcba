"""The classics against what torchvision's gave: names, shapes and outputs, recorded by tests/data/models/make.py."""

import json
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numserve import engine
from numserve.engine import (
    DtypeError,
    EngineError,
    ShapeError,
    Tensor,
    UnsupportedOpError,
    compile_module,
    models,
    nn,
    optim,
)
from numserve.engine.models.densenet import DenseNet
from numserve.engine.models.resnet import BasicBlock, Bottleneck, ResNet
from numserve.engine.models.vgg import VGG, cfgs, make_layers
from numserve.engine.nn import Module

from .made import (
    BOXES_KEPT,
    CALM,
    FOUND_KEPT,
    PIXELS,
    RUNS,
    SPARSE,
    SPREADS,
    VGG_FEATURES,
    fingerprint,
    functions,
    picture,
    pictures,
    weight,
)

EXPECTED = json.loads((Path(__file__).parents[2] / "data" / "models" / "expected.json").read_text())
FAMILIES = (models, models.segmentation, models.detection)
FUNCTIONS = {name: getattr(family, name) for family in FAMILIES for name in functions(family)}


def fill(model: Module, spread: float = 1.0) -> Module:
    model.load_state_dict({n: Tensor(weight(n, value.shape, spread)) for n, value in model.state_dict().items()})
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
    state = FUNCTIONS[name]().state_dict(keep_vars=True)
    assert fingerprint((key, value.shape) for key, value in state.items()) == EXPECTED["keys"][name]


@pytest.mark.parametrize("name", RUNS)
@engine.no_grad()
def test_outputs_are_torchvisions(name: str) -> None:
    function, options, size = RUNS[name]
    model = fill(getattr(models, function)(**options), SPREADS.get(function, 1.0))
    agree(model(Tensor(picture(size))).numpy(), EXPECTED["outputs"][name])


@pytest.mark.parametrize("name", VGG_FEATURES)
@engine.no_grad()
def test_the_features_of_vgg_are_torchvisions(name: str) -> None:
    model = fill(getattr(models, name)(init_weights=False).features)
    agree(model(Tensor(picture(32))).numpy().reshape(2, -1)[:, ::8], EXPECTED["features"][name])


@pytest.mark.parametrize(
    ("name", "executor"),
    [*((name, None) for name in PIXELS), *((next(reversed(PIXELS)), by) for by in ("numpy", "auto"))],
)
def test_scores_of_pixels_are_torchvisions(name: str, executor: str | None) -> None:
    function, options, size = PIXELS[name]
    model, pixels = fill(FUNCTIONS[function](**options)), Tensor(picture(size))
    run = model if executor is None else compile_module(model, pixels, executor=executor)
    with engine.no_grad():
        outputs = run(pixels)
    assert executor is None or run.describe()["mode"] == "plan"
    assert outputs.keys() == EXPECTED["pixels"][name].keys()
    for head, expected in EXPECTED["pixels"][name].items():
        assert outputs[head].shape == (2, 3, size, size)
        agree(outputs[head].numpy()[SPARSE], expected)


@pytest.fixture(scope="module")
def detector() -> Any:
    return fill(models.detection.ssdlite320_mobilenet_v3_large(num_classes=4), CALM)


@pytest.mark.parametrize("executor", [None, "numpy", "auto"])
def test_what_a_detector_says_of_every_box_is_torchvisions(detector: Any, executor: str | None) -> None:
    part = detector.planned_part
    run = part if executor is None else compile_module(part, detector.planned_example, executor=executor)
    with engine.no_grad():
        scores, boxes = run(detector.transform(map(Tensor, pictures())))
    assert executor is None or run.describe()["mode"] == "plan"
    agree(scores.numpy()[:, BOXES_KEPT], EXPECTED["detector"]["scores"])
    agree(boxes.numpy()[:, BOXES_KEPT], EXPECTED["detector"]["boxes"])


@engine.no_grad()
def test_what_a_detector_finds_is_torchvisions(detector: Any) -> None:
    found = detector([Tensor(each) for each in pictures()])
    assert [len(each["boxes"]) for each in found] == EXPECTED["detector"]["count"]
    for each, expected in zip(found, EXPECTED["detector"]["found"], strict=True):
        assert each["labels"][:FOUND_KEPT].tolist() == expected["labels"]
        assert np.allclose(each["scores"][:FOUND_KEPT].numpy(), expected["scores"], atol=1e-4)
        assert np.allclose(each["boxes"][:FOUND_KEPT].numpy(), expected["boxes"], atol=1e-2)


@engine.no_grad()
def test_a_picture_without_anything_above_the_threshold_gives_no_boxes(detector: Any) -> None:
    none = models.detection.SSD(
        detector.backbone, detector.anchor_generator, (320, 320), 4, head=detector.head, score_thresh=1.0
    ).eval()
    (found,) = none(Tensor(pictures()[0])[None])
    assert found["boxes"].shape == (0, 4) and found["labels"].shape == found["scores"].shape == (0,)


def test_a_detector_says_what_it_cannot_take(detector: Any) -> None:
    with pytest.raises(ShapeError, match=r"a picture of shape \(3, 8\); expected \(channels, height, width\)"):
        detector([engine.zeros(3, 8)])
    with pytest.raises(DtypeError, match=r"a picture of .*uint8; expected floating-point values from 0 to 1"):
        detector([engine.zeros(3, 8, 8, dtype=engine.uint8)])
    with pytest.raises(UnsupportedOpError, match="the losses of training are not there"):
        models.detection.SSD(detector.backbone, detector.anchor_generator, (320, 320), 4, head=detector.head)([])


def test_the_planned_part_follows_the_layers_and_is_no_state(detector: Any) -> None:
    model = models.detection.ssdlite320_mobilenet_v3_large(num_classes=4)
    first = model.eval().planned_part
    assert model.planned_part is first and not any("planned" in key or "_core" in key for key in model.state_dict())
    model.head = detector.head
    assert model.planned_part is not first and model.planned_part.head is detector.head


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
        FUNCTIONS[name](**arguments)


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
