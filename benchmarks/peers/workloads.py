"""What the peers are asked for: models, what they are given, and whether the answer is right."""

from __future__ import annotations

import functools
import io
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numserve import engine
from numserve.engine import models
from PIL import Image
from served import archive

from .peer import Given
from .shared.models import mlp

SHARED = Path(__file__).resolve().parent / "shared"
RESNET = "from torchvision.models.resnet import BasicBlock, ResNet\n\n\nclass Model(ResNet):\n" + (
    "    def __init__(self):\n        super().__init__(BasicBlock, [2, 2, 2, 2])\n"
)
NATIVE = "engine:\n  executor: native\n"
TEXT = "numserve" * 128
IMAGE = np.random.default_rng(1).random(784).round(4).astype(np.float32)


@dataclass(frozen=True)
class Workload:
    """A model and what it is given, alike for all peers."""

    model: str
    given: Given
    levels: tuple[int, ...]
    """Numbers of clients."""
    right: Callable[[bytes], bool]


def jpeg() -> bytes:
    """A picture of 224 by 224."""
    picture = io.BytesIO()
    Image.effect_mandelbrot((224, 224), (-2, -1.5, 1, 1.5), 60).convert("RGB").save(picture, "JPEG")
    return picture.getvalue()


def make_store(folder: Path, chosen: set[str]) -> None:
    """The archives of the models, each for numserve and TorchServe alike, and the weights of resnet18 beside them."""
    for name in chosen - {"resnet18"}:
        archive(folder, name, "--handler", SHARED / "handler.py", "--extra-files", SHARED / "models.py")
    if "resnet18" in chosen:
        engine.manual_seed(0)
        engine.save(models.resnet18().state_dict(), folder / "resnet18.pth")
        (folder / "model.py").write_text(RESNET)
        (folder / "native.yaml").write_text(NATIVE)
        archive(
            folder, "resnet18", "--handler", "image_classifier", "--model-file", folder / "model.py",
            "--serialized-file", folder / "resnet18.pth", "--config-file", folder / "native.yaml",
        )  # fmt: skip


def _echoes(answer: bytes) -> bool:
    return TEXT.encode() in answer


@functools.cache
def _expected() -> np.ndarray[Any, Any]:
    return np.asarray(mlp()(IMAGE.tobytes()))


def _computes(answer: bytes) -> bool:
    """Whether ten numbers somewhere in it are what the perceptron gives."""
    return any(np.allclose(each, _expected(), 1e-3, 1e-3) for each in _lists(json.loads(answer)))


def _lists(tree: Any) -> Iterator[list[float]]:
    if isinstance(tree, dict):
        tree = list(tree.values())
    if isinstance(tree, list):
        if len(tree) == 10 and all(isinstance(each, float) for each in tree):
            yield tree
        for each in tree:
            yield from _lists(each)


def _classifies(answer: bytes) -> bool:
    """Whether it names five classes, and the likeliest of these weights and this picture first."""
    classes = re.findall(rb"(\d+)\\?[\"']\s*:", answer)
    return len(classes) == 5 and classes[0] == b"795"


ALL = (1, 8, 64, 256)
WORKLOADS = {
    "echo": Workload("echo", TEXT, ALL, _echoes),
    "mlp, JSON": Workload("mlp", IMAGE.tolist(), ALL, _computes),
    "mlp, binary": Workload("mlp", IMAGE.tobytes(), ALL, _computes),
    "resnet18": Workload("resnet18", jpeg(), (1, 8, 64), _classifies),
}
SLOW = Workload("slow", TEXT, (), _echoes)
