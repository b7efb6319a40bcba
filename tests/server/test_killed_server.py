"""A real server that is killed, or whose handlers leave processes behind: nothing of it stays."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from numserve.server import client, lifecycle
from numserve.server.lifecycle import State

LIMIT = 60.0
CONFIG = """
inference_address=http://127.0.0.1:0
management_address=http://127.0.0.1:0
metrics_address=http://127.0.0.1:0
enable_grpc=false
disable_system_metrics=true
"""


def eventually(holds: Callable[[], bool], what: Callable[[], object]) -> None:
    until = time.monotonic() + LIMIT
    while not holds():
        assert time.monotonic() < until, what()
        time.sleep(0.02)


class Server:
    """A server in the foreground with a folder of its own for everything temporary."""

    def __init__(self, archives, folder: Path) -> None:
        self.temp, self._folder, self._store = folder / "temp", folder, archives.store
        self.temp.mkdir()
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, **config: str) -> State:
        lines = "".join(f"{name}={value}\n" for name, value in config.items())
        (self._folder / "config.properties").write_text(CONFIG + lines)
        environment = os.environ | {"TEMP": str(self.temp), "OMP_NUM_THREADS": "1"}
        command = [
            sys.executable, "-P", "-m", "numserve.server.cli", "start", "--ncs", "--foreground", "--enable-model-api",
            "--models", "all", "--model-store", str(self._store),
            "--ts-config", str(self._folder / "config.properties"),
        ]  # fmt: skip
        with (self._folder / "output").open("wb") as output:
            self.process = subprocess.Popen(command, cwd=self._folder, env=environment, stdout=output, stderr=output)
        eventually(lambda: lifecycle.running(self.temp) is not None or self.process.poll() is not None, self.said)
        state = lifecycle.running(self.temp)
        assert state, self.said()
        return state

    def said(self) -> str:
        return (self._folder / "output").read_text()

    def processes(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def end(self, how: str = "terminate") -> None:
        if self.process and self.process.poll() is None:
            getattr(self.process, how)()
            self.process.wait(LIMIT)


@pytest.fixture
def server(archives, tmp_path) -> Iterator[Server]:
    made = Server(archives, tmp_path)
    with contextlib.ExitStack() as until:
        until.callback(lambda: made.end("kill"))
        yield made


def ask(state: State, body: bytes, model: str = "m") -> bytes:
    status, told = client.ask(state.inference, "POST", f"/predictions/{model}", body)
    assert status == 200, told
    return told


def test_nothing_stays_of_a_server_that_is_killed(server, archives):
    archives.make("def handle(data, context):\n    return [row['body'] for row in data or []]\n", minWorkers=2)
    for start in range(2):
        state = server.start()
        body = b"%d" % start * 200_000
        assert ask(state, body) == body
        (unpacked,) = [path for path in server.temp.glob("numserve-store-*") if [*path.iterdir()]]
        processes = server.processes()
        assert len(processes) >= 2
        mapped = [Path(f"/proc/{each.pid}/maps").read_text() for each in processes]
        assert any("/memfd:numserve" in text for text in mapped) and not any("/dev/shm/" in text for text in mapped)
        server.end("kill")
        _, alive = psutil.wait_procs(processes, timeout=LIMIT)
        assert not alive
        assert unpacked.exists()
    server.start()
    assert not unpacked.exists()
    server.end()
    assert [*server.temp.iterdir()] == []


LEAVES = """
    import os, subprocess, time

    def note(pid):
        with open({note!r}, "a") as file:
            file.write(f"{{pid}}\\n")

    def daemon(seconds):
        "Forked twice: what stays is nobody's child here, and has left before this returns."
        if between := os.fork():
            os.waitid(os.P_PID, between, os.WEXITED | os.WNOWAIT)
        else:
            os.setsid()
            if os.fork() == 0:
                os.closerange(0, 100)
                note(os.getpid())
                time.sleep(seconds)
            os._exit(0)

    def handle(data, context):
        for row in data or []:
            seconds = float(row["body"])
            daemon(seconds)
            note(subprocess.Popen(["sleep", str(seconds)], start_new_session=True).pid)
            if seconds > 1:
                os._exit(1)
        return ["done"] * len(data or [])
"""


@pytest.mark.parametrize("backend", ["process", "spawn"])
def test_what_leaves_a_workers_session_is_buried_and_ends_with_the_server(server, archives, tmp_path, backend):
    note = tmp_path / "pids"
    archives.make(LEAVES.format(note=str(note)))
    state = server.start(worker_backend=backend)
    for _ in range(3):
        ask(state, b"0.01")
    eventually(lambda: len(pids(note)) == 6, note.read_text)
    daemons = {pid for pid in pids(note) if is_child(pid, server)}
    eventually(lambda: not any(psutil.pid_exists(pid) for pid in daemons), lambda: daemons)
    client.ask(state.inference, "POST", "/predictions/m", b"600")
    eventually(lambda: len(pids(note)) == 8, note.read_text)
    left = [psutil.Process(pid) for pid in pids(note)[6:]]
    eventually(lambda: all(each.ppid() == server.process.pid for each in left), lambda: left)
    server.end()
    _, still = psutil.wait_procs(left, timeout=LIMIT)
    assert not still


def pids(note: Path) -> list[int]:
    return [int(line) for line in note.read_text().split()] if note.exists() else []


def is_child(pid: int, server: Server) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).ppid() == server.process.pid
    return False
