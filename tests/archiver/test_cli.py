"""The command: flags, defaults, what it prints and how it exits."""

import json
import os
import pty
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result
from numserve.archiver import cli
from numserve.archiver.cli import main
from numserve.archiver.trial import Verdict

SCRIPT = Path(sys.executable).with_name("model-archiver")
PACK = ["--model-name", "net", "--handler", "handler.py", "--version", "1.0", "--export-path", "store"]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


@pytest.mark.parametrize(
    ("flag", "default"),
    [
        ("--model-name", None), ("--handler", None), ("--version", None), ("-v", None), ("--serialized-file", None),
        ("--model-file", None), ("--extra-files", None), ("--runtime", "python"), ("--export-path", None),
        ("--archive-format", "default"), ("--force", False), ("-f", False), ("--requirements-file", None), ("-r", None),
        ("--config-file", None), ("-c", None),
    ],
)  # fmt: skip
def test_flags_and_defaults_are_torch_model_archivers(flag: str, default: object) -> None:
    options = [option for option in main.params if flag in option.opts]
    assert len(options) == 1
    assert options[0].get_default(click.Context(main)) == default or default is None


@pytest.mark.parametrize(
    ("flag", "choices"),
    [("--runtime", ["python", "python3", "LSP"]), ("--archive-format", ["default", "zip-store", "tgz", "no-archive"])],
)
def test_choices(flag: str, choices: list[str]) -> None:
    option = next(option for option in main.params if flag in option.opts)
    assert isinstance(option.type, click.Choice) and list(option.type.choices) == choices


def test_a_run_that_succeeds_prints_nothing(project: Path) -> None:
    result = run(*PACK, "--serialized-file", "weights.pt", "--config-file", "", "--archive-format", "tgz")
    assert (result.exit_code, result.output) == (0, "")
    assert (project / "store" / "net.tar.gz").is_file()


def test_the_archive_goes_to_the_current_directory_unless_said(project: Path) -> None:
    assert run(*PACK[:-2]).exit_code == 0
    assert (project / "net.mar").is_file()


@pytest.mark.parametrize("missing", ["--model-name", "--handler", "--version"])
def test_a_missing_flag_is_a_usage_error(project: Path, missing: str) -> None:
    place = PACK.index(missing)
    result = run(*PACK[:place], *PACK[place + 2 :])
    assert result.exit_code == 2 and missing in result.stderr and "Usage:" in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["--nonsense"],
        ["nonsense"],
        ["--model-nam", "x"],
        [*PACK, "--runtime", "ruby"],
        [*PACK, "--archive-format", "rar"],
        [],
    ],
)
def test_other_usage_errors(project: Path, arguments: list[str]) -> None:
    assert run(*arguments).exit_code == 2


def test_an_error_is_told_without_a_traceback(project: Path) -> None:
    run(*PACK)
    result = run(*PACK)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.splitlines() == [
        "ERROR - store/net.mar already exists.",
        "Please specify --force/-f option to overwrite the model archive output file.",
        "See -h/--help for more details.",
    ]
    assert run(*PACK, "-f").exit_code == 0


# inspect


def test_inspect_prints_a_table(project: Path) -> None:
    run(*PACK, "--serialized-file", "weights.pt")
    result = run("inspect", "store/net.mar")
    assert result.exit_code == 0
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert "model: net 1.0" in lines and "handler: handler.py" in lines
    assert any(line.startswith("weights: weights.pt, ") for line in lines)
    assert "9,000 9,000 weights.pt" in lines


def test_inspect_prints_json(project: Path) -> None:
    run(*PACK, "--serialized-file", "weights.pt")
    found = json.loads(run("inspect", "--json", "--sha256", "store/net.mar").stdout)
    assert {file["name"] for file in found["files"]} == {"weights.pt", "handler.py", "MAR-INF/MANIFEST.json"}
    assert all(len(file["sha256"]) == 64 for file in found["files"])


