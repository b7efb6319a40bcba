"""The workflow example: served as its README says, it tells digits; its training gives the weights that are there."""

from __future__ import annotations

import importlib.util
import json
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numserve.engine.formats import load
from numserve.handlers.modules import ModelDirectory

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "workflow"
SAMPLES = ROOT / "examples" / "digits" / "samples"


@pytest.fixture
def training() -> Iterator[ModuleType]:
    """The example's train.py."""
    ModelDirectory.leave()  # an archive of another test may have files of these names
    spec = importlib.util.spec_from_file_location("workflow_train", EXAMPLE / "train.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    sys.modules.pop("model", None)


@pytest.mark.parametrize("digit", [3, 7])
def test_a_function_prepares_any_picture(digit: int) -> None:
    spec = importlib.util.spec_from_file_location("workflow_functions", EXAMPLE / "functions.py")
    assert spec and spec.loader
    functions = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(functions)
    [small] = functions.prepare([{"body": (SAMPLES / f"{digit}.png").read_bytes()}], None)
    assert small.startswith(b"\x89PNG")
    answers = {"network": b'{"1": 0.5, "2": 0.25}', "linear": b'{"2": 0.75}'}
    assert functions.vote([answers], None) == [{"2": 0.5, "1": 0.25}]


def test_the_readmes_commands_serve_a_workflow_that_tells_digits(server: Any) -> None:
    readme = (EXAMPLE / "README.md").read_text().replace("\\\n", " ")
    commands = [shlex.split(line) for line in readme.splitlines() if line.startswith(("model-arch", "workflow-arch"))]
    assert len(commands) == 3
    for command, *arguments in commands:
        given = [str(ROOT / each) if each.startswith("examples/") else each for each in arguments]
        given[given.index("model_store")] = str(server.store)
        done = server.run(command, *given)
        assert done.returncode == 0, done.stderr
    server.start()
    status, body = server.call("management", "/workflows?url=vote.war", "POST")
    assert (status, json.loads(body)["status"]) == (200, "Workflow vote has been registered and scaled successfully.")
    for digit in range(10):
        told = server.predict((SAMPLES / f"{digit}.png").read_bytes(), "/wfpredict/vote")
        assert (next(iter(told)), len(told)) == (str(digit), 3)
    status, body = server.call("inference", "/wfpredict/vote", "POST", b"no picture")
    assert (status, json.loads(body)["message"]) == (400, "expected a picture, as the body or as the part `data`")


def test_the_weights_are_what_training_gives_and_the_shares_those_of_the_readme(training: ModuleType) -> None:
    pytest.importorskip("sklearn")
    digits = training.module("train", training.DIGITS)
    examples, held_out = digits.split()
    linear = training.train(examples, digits.train_epoch)
    for name, weight in load(EXAMPLE / "linear.pth").items():
        assert np.allclose(linear.state_dict()[name].numpy(), weight.numpy(), atol=1e-4)
    network = digits.DigitsNet()
    network.load_state_dict(load(training.DIGITS / "digits.pth"))
    shares = training.compare(network, linear, held_out)
    told = (EXAMPLE / "README.md").read_text()
    assert all(f"{share:.2%}".replace("%", " %") in told for share in shares.values())
