"""Whether an archive would load: `model-archiver check` tries it out in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from .archive import unpack
from .limits import DEFAULT_LIMITS, Limits

PROGRAM = ("-m", "numserve.handlers.check")
REPORT_BYTES = 1 << 16
"""The end of what the process printed, which is looked through for its report."""
SHOWN_LINES = 20


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of loading a model once."""

    ok: bool
    seconds: float = 0.0
    handler: str = ""
    phase: str = ""
    error: str = ""
    where: str = ""
    hint: str = ""
    log: str = ""
    """The last lines that the process wrote to standard error."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What else it reports."""


def check(source: Path, timeout: float = 120, limits: Limits = DEFAULT_LIMITS) -> Verdict:
    """Unpack the archive to a private folder, load its model there, and take it all away again.

    Raises: ArchiveError where it cannot be unpacked; whatever the model does is a Verdict.
    """
    with tempfile.TemporaryDirectory(prefix="model-archiver-") as folder:
        model = Path(folder, "model")
        unpack(source, model, limits)
        return attempt_folder(model, timeout)


def attempt_folder(model: Path, timeout: float) -> Verdict:
    """Load the model in a folder of unpacked files."""
    return attempt([*PROGRAM, str(model)], timeout)


def attempt(program: Sequence[str], timeout: float) -> Verdict:
    """Have Python run a program that ends its output with a report, and wait for it so many seconds at most."""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as log:
        code = _run(program, timeout, output, log)
        report = _report(_tail(output))
        lines = "\n".join(_tail(log).splitlines()[-SHOWN_LINES:])
    if code is None:
        return Verdict(False, timeout, phase="load", error=f"it was not loaded after {timeout:g} s", log=lines)
    if report is None:
        return Verdict(False, phase="load", error=_ending(code), hint=_ending_hint(code), log=lines)
    return _verdict(report, lines)


def _run(program: Sequence[str], timeout: float, output: IO[bytes], log: IO[bytes]) -> int | None:
    """The exit code of the trial; None where it took too long and was ended, with all that it started."""
    process = subprocess.Popen(
        [sys.executable, "-P", *program],  # -P: a file where the caller stands must not hide a module
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=log,
        start_new_session=True,
    )
    try:
        return process.wait(timeout)
    except subprocess.TimeoutExpired:
        return None
    finally:
        _end_group(process)


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """End the process and what it has started; its session bears its id."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    finally:
        process.wait()


def _tail(file: IO[bytes]) -> str:
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - REPORT_BYTES))
    return file.read().decode(errors="replace")


def _report(output: str) -> dict[str, Any] | None:
    """The JSON object on the last line, where there is one."""
    lines = output.strip().splitlines()
    try:
        report = json.loads(lines[-1]) if lines else None
    except ValueError:
        return None
    return report if isinstance(report, dict) and isinstance(report.get("ok"), bool) else None


def _verdict(report: dict[str, Any], log: str) -> Verdict:
    seconds = report.get("seconds")
    texts = {key: str(report.get(key) or "") for key in ("handler", "phase", "error", "where", "hint")}
    facts = {key: value for key, value in report.items() if key not in {"ok", "seconds", *texts}}
    return Verdict(report["ok"], seconds if isinstance(seconds, (int, float)) else 0.0, log=log, facts=facts, **texts)


def _ending(code: int) -> str:
    """An exit code in words."""
    if code >= 0:
        return f"the process ended with exit code {code} before it could report"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"the process was ended by {name} before it could report"


def _ending_hint(code: int) -> str:
    return {
        -signal.SIGKILL: "the system ends processes so when memory runs out",
        -signal.SIGSEGV: "a compiled library that the model uses has crashed",
        -signal.SIGABRT: "a compiled library that the model uses has given up",
    }.get(code, "look for sys.exit() or os._exit() in the handler and the model file")
