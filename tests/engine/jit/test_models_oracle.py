"""Whole models as torch.jit saves them, scripted, traced and frozen, against torch: run eager and on the plan."""

from __future__ import annotations

import importlib.util
import sys
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.oracle

from numserve.engine import Tensor, compile_module, jit, no_grad  # noqa: E402  # torch decides whether this is run

DATA = Path(__file__).parents[2] / "data"
FORMS = ["scripted", "traced", "frozen"]
TORCHVISION = {
    "mobilenet_v2": 64, "mobilenet_v3_small": 64, "efficientnet_b0": 64, "shufflenet_v2_x1_0": 64, "googlenet": 96,
    "mnasnet1_0": 64, "regnet_y_400mf": 64, "convnext_tiny": 64, "swin_t": 64,
}  # fmt: skip
NOT_SCRIPTED = {"bert"}
ONE_OF_EACH = {"alexnet", "densenet121", "inception_v3", "resnet18", "resnext50_32x4d", "squeezenet1_0", "vgg11_bn"}


def loaded(name: str) -> ModuleType:
    """A file of tests/data as a module."""
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, DATA / f"{name}.py")
        assert spec is not None and spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


oracle_models = loaded("oracle_models")
made_here = loaded("make_torchscript")


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


def model(name: str) -> tuple[Any, tuple[Any, ...]]:
    """A model with calibrated weights, and an input of two rows."""
    torch.manual_seed(0)
    vision = oracle_models.torchvision_models()
    if name in TORCHVISION:
        options = {"init_weights": False} if name == "googlenet" else {}
        size = TORCHVISION[name]
        made = oracle_models.calibrated(getattr(vision, name)(**options), size)
        return scaled(made), (torch.randn(2, 3, size, size),)
    if name == "vit":
        made = vision.vision_transformer.VisionTransformer(64, 16, 3, 4, 64, 128)
        return scaled(oracle_models.calibrated(made, 64)), (torch.randn(2, 3, 64, 64),)
    if name == "bert":
        mask = torch.ones(2, 10, dtype=torch.long)
        mask[1, 6:] = 0
        return Bert().eval(), (torch.randint(1, 100, (2, 10)), mask)
    if name == "recurrent":
        return made_here.Recurrent().eval(), (torch.randint(0, 10, (2, 5)),)
    pair = oracle_models.pair(name, 75 if name == "inception_v3" else 64)
    return pair.theirs, (torch.randn(2, *pair.shape),)


def scaled(made: Any) -> Any:
    """Layers that begin as nearly nothing count for something."""
    for key, parameter in made.named_parameters():
        if key.endswith("layer_scale"):
            torch.nn.init.constant_(parameter, 0.5)
    return made


def saved(made: Any, inputs: tuple[Any, ...], form: str, path: Path) -> Any:
    """Save a model in a form; gives the program as torch loads it."""
    with torch.no_grad():
        if form == "traced":
            program = torch.jit.trace(made, inputs, check_trace=False, strict=False)
        else:
            program = torch.jit.script(made)
            program = torch.jit.freeze(program) if form == "frozen" else program
        program.save(path)
    return torch.jit.load(path)


def arrays(result: Any) -> list[np.ndarray[Any, Any]]:
    """The tensors in a result."""
    if isinstance(result, (list, tuple)):
        return [array for item in result for array in arrays(item)]
    if isinstance(result, dict):
        return [array for item in result.values() for array in arrays(item)]
    return [] if result is None else [result.detach().numpy()]


def check(met: Any, expected: Any) -> None:
    ours, theirs = arrays(met), arrays(expected)
    assert len(ours) == len(theirs) > 0
    for mine, other in zip(ours, theirs, strict=True):
        scale = float(np.abs(other).max())
        assert np.std(other) > 1e-3 * scale, "the outputs are all alike and show nothing"
        assert np.abs(mine - other).max() <= 1e-4 * scale


CLASSICS = [
    name if name in ONE_OF_EACH else pytest.param(name, marks=pytest.mark.slow)
    for name in oracle_models.CLASSICS
    if name not in TORCHVISION
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", [*CLASSICS, *oracle_models.OTHERS, *TORCHVISION, "vit", "bert", "recurrent"])
def test_a_model_gives_what_torch_gives(name: str, form: str, tmp_path: Path) -> None:
    if name in NOT_SCRIPTED and form != "traced":
        pytest.skip("torch cannot script it")
    made, inputs = model(name)
    theirs = saved(made, inputs, form, tmp_path / "m.pt")
    with torch.no_grad():
        expected = theirs(*inputs)
    mine = [Tensor(x.numpy()) for x in inputs]

    ours = jit.load(tmp_path / "m.pt").eval()

    with no_grad():
        check(ours(*mine), expected)
    compiled = compile_module(ours, *mine)
    assert compiled.describe()["mode"] == "plan", compiled.reason
    check(compiled(*mine), expected)
    more = [torch.cat([x, x.flip(0), x[:1]]) for x in inputs]
    with torch.no_grad():
        expected = theirs(*more)
    check(compiled(*[Tensor(x.numpy()) for x in more]), expected)
    assert compiled.eager_calls == 0
