import builtins
import importlib.util
import re
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from numserve import engine, handlers
from numserve.engine import data, models, nn
from numserve.handlers import HandlerError, alias, load_handler
from numserve.handlers.alias_names import MODULES, NAMES, NOT_YET

from .conftest import write


@pytest.fixture(autouse=True)
def without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is installed, PyTorch is not."""
    monkeypatch.setattr(alias, "active", lambda top: top in ("ts", "torch", "torchvision"))


def run(folder: Path, source: str) -> Any:
    """What a handler with these lines makes of `result`."""
    text = source + "\ndef handle(data, context): return [result]"
    return load_handler("handler", write(folder, handler=text)).handle([{}], None)[0]


@pytest.mark.parametrize("name", sorted(NAMES))
def test_every_single_name_is_there(name) -> None:
    module, _, attribute = name.rpartition(".")
    home, _, ours = NAMES[name].partition(":")

    assert getattr(alias.module(module), attribute) is getattr(import_module(home, "numserve.handlers"), ours)


@pytest.mark.parametrize("name", sorted(MODULES))
def test_every_module_gives_the_names_of_its_homes(name) -> None:
    for home in MODULES[name]:
        ours = import_module(home, "numserve.handlers")
        own = [each for each, value in vars(ours).items() if getattr(value, "__module__", "") == ours.__name__]
        public = [each for each in getattr(ours, "__all__", own) if not each.startswith("_")]
        assert public
        assert all(hasattr(alias.module(name), each) for each in public)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import torch\nresult = torch.Tensor", engine.Tensor),
        ("import torch as t\nresult = t.nn.functional.relu", nn.functional.relu),
        ("import torch.nn.functional as F\nresult = F.relu", nn.functional.relu),
        ("import torch.nn\nresult = torch.nn.Module", nn.Module),
        ("from torch import nn\nresult = nn.Linear", nn.Linear),
        ("from torch.nn import functional\nresult = functional.softmax", nn.functional.softmax),
        ("from torch.nn import *\nresult = Conv2d", nn.Conv2d),
        ("def f():\n    import torch\n    return torch.no_grad\nresult = f()", engine.no_grad),
        ("import torch\nresult = torch.cuda.is_available()", False),
        ("import torch\nresult = torch.cuda.device_count()", 0),
        ("import torch\nresult = torch.backends.mps.is_available()", False),
        ("import torch\nresult = torch.__version__", "2.13.0"),
        ("import torch\nresult = torch.version.cuda", None),
        ("import torch\nresult = hasattr(torch, 'fft')", False),
        ("import torch\nresult = hasattr(torch, 'tensor')", True),
        ("import torch\nresult = torch.device('cpu') == torch.device('cpu')", True),
        ("import torch\nresult = torch.compile(len) is len", True),
        ("import torch\n@torch.compile(mode='x')\ndef f(): return 3\nresult = f()", 3),
        ("import torch\nresult = torch.FloatTensor([1, 2]).tolist()", [1.0, 2.0]),
        ("from torch.autograd import Variable\nimport torch\nresult = Variable(torch.ones(1)).requires_grad", False),
        ("import torch\nresult = torch.autograd.Variable(torch.ones(1), True).requires_grad", True),
        ("import torch\nresult = torch.is_tensor(torch.LongTensor([1]))", True),
        ("from torch.utils.data import DataLoader\nresult = DataLoader", data.DataLoader),
        ("import torchvision.models as m\nresult = m.resnet18", models.resnet18),
        ("from torchvision.models.resnet import ResNet\nresult = ResNet", models.resnet.ResNet),
        ("from torchvision import transforms\nresult = transforms.Resize.__name__", "Resize"),
        ("from ts.torch_handler.base_handler import BaseHandler\nresult = BaseHandler", handlers.BaseHandler),
        ("from ts.context import Context\nresult = Context", handlers.Context),
        ("from ts.utils.util import PredictionException as P\nresult = P", handlers.PredictionException),
        ("from ts.metrics.metric_type_enum import MetricTypes as M\nresult = M.COUNTER.value", "counter"),
        ("import ts\nresult = ts.version.__version__ == ts.__version__", True),
        ("import json\nresult = json.loads('1')", 1),
    ],
)
def test_what_the_spellings_of_an_import_give(tmp_path, source, expected) -> None:
    result = run(tmp_path, source)

    assert result is expected or result == expected


@pytest.mark.parametrize("place", ["'file.pth'", "io.BytesIO()"])
def test_checkpoints_are_saved_and_loaded(tmp_path, monkeypatch, place) -> None:
    monkeypatch.chdir(tmp_path)
    source = f"""
