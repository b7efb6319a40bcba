"""Segmentation and detection against torchvision itself, eager and by plans, on calibrated weights."""

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numserve import engine
from numserve.engine import Tensor, compile_module, models

from .made import functions

pytestmark = pytest.mark.oracle
SEGMENTERS = functions(models.segmentation)
DETECTORS = functions(models.detection)
EXECUTORS = (None, "numpy", "native")


@pytest.fixture(scope="module")
def torch() -> Any:
    return pytest.importorskip("torch")


@pytest.fixture(scope="module")
def oracle(torch: Any) -> Any:
    """The other oracle's module, for its calibration and for torchvision's models."""
    if importlib.util.find_spec("torchvision") is None:
        pytest.skip("torchvision is not installed")
    file = Path(__file__).parents[2] / "data" / "oracle_models.py"
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def loaded(ours: Any, theirs: Any) -> Any:
    state = {key: Tensor(value.numpy().copy()) for key, value in theirs.state_dict().items()}
    assert list(state) == list(ours.state_dict())
    ours.load_state_dict(state)
    return ours.eval()


def run_by(executor: str | None, module: Any, example: Tensor) -> Any:
    if executor is None:
        return module
    compiled = compile_module(module, example, executor=executor)
    assert compiled.describe()["mode"] == "plan", compiled.reason
    return compiled


def agree(outputs: Tensor, wanted: Any) -> None:
    expected = wanted.numpy()
    assert expected.std() > 0.01
    assert np.abs(outputs.numpy() - expected).max() / np.abs(expected).max() <= 1e-4


@pytest.mark.parametrize("aux", [False, True])
@pytest.mark.parametrize("name", SEGMENTERS)
def test_scores_of_pixels_are_torchvisions(name: str, aux: bool, torch: Any, oracle: Any) -> None:
    torch.manual_seed(0)
    build = getattr(oracle.torchvision_models().segmentation, name)
    theirs = oracle.calibrated(build(weights=None, weights_backbone=None, aux_loss=aux), 96)
    ours = loaded(getattr(models.segmentation, name)(aux_loss=aux), theirs)
    pictures = torch.randn(2, 3, 97, 80)
    theirs.double()
    with torch.no_grad():
        wanted = theirs(pictures.double())
    for executor in EXECUTORS if aux else (None,):
        with engine.no_grad():
            outputs = run_by(executor, ours, Tensor(pictures.numpy()))(Tensor(pictures.numpy()))
        assert list(outputs) == list(wanted) == ["out", "aux"][: 1 + aux]
        for head in wanted:
            agree(outputs[head], wanted[head])


def calibrated(torch: Any, detector: Any) -> Any:
    """Running statistics of the weights there are, and scores and boxes that differ from picture to picture."""
    for norm in (m for m in detector.modules() if isinstance(m, torch.nn.BatchNorm2d)):
        norm.momentum = None
    with torch.no_grad():
        detector.train()
        detector.head(list(detector.backbone(torch.randn(4, 3, 320, 320)).values()))
        detector.eval()
        batch = detector.transform([torch.rand(3, 200, 200)])[0].tensors
        said = detector.head(list(detector.backbone(batch).values()))
        heads = detector.head.classification_head, detector.head.regression_head
        for head, name, spread in zip(heads, ("cls_logits", "bbox_regression"), (1.0, 0.5), strict=True):
            for part in head.module_list:
                last = [m for m in part.modules() if isinstance(m, torch.nn.Conv2d)][-1]
                last.weight.mul_(spread / said[name].std())
    return detector


@pytest.fixture(scope="module", params=DETECTORS)
def detectors(request: pytest.FixtureRequest, torch: Any, oracle: Any) -> Any:
    torch.manual_seed(0)
    options = {"num_classes": 7, "score_thresh": 0.45}
    build = getattr(oracle.torchvision_models().detection, request.param)
    theirs = calibrated(torch, build(weights=None, weights_backbone=None, **options))
    return theirs, loaded(getattr(models.detection, request.param)(**options), theirs)


def pictures(torch: Any) -> list[Any]:
    generator = torch.Generator().manual_seed(1)
    return [torch.rand(3, *size, generator=generator) for size in ((210, 330), (300, 200))]


def test_what_is_said_of_every_box_is_torchvisions(detectors: Any, torch: Any) -> None:
    theirs, ours = detectors
    theirs.double()
    with torch.no_grad():
        batch = theirs.transform([each.double() for each in pictures(torch)])[0]
        features = list(theirs.backbone(batch.tensors).values())
        said, anchors = theirs.head(features), theirs.anchor_generator(batch, features)
        pairs = zip(said["bbox_regression"], anchors, strict=True)
        boxes = torch.stack([theirs.box_coder.decode_single(*pair) for pair in pairs]).clamp(0, batch.tensors.shape[2])
        scores = said["cls_logits"].softmax(-1)
    theirs.float()
    prepared = ours.transform([Tensor(each.numpy()) for each in pictures(torch)])
    for executor in EXECUTORS:
        with engine.no_grad():
            our_scores, our_boxes = run_by(executor, ours.planned_part, ours.planned_example)(prepared)
        agree(our_scores, scores)
        agree(our_boxes, boxes)


