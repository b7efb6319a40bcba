"""Which models can be seen to need nothing but Python."""

from pathlib import Path

import pytest
from numserve.server.messages import ModelSpec
from numserve.server.plain import is_plain

ECHO = "def handle(data, context):\n    return data\n"


def spec(folder: Path, source: str = ECHO, handler: str = "h.py", **given) -> ModelSpec:
    (folder / "h.py").write_text(source)
    return ModelSpec("m", "1.0", str(folder), handler, **given)


@pytest.mark.parametrize("handler", ["h.py", "h", "h.py:handle", "h:handle"])
def test_an_echo_is_plain(tmp_path, handler):
    (tmp_path / "MAR-INF").mkdir()
    (tmp_path / "words.txt").write_text("import torch\n")
    assert is_plain(spec(tmp_path, handler=handler, manifest={"model": {"handler": handler}}))


@pytest.mark.parametrize(
    "line",
    ["import os, json as j", "from collections.abc import Mapping", "import helper", "def f():\n    import xml.dom  "],
)
def test_pythons_own_modules_and_the_archives_are_plain(tmp_path, line):
    (tmp_path / "helper.py").write_text("import math\n")
    assert is_plain(spec(tmp_path, f"{line}\n{ECHO}"))


@pytest.mark.parametrize(
    "line",
    [
        "import torch",
        "import os, numpy as np",
        "from ts.torch_handler.base_handler import BaseHandler",
        "def f():\n    from numserve import engine",
        "from .other import thing",
        "import helper",
    ],
)
def test_other_modules_are_not(tmp_path, line):
    (tmp_path / "helper.py").write_text("try:\n\timport PIL.Image\nexcept ImportError:\n    pass\n")
    assert not is_plain(spec(tmp_path, f"{line}\n{ECHO}"))


@pytest.mark.parametrize(
    "given",
    [
        {"handler": "image_classifier"},
        {"handler": "package/h.py"},
        {"envelope": "json"},
        {"config": {"engine": {"executor": "numpy"}}},
        {"config": {"signature": {"inputs": []}}},
        {"manifest": {"model": {"serializedFile": "weights.pt"}}},
        {"manifest": {"model": {"modelFile": "model.py"}}},
    ],
)
def test_what_the_engine_or_numpy_has_a_part_in_is_not(tmp_path, given):
    assert not is_plain(spec(tmp_path, **given))


def test_what_is_not_looked_at_is_not(tmp_path):
    made = spec(tmp_path)
    assert is_plain(made)
    (tmp_path / "package").mkdir()
    assert not is_plain(made)
    assert not is_plain(ModelSpec("m", "1.0", str(tmp_path / "gone"), "h.py"))


def test_files_that_are_called_as_others_modules_are_not(tmp_path):
    made = spec(tmp_path)
    for name in ("numpy.py", "random.py"):
        (tmp_path / name).write_text("")
        assert not is_plain(made)
        (tmp_path / name).unlink()
    assert is_plain(made)


def test_too_much_to_read_is_not(tmp_path):
    made = spec(tmp_path)
    (tmp_path / "table.py").write_text("#" * (1 << 18))
    assert not is_plain(made)