import io, torch
place = {place}
torch.save({{"a": torch.FloatTensor([1, 2])}}, place)
if hasattr(place, "seek"): place.seek(0)
result = torch.load(place, map_location="cpu")["a"].tolist()
"""

    assert run(tmp_path, source) == [1.0, 2.0]


@pytest.mark.parametrize(
    "line",
    [
        "torch.autocast('cpu')",
        "torch.cuda.amp.autocast()",
        "torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU])",
        "torch.profiler.record_function('step')",
        "torch.no_grad()",
        "torch.inference_mode()",
    ],
)
def test_contexts_work_in_with_blocks_and_as_decorators(tmp_path, line) -> None:
    source = f"import torch\n@{line}\ndef f(): return 1\nwith {line}: result = f() + 1"

    assert run(tmp_path, source) == 2


@pytest.mark.parametrize(
    ("line", "error", "message"),
    [
        ("import torch.fx", ModuleNotFoundError, "this server's built-in engine has no torch.fx; installing PyTorch"),
        ("from torch import fft", ImportError, "built-in engine has no torch.fft; installing PyTorch in the worker"),
        ("import torch\ntorch.linalg", AttributeError, "built-in engine has no torch.linalg"),
        ("import torchvision.io", ModuleNotFoundError, "no torchvision.io; installing torchvision"),
        ("from ts.nothing import X", ModuleNotFoundError, "numserve has no ts.nothing"),
        ("import torchaudio", ModuleNotFoundError, "No module named 'torchaudio'"),
        *((f"import {name}", ModuleNotFoundError, NOT_YET[name]) for name in NOT_YET if name.count(".") < 3),
        ("from ts.handler_utils.utils import nothing_of_that_name", ImportError, "has no ts.handler_utils"),
        (
            "from ts.torch_handler.vllm_handler import VLLMHandler",
            ModuleNotFoundError,
            "not available in this release",
        ),
    ],
)
def test_what_is_missing_says_who_lacks_it(tmp_path, line, error, message) -> None:
    with pytest.raises(HandlerError, match=re.escape(message)) as caught:
        run(tmp_path, line + "\nresult = 0")

    assert type(caught.value.cause) is error
    assert "pip install" not in (caught.value.hint or "")
    assert caught.value.where.startswith("handler.py:")


def test_a_probe_for_a_missing_name_goes_on(tmp_path) -> None:
    source = "try:\n    from torch import fft\nexcept ImportError:\n    result = 'without'"

    assert run(tmp_path, source) == "without"


def test_nothing_outside_the_archive_sees_the_aliases(tmp_path) -> None:
    run(tmp_path, "import torch.nn, torchvision.transforms, ts.context\nresult = 0")

    assert not {"ts", "torch.nn", "torchvision.transforms"} & set(sys.modules)
    assert builtins.__import__.__module__ == "builtins"


@pytest.mark.skipif(importlib.util.find_spec("torch") is not None, reason="PyTorch is installed here")
def test_probes_for_torch_stay_false(tmp_path) -> None:
    assert run(tmp_path, "import torch\nfrom importlib.util import find_spec\nresult = find_spec('torch')") is None


def test_an_alias_lists_its_names() -> None:
    assert {"Tensor", "nn", "cuda", "load", "FloatTensor", "no_grad"} <= set(dir(alias.module("torch")))
    assert "BaseHandler" in dir(alias.module("ts.torch_handler.base_handler"))


class TestWithTorchInstalled:
    @pytest.fixture(autouse=True)
    def installed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(alias, "active", lambda top: top == "ts")

    def test_the_real_one_is_imported(self, tmp_path, monkeypatch) -> None:
        (tmp_path / "site").mkdir()
        (tmp_path / "archive").mkdir()
        monkeypatch.syspath_prepend(write(tmp_path / "site", torchvision="NAME = 'the real one'"))

        assert run(tmp_path / "archive", "import torchvision\nresult = torchvision.NAME") == "the real one"
        del sys.modules["torchvision"]

    def test_ts_is_still_ours(self, tmp_path) -> None:
        assert run(tmp_path, "from ts.context import Context\nresult = Context") is handlers.Context