def test_inspect_of_what_is_no_archive(project: Path) -> None:
    result = run("inspect", "model.py")
    assert (result.exit_code, result.stderr) == (1, "ERROR - model.py: this is not a tar.gz file\n")


def test_a_disk_that_fails_is_told_without_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cli, "check", fail)
    result = run("check", "net.mar")
    assert (result.exit_code, result.stderr) == (1, "ERROR - [Errno 28] No space left on device\n")


# check


@pytest.mark.parametrize(
    ("verdict", "code", "words"),
    [
        (Verdict(True, 1.234, "handler.py"), 0, "net.mar: loads in 1.23 s (handler handler.py)\n"),
        (
            Verdict(True, 1, "h", facts={"engine": {"format": "onnx", "mode": "plan", "executor": "native"}}),
            0,
            "net.mar: loads in 1.00 s (handler h)\n  onnx, runs on the plan, native executor\n",
        ),
        (
            Verdict(True, 1, "h", facts={"engine": {"format": "", "mode": "eager", "reason": "as it branches"}}),
            0,
            "net.mar: loads in 1.00 s (handler h)\n  runs eager: as it branches\n",
        ),
        (
            Verdict(False, phase="import", error="ImportError: x", where="h.py:3", hint="install x", log="a\nb"),
            1,
            "net.mar: does not load (import): ImportError: x\n  where: h.py:3\n  hint: install x\n"
            "  its last words:\n    a\n    b\n",
        ),
    ],
)
def test_check_says_what_came_of_it(monkeypatch: pytest.MonkeyPatch, verdict: Verdict, code: int, words: str) -> None:
    monkeypatch.setattr(cli, "check", lambda file, timeout: verdict)
    result = run("check", "net.mar", "--timeout", "5")
    assert (result.exit_code, result.output) == (code, words)


# the real script


def test_the_script_packs_and_looks(project: Path) -> None:
    subprocess.run([SCRIPT, *PACK, "--serialized-file", "weights.pt"], check=True)
    again = subprocess.run([SCRIPT, *PACK, "--force"], check=True, capture_output=True, text=True)
    assert (again.stdout, again.stderr) == ("", "WARNING - Overwriting store/net.mar ...\n")
    shown = subprocess.run([SCRIPT, "inspect", "store/net.mar"], check=True, capture_output=True, text=True)
    assert "handler.py" in shown.stdout


def test_help_comes_at_once() -> None:
    def seconds() -> float:
        """Of the processor, as others may have it too."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        shown = subprocess.run([SCRIPT, "--help"], check=True, capture_output=True, text=True)
        assert all(flag in shown.stdout for flag in ("--model-name", "--extra-files", "inspect", "check"))
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(seconds() for _ in range(5)) < 0.3


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_nothing(project: Path, number: signal.Signals) -> None:
    (project / "large.txt").touch()
    os.truncate("large.txt", 4 << 30)  # a sparse file, which takes long enough
    with subprocess.Popen([SCRIPT, *PACK, "--extra-files", "large.txt", "--archive-format", "tgz"]) as process:
        while not list((project / "store").iterdir()):
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(number)
        assert process.wait(30) != 0
    assert list((project / "store").iterdir()) == []


@pytest.mark.parametrize(("size", "shown"), [(60_000_000, True), (1000, False)])
def test_a_terminal_shows_progress_of_large_files(project: Path, size: int, shown: bool) -> None:
    (project / "large.bin").touch()
    os.truncate("large.bin", size)
    ours, theirs = pty.openpty()
    subprocess.run([SCRIPT, *PACK, "--extra-files", "large.bin"], check=True, stderr=theirs, timeout=60)
    os.set_blocking(ours, False)
    try:
        printed = os.read(ours, 1 << 16)
    except BlockingIOError:
        printed = b""
    finally:
        os.close(ours)
        os.close(theirs)
    assert (b"packing" in printed and b"100%" in printed) is shown
