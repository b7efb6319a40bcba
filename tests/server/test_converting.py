"""`numserve convert`: what it prints, and how it refuses."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from numserve.engine import Tensor, formats
from numserve.server import cli, converting


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run the command where there is a checkpoint; returns exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    formats.save({"w": Tensor(np.ones((2, 3), np.float32)), "b": Tensor(np.zeros(3))}, "in.pth")

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["numserve", "convert", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return ended.value.code, *capsys.readouterr()

    return call


def test_it_says_what_came_of_it(run, tmp_path):
    code, out, err = run("in.pth", "out.safetensors")
    size = (tmp_path / "out.safetensors").stat().st_size
    assert (code, err) == (0, "")
    assert out == f"in.pth (checkpoint) → out.safetensors (safetensors): 2 tensors, {size:,} bytes\n"


def test_a_file_that_is_there_is_overwritten_only_by_force(run, tmp_path):
    (tmp_path / "out.pth").write_text("mine")
    code, _, err = run("in.pth", "out.pth")
    assert (code, err) == (1, "out.pth is there already; --force overwrites it\n")
    assert (tmp_path / "out.pth").read_text() == "mine"
    assert run("in.pth", "out.pth", "--force")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        (["in.pth", "out.onnx"], 1, "holds weights and no program"),
        (["none.pth", "out.pth"], 1, "none.pth cannot be read"),
        (["in.pth", "none/out.pth"], 1, "No such file"),
        (["in.pth", "out.onnx", "--input", "3x3"], 1, "no shape"),
        (["in.pth", "out.onnx", "--input", "3", "--example", "x.npy"], 2, "exclude each other"),
    ],
)
def test_refusals_are_one_line_and_leave_nothing(arguments, code, reason, run, tmp_path):
    met, _, err = run(*arguments)
    assert met == code
    assert reason in err
    assert "Traceback" not in err
    assert [path.name for path in tmp_path.iterdir()] == ["in.pth"]


def test_a_terminal_gets_a_bar_where_there_is_much_to_do(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with converting._bar(converting.PROGRESS_FROM_BYTES) as progress:
        progress(converting.PROGRESS_FROM_BYTES)
    assert "100%" in capsys.readouterr().err
    with converting._bar(1) as progress:
        progress(1)
    assert capsys.readouterr().err == ""
