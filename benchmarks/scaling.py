"""How soon are there more workers, the first one of a model that sleeps, and one in place of one that has died?

    python benchmarks/scaling.py [--rounds 5]

A server of processes; medians. The last question needs CPU time to spare: where there is none, nobody is started.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import signal
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from served import ECHO, archive, serving

SLOW = (
    "import time\n\ndef handle(rows, context):\n    time.sleep(0.05 * bool(rows))\n    return [b''] * len(rows or [])\n"
)
MODELS = {
    "steady": (ECHO, "minWorkers: 1\n"),
    "ranged": (SLOW, "minWorkers: 1\nmaxWorkers: 4\nscaleDownAfter: 1\n"),
    "drowsy": (ECHO, "minWorkers: 1\nscaleToZeroAfter: 0.5\n"),
}


class Served:
    """The server under measurement."""

    def __init__(self, addresses: dict[str, str]) -> None:
        self._addresses = addresses

    def ask(self, method: str, path: str, face: str = "inference") -> tuple[int, bytes]:
        where = urlsplit(self._addresses[face])
        with closing(http.client.HTTPConnection(where.hostname or "", where.port, timeout=60)) as connection:
            connection.request(method, path, b"x" if method == "POST" else None)
            answer = connection.getresponse()
            return answer.status, answer.read()

    def described(self, name: str) -> dict[str, Any]:
        return json.loads(self.ask("GET", f"/models/{name}", "management")[1])[0]

    def ready(self, name: str) -> list[int]:
        return [worker["pid"] for worker in self.described(name)["workers"] if worker["status"] == "READY"]

    def predicts(self, name: str) -> bool:
        return self.ask("POST", f"/predictions/{name}")[0] == 200


LONGEST = 60.0
"""Seconds after which nobody is waited for."""


def seconds_until(true: Callable[[], bool]) -> float:
    began = time.perf_counter()
    while not true() and time.perf_counter() - began < LONGEST:
        time.sleep(0.002)
    return time.perf_counter() - began


def grow(served: Served) -> list[float]:
    """Seconds from the first of 16 clients to the second, third and fourth worker."""
    seconds_until(lambda: len(served.ready("ranged")) == 1)
    over = threading.Event()

    def client() -> None:
        while not over.is_set():
            served.predicts("ranged")

    clients = [threading.Thread(target=client) for _ in range(16)]
    began = time.perf_counter()
    for each in clients:
        each.start()
    found = []
    for count in (2, 3, 4):
        seconds_until(lambda count=count: len(served.ready("ranged")) >= count)
        found.append(time.perf_counter() - began)
    over.set()
    for each in clients:
        each.join()
    return found


def wake(served: Served) -> list[float]:
    """Seconds of the first request of a model that sleeps."""
    seconds_until(lambda: served.described("drowsy")["state"] == "asleep")
    return [seconds_until(lambda: served.predicts("drowsy"))]


def recover(served: Served) -> list[float]:
    """Seconds from the end of the only worker, which has served for a while, to the next answer."""
    seconds_until(lambda: served.predicts("steady"))
    time.sleep(1.2)
    os.kill(served.ready("steady")[0], signal.SIGKILL)
    return [seconds_until(lambda: served.predicts("steady"))]


def notice(served: Served) -> list[float]:
    """Seconds until a worker that is stopped has been replaced."""
    [stopped] = served.ready("steady")
    os.kill(stopped, signal.SIGSTOP)
    return [seconds_until(lambda: served.ready("steady") not in ([], [stopped]))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "store"
        store.mkdir()
        for name, (source, config) in MODELS.items():
            (Path(folder) / "handler.py").write_text(source)
            (Path(folder) / "config.yaml").write_text(config)
            files = ("--handler", Path(folder) / "handler.py", "--config-file", Path(folder) / "config.yaml")
            archive(store, name, *files)
        with serving(Path(folder), store) as addresses:
            served = Served(addresses)
            for question in (wake, recover, notice, grow):
                found = zip(*(question(served) for _ in range(rounds)), strict=True)
                figures = ", ".join(f"{statistics.median(times):.3f} s" for times in found)
                print(f"{(question.__doc__ or '').rstrip('.')}: {figures}", flush=True)


if __name__ == "__main__":
    main()
