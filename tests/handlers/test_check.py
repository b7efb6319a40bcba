import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ..engine.export.archives import changed
from ..engine.jit.archives import body, program
from ..engine.onnx.made import graph, info, model, node
from .conftest import write


def archive(folder: Path, handler: str = "handler.py", **model: Any) -> Path:
    (folder / "MAR-INF").mkdir()
    manifest = {"model": {"modelName": "m", "handler": handler, **model}}
    (folder / "MAR-INF" / "MANIFEST.json").write_text(json.dumps(manifest))
    return folder


def check(folder: Path, *options: str) -> tuple[int, dict[str, Any], str]:
    """The exit status, the last line and all of standard output."""
    command = [sys.executable, "-m", "numserve.handlers.check", str(folder), *options]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd="/")
    return ended.returncode, json.loads(ended.stdout.splitlines()[-1]), ended.stdout


INITIALIZE = "class H:\n    def handle(self, d, c): ...\n    def initialize(self, context):\n        "


@pytest.mark.parametrize(
    "step",
    ["pass", "print('loading')", "open('handler.py').close()", "assert context.model_yaml_config == {'x': {'y': 1}}"],
)
def test_a_handler_that_loads(tmp_path, step) -> None:
    (tmp_path / "model.yaml").write_text("x:\n  y: 1\n")
    status, outcome, _ = check(archive(write(tmp_path, handler=INITIALIZE + step), configFile="model.yaml"))

    assert status == 0
    assert outcome.pop("seconds") >= 0
    assert outcome == {"ok": True, "phase": None, "error": None, "where": None, "hint": None, "handler": "handler.py"}


@pytest.mark.parametrize(
    ("source", "phase", "error", "where", "hint"),
    [
        (
            "import transformers",
            "import",
            "ModuleNotFoundError: No module named 'transformers'",
            "handler.py:1",
            "pip install",
        ),
        (INITIALIZE + "1 / 0", "initialize", "ZeroDivisionError: division by zero", "handler.py:4", ""),
        (INITIALIZE + "raise SystemExit(0)", "initialize", "SystemExit: 0", "handler.py:4", ""),
        (INITIALIZE + "open('vocab.txt')", "initialize", "FileNotFoundError: ", "handler.py:4", "vocab.txt is not in"),
    ],
)
def test_a_handler_that_does_not_load(tmp_path, source, phase, error, where, hint) -> None:
    status, outcome, _ = check(archive(write(tmp_path, handler=source)))

    assert (status, outcome["ok"], outcome["phase"], outcome["where"]) == (1, False, phase, where)
    assert outcome["error"].startswith(error)
    assert hint in (outcome["hint"] or "")


def test_files_are_called_as_in_the_archive(tmp_path) -> None:
    folder = archive(
        write(tmp_path, handler=INITIALIZE + "open(context.system_properties['model_dir'] + '/vocab.txt')")
    )

    assert check(folder)[1]["error"].endswith("No such file or directory: 'vocab.txt'")


def test_a_yaml_that_cannot_be_read_is_named_with_its_line(tmp_path) -> None:
    folder = archive(write(tmp_path, handler="def handle(data, context): ..."), configFile="settings.yaml")
    (folder / "settings.yaml").write_text("batchSize: 4\nminWorkers 2")

    outcome = check(folder)[1]

    assert outcome["phase"] == "configure"
    assert "settings.yaml is no readable YAML" in outcome["error"]
    assert 'in "settings.yaml", line 2' in outcome["error"]


def test_the_manifests_handler_can_be_replaced(tmp_path) -> None:
    folder = archive(write(tmp_path, other="def handle(data, context): ..."), handler="missing.py")

    assert check(folder, "--handler", "other.py")[:2][0] == 0
    assert "no handler is called 'missing.py'" in check(folder)[1]["error"]


@pytest.mark.parametrize(
    ("content", "error"), [(None, "No such file"), ("{", "cannot be read"), ("[]", "holds no object")]
)
def test_a_manifest_that_is_none(tmp_path, content, error) -> None:
    if content is not None:
        (tmp_path / "MAR-INF").mkdir()
        (tmp_path / "MAR-INF" / "MANIFEST.json").write_text(content)

    status, outcome, _ = check(tmp_path)

    assert (status, outcome["phase"]) == (1, "manifest")
    assert error in outcome["error"]


def torchscript(path: Path) -> None:
    program(path, body("a = torch.frobnicate(x)", "return ops.mine.twist(torch.relu(a))"))


def onnx(path: Path) -> None:
    nodes = [node("Frobnicate", ["x"], ["a"]), node("Relu", ["a"], ["b"]), node("Twist", ["b"], ["y"], "mine")]
    path.write_bytes(model(graph(nodes, [info("x", 1, [1, 3])])))


def exported(path: Path) -> None:
    def rename(content: dict[str, Any]) -> None:
        nodes = content["graph_module"]["graph"]["nodes"]
        nodes[0]["target"], nodes[1]["target"] = "torch.ops.aten.frobnicate.default", "torch.ops.mine.twist.default"

    changed("convolutions", path, rename)


def test_what_the_file_is_and_how_it_runs_are_told(tmp_path: Path) -> None:
    program(tmp_path / "model.pt", body("return torch.relu(x)"))
    folder = archive(tmp_path, "image_classifier", serializedFile="model.pt")

    engine = check(folder)[1]["engine"]

    assert (engine["format"], engine["mode"], engine["reason"]) == ("torchscript", "plan", "")


def test_a_file_for_other_inputs_than_the_handler_gives_is_told(tmp_path: Path) -> None:
    nodes = [node("Relu", ["x"], ["y"])]
    (tmp_path / "model.onnx").write_bytes(model(graph(nodes, [info("x", 1, ["N", 3, 64, 64])])))
    folder = archive(tmp_path, "image_classifier", serializedFile="model.onnx")

    engine = check(folder)[1]["engine"]

    assert (engine["format"], engine["mode"]) == ("onnx", "eager")
    assert re.search(r"cannot run with those that were expected: .*224", engine["reason"])


@pytest.mark.parametrize("make", [torchscript, onnx, exported], ids=lambda make: make.__name__)
def test_all_operators_that_are_missing_are_named(make: Callable[[Path], None], tmp_path: Path) -> None:
    make(tmp_path / "model.bin")

    status, outcome, _ = check(archive(tmp_path, "tensor", serializedFile="model.bin"))

    assert (status, outcome["ok"], outcome["phase"]) == (1, False, "initialize")
    assert "engine lacks" in outcome["error"]
    assert "frobnicate" in outcome["error"].lower() and "twist" in outcome["error"].lower()
    assert "relu" not in outcome["error"].lower()
