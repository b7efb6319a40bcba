import subprocess
import sys
from pathlib import Path

import pytest
from numserve.engine.profile import Limits
from numserve.handlers.profile import NETWORKS, main

from .conftest import write
from .test_check import archive
from .test_preparing import NET, ROWS


@pytest.fixture(autouse=True)
def known_machine(monkeypatch) -> None:
    """Measuring the machine takes a while, and loading a model changes the working directory."""
    monkeypatch.setattr("numserve.engine.profile.report.measure", lambda *_: Limits(100.0, 20.0))
    monkeypatch.chdir("/")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return archive(write(tmp_path, handler=ROWS, model=NET.format(features=12)), modelFile="model.py")


def test_a_table_of_an_archives_model(folder, capsys) -> None:
    assert main([str(folder), "--input", "12", "--batch", "3", "--executor", "numpy", "--rounds", "1"]) == 0

    printed = capsys.readouterr().out
    assert printed.startswith("m, batch 3: numpy executor, 1 thread, ")
    assert "3x12 → 3x3" in printed


def test_what_the_yaml_says_counts_unless_the_flags_say_otherwise(folder, capsys) -> None:
    (folder / "model.yaml").write_text("engine: {inputs: [[1, 12]], executor: numpy, threads: 2, exact: true}\n")
    archived = folder / "MAR-INF" / "MANIFEST.json"
    archived.write_text(archived.read_text().replace('"modelFile"', '"configFile": "model.yaml", "modelFile"'))

    assert main([str(folder), "--rounds", "1"]) == 0
    assert "m, batch 1: numpy executor, exact, 2 threads" in capsys.readouterr().out
    assert main([str(folder), "--rounds", "1", "--threads", "1"]) == 0
    assert "exact, 1 thread," in capsys.readouterr().out


def test_a_page(folder, tmp_path, capsys) -> None:
    page = tmp_path / "page.html"

    assert main([str(folder), "--input", "12", "--html", str(page), "--rounds", "1"]) == 0

    assert f"The graph is in {page}" in capsys.readouterr().out
    assert "<svg" in page.read_text()


def test_one_of_the_engines_own(capsys) -> None:
    assert main(["--network", "squeezenet1_1", "--input", "3,48,48", "--rounds", "1", "--executor", "numpy"]) == 0
    assert "features.0" in capsys.readouterr().out
    assert {"resnet18", "inception_v3"} <= set(NETWORKS)


@pytest.mark.parametrize(
    ("flags", "error"),
    [
        ([], "nothing says what its inputs look like\n  hint: add engine.inputs or engine.sample"),
        (["--input", "5"], "the model cannot be compiled for its inputs: ShapeError: "),
        (["--input", "12", "--executor", "eager"], "the model runs eager: engine.executor says so"),
    ],
)
def test_what_has_no_profile_says_why(folder, capsys, flags, error) -> None:
    assert main([str(folder), *flags]) == 1
    assert error in capsys.readouterr().err


def test_an_error_in_a_handler_has_its_line(folder, capsys) -> None:
    write(folder, handler="1 / 0")

    assert main([str(folder)]) == 1
    assert capsys.readouterr().err == "ZeroDivisionError: division by zero\n  where: handler.py:1\n"


@pytest.mark.parametrize(("name", "hint"), [("resnet19", "; did you mean 'resnet1"), ("x", "")])
def test_a_name_that_nothing_has(capsys, name, hint) -> None:
    assert main(["--network", name]) == 1
    said = f"{name} is no archive here, no model of a running server, and none of the engine's networks{hint}"
    assert said in capsys.readouterr().err


def test_a_handler_without_a_model(tmp_path, capsys) -> None:
    assert main([str(archive(write(tmp_path, handler="def handle(data, context): return data")))]) == 1
    assert "has no attribute `model`" in capsys.readouterr().err


def test_whoever_reads_may_stop_reading(folder, tmp_path) -> None:
    command = [sys.executable, "-m", "numserve.handlers.profile", str(folder), "--input", "12", "--rounds", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout and process.stderr
        process.stdout.close()
        assert b"BrokenPipe" not in process.stderr.read()
        assert process.wait(60) == 0
