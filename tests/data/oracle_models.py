"""Models in two makes, torch's and numserve's, with the same weights: what the oracle tests and the benchmark compare.

The weights are calibrated, so that outputs depend on inputs and an error anywhere shows: as drawn at random, deep
networks answer with nearly the same numbers whatever they are given.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from numserve.engine import Tensor, models, nn

CLASSICS = [name for name in models.__all__ if name.islower()]
SEGMENTERS = [name for name in models.segmentation.__all__ if name.islower()]
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


class Scores(torch.nn.Module):
    """A segmentation model that answers with its scores alone."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.model(x)["out"]


class OurScores(nn.Module):
    """The same here."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)["out"]  # type: ignore[no-any-return]


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
    """The model of a name, one of CLASSICS, SEGMENTERS or OTHERS, for pictures of a size (default: its own)."""
    torch.manual_seed(0)
    if name in OTHERS:
        build, shape = OTHERS[name]
        theirs, ours = build(torch.nn, LastOutput).eval(), build(nn, OurLastOutput)
    elif name in SEGMENTERS:
        shape = (3, *[size or 224] * 2)
        family = torchvision_models().segmentation
        theirs = Scores(calibrated(getattr(family, name)(weights=None, weights_backbone=None), 96)).eval()
        ours = OurScores(getattr(models.segmentation, name)())
    else:
        inception = name == "inception_v3"
        shape = (3, *[size or (299 if inception else 224)] * 2)
        options = {"init_weights": False} if inception else {}
        theirs = calibrated(getattr(torchvision_models(), name)(**options), 299 if inception else 128)
        ours = getattr(models, name)(**options)
    result = ours.load_state_dict({key: Tensor(value.numpy().copy()) for key, value in theirs.state_dict().items()})
    assert result.missing_keys == [] and result.unexpected_keys == []
    return Pair(theirs, ours.eval(), shape)


class Bert(torch.nn.Module):
    """An encoder as BERT's, written out."""

    def __init__(self, words: int = 100, width: int = 32, heads: int = 4, layers: int = 2) -> None:
        super().__init__()
        make, self.heads = torch.nn, heads
        self.words, self.places = make.Embedding(words, width), make.Embedding(64, width)
        self.kinds, self.norm = make.Embedding(2, width), make.LayerNorm(width)
        self.layers = make.ModuleList()
        for _ in range(layers):
            parts = {key: make.Linear(width, width) for key in "qkvo"}
            parts |= {"up": make.Linear(width, 4 * width), "down": make.Linear(4 * width, width)}
            parts |= {"norm_1": make.LayerNorm(width), "norm_2": make.LayerNorm(width)}
            self.layers.append(make.ModuleDict(parts))
        self.pool, self.head = make.Linear(width, width), make.Linear(width, 2)

    def forward(self, ids: Any, mask: Any) -> Any:
        batch, length = ids.size(0), ids.size(1)
        places = torch.arange(length, device=ids.device).unsqueeze(0)
        x = self.norm(self.words(ids) + self.places(places) + self.kinds(torch.zeros_like(ids)))
        hidden = (1.0 - mask[:, None, None, :].to(x.dtype)) * -1e9
        for layer in self.layers:
            q, k, v = (layer[n](x).view(batch, length, self.heads, -1).permute(0, 2, 1, 3) for n in "qkv")
            weights = torch.softmax(torch.matmul(q, k.transpose(-1, -2)) / (q.size(-1) ** 0.5) + hidden, -1)
            seen = torch.matmul(weights, v).permute(0, 2, 1, 3).contiguous().view(batch, length, -1)
            x = layer["norm_1"](x + layer["o"](seen))
            x = layer["norm_2"](x + layer["down"](torch.nn.functional.gelu(layer["up"](x))))
        return self.head(torch.tanh(self.pool(x[:, 0])))


class Recurrent(torch.nn.Module):
    """Words, an LSTM in both directions and a GRU behind it."""

    def __init__(self) -> None:
        super().__init__()
        self.words = torch.nn.Embedding(10, 16)
        self.lstm = torch.nn.LSTM(16, 12, 2, batch_first=True, bidirectional=True)
        self.gru = torch.nn.GRU(24, 12, batch_first=True)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        outputs, _ = self.lstm(self.words(ids))
        outputs, _ = self.gru(outputs)
        return outputs[:, -1]


TORCHVISION = {
    "mobilenet_v2": 64, "mobilenet_v3_small": 64, "efficientnet_b0": 64, "shufflenet_v2_x1_0": 64, "googlenet": 96,
    "mnasnet1_0": 64, "regnet_y_400mf": 64, "convnext_tiny": 64, "swin_t": 64,
}  # fmt: skip
FOREIGN = (*TORCHVISION, "vit", "bert", "recurrent")


def foreign(name: str) -> tuple[Any, tuple[Any, ...]]:
    """A model that torch has, of FOREIGN, and inputs of two rows."""
    torch.manual_seed(0)
    if name == "bert":
        mask = torch.ones(2, 10, dtype=torch.long)
        mask[1, 6:] = 0
        return Bert().eval(), (torch.randint(1, 100, (2, 10)), mask)
    if name == "recurrent":
        return Recurrent().eval(), (torch.randint(0, 10, (2, 5)),)
    vision, size = torchvision_models(), TORCHVISION.get(name, 64)
    if name == "vit":
        make = partial(vision.vision_transformer.VisionTransformer, 64, 16, 3, 4, 64, 128)
    else:
        make = partial(getattr(vision, name), **{"init_weights": False} if name == "googlenet" else {})
    model = calibrated(make(), size)
    for key, parameter in model.named_parameters():
        if key.endswith("layer_scale"):  # begins as nearly nothing, and should count for something
            torch.nn.init.constant_(parameter, 0.5)
    return model, (torch.randn(2, 3, size, size),)


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
