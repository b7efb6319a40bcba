"""What `check` makes of a process that loads, that does not, and that dies."""

import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from numserve.archiver import ArchiveError, ModelArchiverConfig, pack, trial
from numserve.archiver.trial import Verdict, check

Config = Callable[..., ModelArchiverConfig]
Trial = Callable[..., Verdict]


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary folders go during the test."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def tried(project: Path, scratch: Path, config: Config, monkeypatch: pytest.MonkeyPatch) -> Trial:
    """Check an archive with a program in place of the one that loads models."""

    def run(program: str, timeout: float = 30) -> Verdict:
        monkeypatch.setattr(trial, "PROGRAM", ("-c", "import json, os, sys\n" + program))
        verdict = check(pack(config(force=True)), timeout)
        assert os.listdir(scratch) == []
        return verdict

    return run


def test_a_report_becomes_the_verdict(tried: Trial) -> None:
    report = {
        "ok": False, "phase": "import", "error": "ImportError: no x", "where": "handler.py:3", "hint": "pip install x",
        "seconds": 1.5, "handler": "handler",
    }  # fmt: skip
    verdict = tried(f"print('loading'); print({json.dumps(report)!r}); print('log', file=sys.stderr); sys.exit(1)")
    assert verdict == Verdict(
        ok=False, phase="import", error="ImportError: no x", where="handler.py:3", hint="pip install x", seconds=1.5,
        handler="handler", log="log",
    )  # fmt: skip


def test_the_program_is_given_the_unpacked_model(tried: Trial) -> None:
    verdict = tried(
        "print(json.dumps({'ok': True, 'seconds': 0, 'handler': ' '.join(sorted(os.listdir(sys.argv[1])))}))"
    )
    assert verdict.ok and verdict.handler == "MAR-INF handler.py weights.pt"


@pytest.mark.parametrize(
    ("program", "error", "hint"),
    [
        ("os.kill(os.getpid(), 9)", "ended by SIGKILL before it could report", "memory runs out"),
        ("os.kill(os.getpid(), 11)", "ended by SIGSEGV before it could report", "compiled library"),
        ("os.kill(os.getpid(), 40)", "ended by signal 40 before it could report", "sys.exit"),
        ("os._exit(3)", "ended with exit code 3 before it could report", "sys.exit"),
        ("print('bye')", "ended with exit code 0 before it could report", "sys.exit"),
        ("print('[1]')", "ended with exit code 0 before it could report", "sys.exit"),
        ("print('{}')", "ended with exit code 0 before it could report", "sys.exit"),
    ],
)
def test_a_process_that_dies_is_a_finding(tried: Trial, program: str, error: str, hint: str) -> None:
    verdict = tried(program)
    assert not verdict.ok and error in verdict.error and hint in verdict.hint


def test_a_process_that_takes_too_long_is_ended_with_its_children(tried: Trial, tmp_path: Path) -> None:
    started = time.monotonic()
    verdict = tried(
        f"import subprocess; child = subprocess.Popen(['sleep', '60']); open({str(tmp_path / 'pid')!r}, 'w')"
        ".write(str(child.pid)); print('waiting', file=sys.stderr, flush=True); child.wait()",
        timeout=1.5,
    )
    assert (verdict.ok, verdict.error, verdict.log) == (False, "it was not loaded after 1.5 s", "waiting")
    assert time.monotonic() - started < 20
    state = Path("/proc", (tmp_path / "pid").read_text(), "stat")
    assert not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z"


def test_an_archive_that_cannot_be_unpacked_is_an_error(scratch: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.mar").write_bytes(b"no zip")
    with pytest.raises(ArchiveError, match="broken.mar: this is not a ZIP file"):
        check(tmp_path / "broken.mar")
    assert os.listdir(scratch) == []


def test_a_real_archive_is_tried_by_the_handlers_package(project: Path, config: Config) -> None:
    assert check(pack(config(serialized_file=None))).ok
    (project / "handler.py").write_text("import module_that_is_nowhere\n")
    verdict = check(pack(config(serialized_file=None, force=True)))
    assert not verdict.ok and "module_that_is_nowhere" in verdict.error
    assert "handler.py:1" in verdict.where
