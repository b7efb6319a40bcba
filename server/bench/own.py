"""A server that runs for the length of a bench: one archive, on loopback, on ports that nobody else has."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from .. import client, lifecycle

COMMAND = (sys.executable, "-P", "-m", "numserve.server.cli")
LISTENERS = ("inference", "management", "metrics")


@contextlib.contextmanager
def own_server(archive: Path, name: str, workers: int | None, config: str | None) -> Iterator[lifecycle.State]:
    """Serve the archive under a name until the end; `config` is a configuration file whose other keys count.

    Raises: Refused, with what the server has said, where it does not start.
    """
    with tempfile.TemporaryDirectory(prefix="numserve-bench-") as folder:
        home = Path(folder)
        lines = [f"{listener}_address=http://127.0.0.1:0" for listener in LISTENERS] + ["enable_grpc=false"]
        if workers:
            lines.append(f"default_workers_per_model={workers}")
        given = Path(config).read_text(encoding="utf-8") if config else ""
        (home / "config.properties").write_text("\n".join([given, *lines, ""]), encoding="utf-8")
        environment = os.environ | {"TEMP": folder, "LOG_LOCATION": str(home / "logs")}
        environment.pop("NUMSERVE_TOKENS", None)
        flags = ("--ncs", "--model-store", str(archive.parent), "--models", f"{name}={archive.name}")
        said = _run(environment, "start", "--ts-config", str(home / "config.properties"), *flags)
        state = lifecycle.running(home)
        if state is None:
            raise client.Refused(said or "the server did not start")
        try:
            if "Failed to load model" in said:
                raise client.Refused(said)
            yield state
        finally:
            _run(environment, "stop")


def _run(environment: dict[str, str], *arguments: str) -> str:
    """What a command of ours says."""
    done = subprocess.run([*COMMAND, *arguments], env=environment, stdout=subprocess.PIPE, text=True)
    return done.stdout.strip()
