"""A peer that runs: its start to the first answer, its processes, its end."""

from __future__ import annotations

import contextlib
import ctypes
import http.client
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
from numserve.server.bench.observed import Observer, cpu_of
from numserve.server.bench.point import Spent

from .peer import HERE, HOME, Given, Peer, Start, free_ports

PR_SET_CHILD_SUBREAPER = 36  # prctl(2)
START_SECONDS = 60.0
STOP_SECONDS = 5.0


class NoAnswer(Exception):
    """It did not start; tells the end of what it has said."""


@dataclass(frozen=True)
class Running:
    """A server that has answered once."""

    port: int
    process: subprocess.Popen[bytes]
    cold_start: float
    """Seconds from its start to its first answer."""
    answer: bytes
    worker: Path
    """Where its worker has written its process id."""

    def pss(self) -> int:
        """Bytes of memory of all its processes, shared pages by parts."""
        return sum(_pss(process) for process in family())


class Spending(Observer):
    """Reads the CPU time of all processes of the peer; or of its front alone."""

    def __init__(self, front: int | None = None) -> None:
        super().__init__()
        self._front = front

    def read(self) -> Spent:
        if self._front:
            times = psutil.Process(self._front).cpu_times()
            return Spent(cpu=times.user + times.system)
        return Spent(cpu=sum(cpu_of(child.pid) or 0 for child in psutil.Process().children()))


def adopt() -> None:
    """From now on every descendant stays one, whatever becomes of its parents: so none is missed and none is left."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


def family() -> list[psutil.Process]:
    """All processes of the peer that runs: there is one at a time."""
    return psutil.Process().children(recursive=True)


@contextlib.contextmanager
def running(peer: Peer, model: str, given: Given, store: Path) -> Iterator[Running]:
    """Start a peer with one model and one worker, wait for its first answer, and end all its processes at last.

    Raises: NoAnswer.
    """
    with tempfile.TemporaryDirectory(prefix="peer-") as folder:
        work = Path(folder)
        [port] = free_ports(1)
        command = peer.command(Start(model, port, work, store))
        worker = work / "worker"
        with (work / "said").open("wb") as said:
            began = time.perf_counter()
            process = subprocess.Popen(
                command, cwd=work, env=_environment(peer, model, work, store), stdin=subprocess.DEVNULL,
                stdout=said, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        try:
            answer = _first_answer(process, port, peer.ask(model, given))
            if answer is None:
                raise NoAnswer(f"{peer.name}, {model}: " + (work / "said").read_text(errors="replace")[-2000:])
            yield Running(port, process, time.perf_counter() - began, answer, worker)
        finally:
            _end(process)


def _environment(peer: Peer, model: str, work: Path, store: Path) -> dict[str, str]:
    """As many threads as cores, nothing that pins an old kernel of BLAS, homes and scratch of its own."""
    places = dict.fromkeys(("HOME", "TMPDIR", "TEMP", "LOG_LOCATION", "METRICS_LOCATION", "BENTOML_HOME"), str(work))
    path = f"{HOME / peer.name / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return {
        **places,
        "PATH": path,
        "LANG": "C.UTF-8",
        "OMP_NUM_THREADS": str(os.cpu_count()),
        **({} if peer.ours else {"PYTHONPATH": os.pathsep.join(map(str, (HERE / "shared", HERE / peer.name)))}),
        "PEER_MODEL": model,
        "PEER_PID": str(work / "worker"),
        "PEER_WEIGHTS": str(store / "resnet18.pth"),
    }


def _first_answer(process: subprocess.Popen[bytes], port: int, asked: tuple[str, str, bytes]) -> bytes | None:
    path, content_type, body = asked
    until = time.perf_counter() + START_SECONDS
    while time.perf_counter() < until and process.poll() is None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=START_SECONDS)
        with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
            connection.request("POST", path, body, {"Content-Type": content_type})
            answer = connection.getresponse()
            if answer.status == 200:
                return answer.read()
        time.sleep(0.01)
    return None


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask the server to stop, and end what is left of its family after a while."""
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(STOP_SECONDS)
    while left := family():
        for each in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()
        psutil.wait_procs(left)


def _pss(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except psutil.Error:
        return 0
