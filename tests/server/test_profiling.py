"""`numserve profile`: which model is meant, and what the process that measures it is told."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from numserve.server import client, lifecycle, profiling
from numserve.server.cli import cli

ECHO = "import json, os, sys; print(json.dumps([sys.argv[1:], sorted(os.listdir(sys.argv[1]))])); sys.exit(3)"
SAYS = "import json, sys; print(json.dumps(sys.argv[1:]))"


@pytest.fixture(autouse=True)
def no_server(monkeypatch, tmp_path):
    """A temp folder where no server runs."""
    monkeypatch.setenv("TEMP", str(tmp_path))


@pytest.fixture
def program(monkeypatch):
    """Put a program in the place of the one that measures."""
    return lambda source: monkeypatch.setattr(profiling, "PROGRAM", (sys.executable, "-c", source))


def test_an_archive_is_unpacked_measured_and_removed(archives, program, capfd):
    program(ECHO)
    archive = archives.store / archives.make()
    assert profiling.profile(str(archive), ["--batch=2"]) == 3
    (folder, *flags), files = json.loads(capfd.readouterr().out)
    assert (flags, files) == (["--batch=2"], ["MAR-INF", "handler.py"])
    assert not Path(folder).exists()


def test_a_name_that_is_no_archive_is_one_of_the_engines_models(program, capfd):
    program(SAYS)
    assert profiling.profile("resnet18", ["--exact"]) == 0
    assert json.loads(capfd.readouterr().out) == ["--network", "resnet18", "--exact"]


def test_a_model_of_the_running_server(archives, program, capfd, monkeypatch):
    program(ECHO)
    url = archives.make()
    state = lifecycle.State(1, "i", "http://m", None, None, str(archives.store))
    asked = []
    monkeypatch.setattr(lifecycle, "running", lambda folder: state)
    monkeypatch.setattr(client, "ask_json", lambda *request: asked.append(request) or [{"modelUrl": url}])
    assert profiling.profile("my model", []) == 3
    assert asked == [(client.Place("http://m"), "/models/my%20model")]
    assert "handler.py" in capfd.readouterr().out


@pytest.mark.parametrize("answer", [None, [{"modelUrl": "gone.mar"}]])
def test_a_name_that_the_server_does_not_know_either(program, capfd, monkeypatch, tmp_path, answer):
    def ask(*request):
        if answer is None:
            raise client.Refused("Model not found")
        return answer

    program(SAYS)
    state = lifecycle.State(1, "i", "http://m", None, None, str(tmp_path))
    monkeypatch.setattr(lifecycle, "running", lambda folder: state)
    monkeypatch.setattr(client, "ask_json", ask)
    assert profiling.profile("vgg16", []) == 0
    assert "--network" in capfd.readouterr().out


def test_an_archive_that_is_none_is_refused(tmp_path):
    (tmp_path / "broken.mar").write_bytes(b"no zip")
    with pytest.raises(client.Refused, match="broken.mar: this is not a ZIP file"):
        profiling.profile(str(tmp_path / "broken.mar"), [])


def test_the_flags_are_passed_on(monkeypatch):
    told = []
    monkeypatch.setattr(profiling, "profile", lambda *given: told.append(given) or 0)
    flags = ["--batch", "4", "--threads", "2", "--exact", "--input", "3,8,8", "--input", "5", "--html", "-x.html"]
    assert CliRunner().invoke(cli, ["profile", "m.mar", *flags]).exit_code == 0
    ((model, passed),) = told
    assert model == "m.mar"
    assert sorted(passed) == sorted(
        ["--batch=4", "--threads=2", "--exact", "--input=3,8,8", "--input=5", "--rounds=10", "--html=-x.html"]
    )


def test_the_real_program_is_the_handlers(capfd):
    assert profiling.profile("no-such-model", []) == 1
    assert capfd.readouterr().err == (
        "no-such-model is no archive here, no model of a running server, and none of the engine's networks\n"
    )
