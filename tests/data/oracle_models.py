"""Models in two makes, torch's and numserve's, with the same weights: what the oracle tests and the benchmark compare.

The weights are calibrated, so that outputs depend on inputs and an error anywhere shows: as drawn at random, deep
networks answer with nearly the same numbers whatever they are given.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from numserve.engine import Tensor, models, nn

CLASSICS = [name for name in models.__all__ if name.islower()]
SEQUENCE = 64


class Pair(NamedTuple):
    """A model in both makes, ready for inference, and the shape of one input without its batch."""

    theirs: Any
    ours: nn.Module
    shape: tuple[int, ...]


class LastOutput(torch.nn.Module):
    """A recurrent network that answers with its outputs alone."""

    def __init__(self, recurrent: torch.nn.Module) -> None:
        super().__init__()
        self.recurrent = recurrent

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.recurrent(x)[0]


class OurLastOutput(nn.Module):
    """The same here."""

    def __init__(self, recurrent: nn.Module) -> None:
        super().__init__()
        self.recurrent = recurrent

    def forward(self, x: Tensor) -> Tensor:
        return self.recurrent(x)[0]  # type: ignore[no-any-return]


def mlp(make: Any, _: type) -> Any:
    """784-512-512-10 with ReLU."""
    return make.Sequential(
        make.Linear(784, 512), make.ReLU(), make.Linear(512, 512), make.ReLU(), make.Linear(512, 10)
    )  # fmt: skip


def encoder(make: Any, _: type) -> Any:
    """Four layers of width 256 with eight heads and GELU."""
    layer = make.TransformerEncoderLayer(256, 8, 1024, 0.0, "gelu", batch_first=True)
    return make.TransformerEncoder(layer, 4, enable_nested_tensor=False)


def lstm(make: Any, answer: type) -> Any:
    """Two layers, 128 to 256."""
    return answer(make.LSTM(128, 256, 2, batch_first=True))


OTHERS: dict[str, tuple[Callable[[Any, type], Any], tuple[int, ...]]] = {
    "mlp": (mlp, (784,)),
    "encoder": (encoder, (SEQUENCE, 256)),
    "lstm": (lstm, (SEQUENCE, 128)),
}


def pair(name: str, size: int | None = None) -> Pair:
    """The model of a name, one of CLASSICS or OTHERS, for pictures of a size (default: what it was made for)."""
    torch.manual_seed(0)
    if name in OTHERS:
        build, shape = OTHERS[name]
        theirs, ours = build(torch.nn, LastOutput).eval(), build(nn, OurLastOutput)
    else:
        inception = name == "inception_v3"
        shape = (3, *[size or (299 if inception else 224)] * 2)
        options = {"init_weights": False} if inception else {}
        theirs = calibrated(getattr(torchvision_models(), name)(**options), 299 if inception else 128)
        ours = getattr(models, name)(**options)
    result = ours.load_state_dict({key: Tensor(value.numpy().copy()) for key, value in theirs.state_dict().items()})
    assert result.missing_keys == [] and result.unexpected_keys == []
    return Pair(theirs, ours.eval(), shape)


def calibrated(model: Any, size: int) -> Any:
    """Running statistics of the weights there are, and no matrix or bias of zeros.

    Bottlenecks add a part of what they would: as drawn, 50 of them make the last bit of float32 the fourth digit.
    """
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


def torchvision_models() -> Any:
    """torchvision.models, whichever wheel of it there is."""
    file = Path(__file__).parent / "torchvision_oracle.py"
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.torchvision().models
