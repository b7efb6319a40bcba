import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from numserve.engine.executors.choices import Choices

from .conftest import write
from .test_check import archive
from .test_preparing import NET, ROWS


def tune(folder: Path, *options: str) -> dict[str, Any]:
    """What the command says of it; the choices are in out.json."""
    command = [sys.executable, "-m", "numserve.handlers.tune", str(folder), "--output", str(folder / "out.json")]
    ended = subprocess.run([*command, *options], capture_output=True, text=True, timeout=60)
    said: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    assert ended.returncode == (not said["ok"])
    return said


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "model.yaml").write_text("batchSize: 4\nengine: {inputs: [[1, 3, 8, 8]]}\n")
    source = NET.format(features=108).replace("__init__()\n", "__init__()\n        self.conv = nn.Conv2d(3, 3, 3)\n", 1)
    write(tmp_path, handler=ROWS, model=source.replace("x.flatten", "self.conv(x).flatten"))
    return archive(tmp_path, modelFile="model.py", configFile="model.yaml")


def test_every_batch_and_number_of_threads_is_tuned_for(folder) -> None:
    said = tune(folder, "--batches", "1,3", "--threads", "1,2")

    assert (said["ok"], said["batches"], said["threads"]) == (True, [1, 3], [1, 2])
    keys = list(json.loads((folder / "out.json").read_text())["choices"][said["cpu"]])
    assert len(keys) == said["choices"]
    assert {f" x{threads} " for threads in (1, 2)} == {f" x{key.split(' x')[1][0]} " for key in keys}


def test_what_is_not_said_is_what_workers_will_probably_have(folder) -> None:
    said = tune(folder)

    assert said["batches"] == [1, 2, 4]
    assert said["threads"][0] == 1


def test_the_choices_of_this_machine_are_made_anew(folder) -> None:
    stored = Choices()
    stored.put("key", "way")
    stored.save(folder / "MAR-INF" / "choices.json")

    tune(folder, "--threads", "1")

    assert Choices.load(folder / "out.json").get("key") is None
    assert len(Choices.load(folder / "out.json")) > 0


def test_a_handler_without_a_model_has_nothing_to_tune(tmp_path) -> None:
    said = tune(archive(write(tmp_path, handler="def handle(data, context): return data")))

    assert (said["ok"], said["phase"]) == (False, "tune")
    assert "has no attribute `model`" in said["error"]