def test_what_is_found_is_torchvisions(detectors: Any, torch: Any) -> None:
    """Each found box has its like, but for a pair of nearly equal scores: either may drop the other."""
    theirs, ours = detectors
    with torch.no_grad(), engine.no_grad():
        wanted = theirs(pictures(torch))
        found = ours([Tensor(each.numpy()) for each in pictures(torch)])
    for one, other in zip(found, wanted, strict=True):
        assert 10 < len(other["boxes"]) == len(one["boxes"])
        assert np.allclose(one["scores"].numpy(), other["scores"].numpy(), atol=1e-4)
        rows = [
            np.column_stack([each["labels"].numpy() * 1000, each["boxes"].numpy()]) for each in (one, other)
        ]  # fmt: skip
        distance = np.abs(rows[0][:, None] - rows[1][None]).max(-1)
        assert (distance.min(0) > 0.05).sum() <= 1 and (distance.min(1) > 0.05).sum() <= 1


def test_overlapping_boxes_are_dropped_as_by_hand(torch: Any, oracle: Any) -> None:
    generator = np.random.default_rng(0)
    corners = generator.uniform(0, 50, (300, 2))
    boxes = np.concatenate([corners, corners + generator.uniform(1, 30, (300, 2))], 1).astype(np.float32)
    scores, classes = generator.permutation(300).astype(np.float32), generator.integers(0, 4, 300)
    ops = oracle.torchvision_models().detection.ssd.box_ops
    ours = engine.nn.functional.boxes
    given = (boxes, scores, classes)
    for threshold in (0.2, 0.5, 0.8):
        theirs = ops.batched_nms(*map(torch.from_numpy, given), threshold)
        assert ours.batched_nms(*map(Tensor, given), threshold).tolist() == theirs.tolist()
        assert (
            ours.nms(Tensor(boxes), Tensor(scores), threshold).tolist()
            == ops.nms(torch.from_numpy(boxes), torch.from_numpy(scores), threshold).tolist()
        )


@pytest.mark.filterwarnings("ignore")  # torchvision's import
@pytest.mark.parametrize("ratio", [-1, 0, 2, 3])
@pytest.mark.parametrize("aligned", [False, True])
def test_regions_are_torchvisions(ratio: int, aligned: bool, torch: Any, oracle: Any) -> None:
    oracle.torchvision_models()
    generator = np.random.default_rng(0)
    images, corners = generator.standard_normal((2, 5, 20, 30)), generator.uniform(1, 20, (50, 2))
    number, sides = generator.integers(0, 2, (50, 1)), generator.uniform(0, 18, (50, 2))
    rois = np.concatenate([number, corners, corners + sides], 1)
    theirs = torch.ops.torchvision.roi_align(torch.tensor(images), torch.tensor(rois), 0.5, 7, 6, ratio, aligned)
    ours = engine.nn.functional.boxes.roi_align(Tensor(images), Tensor(rois), (7, 6), 0.5, ratio, aligned)
    np.testing.assert_allclose(ours.array, theirs.numpy(), atol=1e-9)


@pytest.mark.parametrize("forms", [(a, b) for a in ("xyxy", "xywh", "cxcywh") for b in ("xyxy", "xywh", "cxcywh")])
def test_boxes_in_other_forms_are_torchvisions(forms: tuple[str, str], torch: Any, oracle: Any) -> None:
    boxes = np.array([[1, 2, 5, 9], [0, 0, 3, 3], [2.5, 1, 2.5, 8]], np.float32)
    ops, ours = oracle.torchvision_models().detection.ssd.box_ops, engine.nn.functional.boxes
    theirs = torch.from_numpy(boxes)
    assert np.allclose(ours.box_convert(Tensor(boxes), *forms).numpy(), ops.box_convert(theirs, *forms).numpy())
    assert np.allclose(ours.box_iou(Tensor(boxes[:2]), Tensor(boxes)).numpy(), ops.box_iou(theirs[:2], theirs).numpy())
    clipped = ours.clip_boxes_to_image(Tensor(boxes), (6, 4)).numpy()
    assert np.allclose(clipped, ops.clip_boxes_to_image(theirs, (6, 4)).numpy())
    assert ours.remove_small_boxes(Tensor(boxes), 1).tolist() == ops.remove_small_boxes(theirs, 1).tolist()
