"""What every server serves here; imported in each peer's own environment: it needs NumPy, and torch for resnet18.

A model is a function of what the server hands it: text, a list of numbers, or bytes. `PEER_MODEL` names it,
and `PEER_PID` a file where the worker writes its process id, so that the benchmark can kill it.
"""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Model = Callable[[Any], Any]
SLOW_SECONDS = 0.05


def echo() -> Model:
    """What comes goes back."""
    return lambda given: given


def slow() -> Model:
    """The same, after a while that takes no processor."""

    def model(given: Any) -> Any:
        time.sleep(SLOW_SECONDS)
        return given

    return model


def mlp() -> Model:
    """784-128-10 with ReLU on numbers or the bytes of float32; ten numbers."""
    random = np.random.default_rng(0)
    first = random.standard_normal((784, 128)).astype(np.float32)
    last = random.standard_normal((128, 10)).astype(np.float32)

    def model(given: Any) -> list[float]:
        x = np.asarray(given, np.float32) if isinstance(given, list) else np.frombuffer(given, np.float32)
        answer: list[float] = (np.maximum(x @ first, 0) @ last).tolist()
        return answer

    return model


def resnet18() -> Model:
    """The five likeliest classes of a JPEG, as TorchServe's image_classifier: weights from `PEER_WEIGHTS`."""
    import torch
    from PIL import Image
    from torchvision import models, transforms

    network = models.resnet18()
    network.load_state_dict(torch.load(os.environ["PEER_WEIGHTS"], weights_only=True))
    network.eval()
    prepare = transforms.Compose(
        [
            transforms.Resize(256),
            transforms.CenterCrop(224),
            transforms.ToTensor(),
            transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        ]
    )

    def model(given: Any) -> dict[str, float]:
        picture = prepare(Image.open(io.BytesIO(given)).convert("RGB"))
        with torch.inference_mode():
            shares, classes = network(picture[None]).softmax(1).topk(5)
        return dict(zip(map(str, classes[0].tolist()), shares[0].tolist(), strict=True))

    return model


def load() -> Model:
    """The model that is asked for, in the worker."""
    made: dict[str, Callable[[], Model]] = {"echo": echo, "mlp": mlp, "resnet18": resnet18, "slow": slow}
    model = made[os.environ["PEER_MODEL"]]()
    Path(os.environ["PEER_PID"]).write_text(str(os.getpid()))
    return model
