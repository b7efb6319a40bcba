"""The numserve command: quick help, TorchServe's flags, its messages and exits."""

from __future__ import annotations

import resource
import subprocess
import sys

import click
import pytest
from numserve import __version__
from numserve.server import cli, lifecycle

HEAVY = {"fastapi", "starlette", "pydantic", "uvicorn", "psutil", "numpy", "prometheus_client", "PIL", "yaml"}
TORCHSERVE_FLAGS = {
    *("--start", "--stop", "-v", "--version", "--ts-config", "--model-store", "--workflow-store", "--models"),
    *("--log-config", "--cpp-log-config", "--foreground", "--no-config-snapshots", "--ncs", "--plugins-path"),
    *("--ppath", "--disable-token-auth", "--dt", "--enable-model-api"),
}
PYTHON = [sys.executable, "-W", "error"]


@pytest.fixture
def numserve(tmp_path, monkeypatch):
    """Run the command in this process, with a temp folder of its own; returns exit code, stdout, stderr."""
    monkeypatch.setenv("TEMP", str(tmp_path))
    monkeypatch.chdir(tmp_path)

    def run(*arguments, capsys):
        monkeypatch.setattr(sys, "argv", ["numserve", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return ended.value.code, *capsys.readouterr()

    return run


def test_every_flag_of_torchserve_is_known():
    flags = {flag for option in cli.cli.params for flag in option.opts}
    assert flags >= TORCHSERVE_FLAGS


def test_start_takes_what_the_bare_command_takes():
    verb = {option.name for option in cli.cli.commands["start"].params}
    assert verb == {option.name for option in cli.cli.params} - {"start", "stop", "version"}


def test_every_command_and_flag_says_what_it_does():
    for command in (cli.cli, *cli.cli.commands.values()):
        assert command.help
        assert all(o.help for o in command.params if isinstance(o, click.Option) and not o.hidden)


def test_help_imports_nothing_heavy():
    code = "import sys; import numserve.server.cli; print(*sys.modules)"
    loaded = subprocess.run([*PYTHON, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not HEAVY & set(loaded)


def test_help_is_quick():
    def seconds():
        """Of the processor, as others may have it too."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([*PYTHON, "-m", "numserve.server.cli", "--help"], capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(seconds() for _ in range(3)) < 0.3


@pytest.mark.parametrize(
    ("given", "spread"),
    [
        (["--models", "a", "b", "--ncs"], ["--models", "a", "--models", "b", "--ncs"]),
        (["start", "--models", "a=b.mar"], ["start", "--models", "a=b.mar"]),
        (["--models=a", "b"], ["--models=a", "--models", "b"]),
        (["--models", "a", "--models", "b"], ["--models", "a", "--models", "b"]),
        (["predict", "m", "f"], ["predict", "m", "f"]),
    ],
)
def test_models_takes_all_values_that_follow(given, spread):
    assert cli.spread(given) == spread


REFUSALS = [
    ([], "Missing mandatory parameter --model-store"),
    (["--start", "--model-store", "no"], "--model-store directory not found: no"),
    (["start", "--model-store", "no"], "--model-store directory not found: no"),
    (["--model-store", ".", "--workflow-store", "no"], "--workflow-store directory not found: no"),
    (["--model-store", ".", "--ts-config", "no"], "--ts-config file not found: no"),
    (["--model-store", ".", "--log-config", "no"], "--log-config file not found: no"),
    (["--model-store", ".", "--cpp-log-config", "no"], "--cpp-log-config file not found: no"),
]


@pytest.mark.parametrize(("arguments", "says"), REFUSALS)
def test_a_start_without_its_folders_and_files_is_refused(numserve, capsys, arguments, says):
    assert numserve(*arguments, capsys=capsys)[:2] == (1, says + "\n")


def test_a_bad_configuration_is_one_line(numserve, capsys, tmp_path):
    (tmp_path / "config.properties").write_text("\njob_queue_size=x\n")
    code, out, err = numserve("--model-store", ".", capsys=capsys)
    assert code == 1
    assert out.startswith("Invalid configuration: job_queue_size = 'x' (config.properties line 2): ")
    assert out.count("\n") == 1 and not err


def test_the_version_is_numserves(numserve, capsys):
    assert numserve("--version", capsys=capsys)[:2] == (0, f"numserve Version is {__version__}\n")


def test_start_and_stop_exclude_each_other(numserve, capsys):
    code, _, err = numserve("--start", "--stop", capsys=capsys)
    assert (code, "exclude each other" in err) == (2, True)


def test_options_stand_behind_the_command(numserve, capsys):
    code, _, err = numserve("--model-store", ".", "start", capsys=capsys)
    assert (code, "give options after the command: numserve start ..." in err) == (2, True)


def test_stop_without_a_server_says_so(numserve, capsys):
    assert numserve("--stop", capsys=capsys)[:2] == (0, "numserve is not currently running.\n")


def test_stop_removes_what_a_crash_has_left(numserve, capsys, tmp_path):
    (tmp_path / lifecycle.PID_FILE).write_text("1\n")
    out = numserve("stop", capsys=capsys)[1]
    assert out.startswith("Removing orphan pid file.\n")
    assert not (tmp_path / lifecycle.PID_FILE).exists()


def test_a_temp_folder_that_is_not_there_is_named(numserve, capsys, monkeypatch):
    monkeypatch.setenv("TEMP", "/nowhere")
    code, out, _ = numserve("--stop", capsys=capsys)
    assert (code, out) == (1, "Invalid temp directory: /nowhere, please check TEMP environment variable.\n")


@pytest.mark.parametrize("arguments", [["models"], ["status"], ["predict", "m", __file__]])
def test_questions_without_a_server_say_so(numserve, capsys, arguments):
    code, _, err = numserve(*arguments, capsys=capsys)
    assert (code, err) == (1, "numserve is not currently running.\n")


@pytest.mark.parametrize("url", ["https://h", "h:1", "http://127.0.0.1:1"])
def test_an_address_where_nobody_answers_is_named(numserve, capsys, url):
    code, _, err = numserve("models", "--url", url, capsys=capsys)
    assert code == 1
    assert url in err
    assert err.count("\n") == 1
