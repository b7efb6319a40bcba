"""Record torchvision's parameter names and outputs: python tests/data/models/make.py   writes   expected.json

Every model's names and shapes as a fingerprint, and the outputs of one of each kind with made-up weights
(tests/engine/models/made.py).
"""

import json
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE.parents[1] / "engine" / "models")]

import made  # noqa: E402
import torch  # noqa: E402
from numserve.engine import models  # noqa: E402
from torchvision_oracle import torchvision  # noqa: E402

MODELS = torchvision().models


def fill(model: torch.nn.Module, spread: float = 1.0) -> torch.nn.Module:
    state = {n: torch.from_numpy(made.weight(n, value.shape, spread)) for n, value in model.state_dict().items()}
    model.load_state_dict(state)
    return model.eval()


def outputs(function: str, options: dict[str, Any], size: int) -> list[list[float]]:
    with torch.no_grad():
        return (
            fill(getattr(MODELS, function)(**options), made.SPREADS.get(function, 1.0))
            .double()(torch.from_numpy(made.picture(size)).double())
            .tolist()
        )


def features(function: str) -> list[list[float]]:
    model = fill(getattr(MODELS, function)(init_weights=False).features)
    with torch.no_grad():
        return model.double()(torch.from_numpy(made.picture(32)).double()).flatten(1)[:, ::8].tolist()


def pixels(function: str, options: dict[str, Any], size: int) -> dict[str, Any]:
    model = fill(getattr(MODELS.segmentation, function)(weights=None, weights_backbone=None, **options)).double()
    with torch.no_grad():
        scores = model(torch.from_numpy(made.picture(size)).double())
    return {name: each[made.SPARSE].tolist() for name, each in scores.items()}


def detector() -> dict[str, Any]:
    """What a detector says of every box, and what it finds at last; in float32, as its defaults are."""
    build = MODELS.detection.ssdlite320_mobilenet_v3_large
    model = fill(build(weights=None, weights_backbone=None, num_classes=4), made.CALM)
    pictures = [torch.from_numpy(each) for each in made.pictures()]
    with torch.no_grad():
        batch = model.transform(pictures)[0]
        features = list(model.backbone(batch.tensors).values())
        said, anchors = model.head(features), model.anchor_generator(batch, features)
        pairs = zip(said["bbox_regression"], anchors, strict=True)
        boxes = torch.stack([model.box_coder.decode_single(codes, each) for codes, each in pairs]).clamp(0, 320)
        found = model(pictures)
    return {
        "scores": said["cls_logits"].softmax(-1)[:, made.BOXES_KEPT].tolist(),
        "boxes": boxes[:, made.BOXES_KEPT].tolist(),
        "found": [{name: each[: made.FOUND_KEPT].tolist() for name, each in one.items()} for one in found],
        "count": [len(one["boxes"]) for one in found],
    }


def built() -> dict[str, torch.nn.Module]:
    quick = {"inception_v3": {"init_weights": False}}
    alone = {"weights": None, "weights_backbone": None}
    with torch.device("meta"):
        return (
            {name: getattr(MODELS, name)(**quick.get(name, {})) for name in made.functions(models)}
            | {n: getattr(MODELS.segmentation, n)(**alone) for n in made.functions(models.segmentation)}
            | {n: getattr(MODELS.detection, n)(**alone) for n in made.functions(models.detection)}
        )


def main() -> None:
    keys = {
        name: made.fingerprint((k, v.shape) for k, v in model.state_dict().items()) for name, model in built().items()
    }
    record = {
        "torchvision": sys.modules["torchvision"].__version__,
        "keys": keys,
        "outputs": {name: outputs(*run) for name, run in made.RUNS.items()},
        "features": {name: features(name) for name in made.VGG_FEATURES},
        "pixels": {name: pixels(*run) for name, run in made.PIXELS.items()},
        "detector": detector(),
    }
    rounded = json.loads(json.dumps(record), parse_float=lambda text: float(f"{float(text):.8g}"))
    (HERE / "expected.json").write_text(json.dumps(rounded, indent=1) + "\n")


if __name__ == "__main__":
    main()
