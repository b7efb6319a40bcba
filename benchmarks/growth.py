"""Latency and CPU time of a request as models, workers, bodies and connections grow: a table, and drawings.

    python benchmarks/growth.py [--seconds 2] [--rounds 3] [--only models workers body connections] [--svg FOLDER]

One echo model is asked by `numserve bench`'s generator: by one client while idle models (1 to 1,000, without workers)
or bodies (1 KB to 100 MB) grow, by 16 while workers do; connections are opened and kept, and one of them asks. The
least of the rounds counts. The server, its workers and the generator share the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from numserve.server import client, lifecycle
from numserve.server.bench import Load, Point, Target, bench
from numserve.server.bench.chart import Line, chart, logarithmic
from numserve.server.bench.connections import Door
from numserve.server.bench.observed import Observer
from numserve.server.bench.own import own_server
from numserve.server.bench.report import machine
from numserve.server.bench.style import DRAWING
from numserve.server.bench.table import milliseconds, plain
from numserve.server.bench.wire import request_bytes
from served import ECHO, archive

CONFIG = "enable_model_api=true\nmax_request_size=200000000\nmax_response_size=200000000\njob_queue_size=1000\n"
LEVELS = {
    "models": (1, 10, 100, 300, 1000),
    "workers": (1, 2, 4, 8, 16),
    "body": (1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000),
    "connections": (1, 10, 100, 1000, 5000),
}
TITLES = {"models": "models", "workers": "workers", "body": "bytes of the body", "connections": "open connections"}


@dataclass(frozen=True)
class Row:
    """What a request cost at one level: the least of the rounds."""

    level: int
    p50: float
    p99: float
    cpu: float
    throughput: float


class Bench:
    """Asks the one model of a server."""

    def __init__(self, state: lifecycle.State, seconds: float, rounds: int) -> None:
        self.state, self._seconds, self._rounds = state, seconds, rounds
        parts = urlsplit(state.inference)
        self.host, self.port = parts.hostname or "", parts.port or 0

    def row(self, level: int, size: int = 1000, clients: int = 1) -> Row:
        """Measure: the answers have to be right in number, and all 200."""
        points = [asyncio.run(self._point(size, clients)) for _ in range(self._rounds)]
        assert not any(point.failed for point in points), points
        return Row(
            level,
            min(point.latency["p50"] or 0 for point in points),
            min(point.latency["p99"] or 0 for point in points),
            min(point.server["cpu"] or 0 for point in points),
            max(point.throughput for point in points),
        )

    async def _point(self, size: int, clients: int) -> Point:
        headers = {"Content-Type": "application/octet-stream"}
        request = request_bytes("POST", "/predictions/echo", "localhost", headers, bytes(size))
        load = Load(clients, seconds=self._seconds, warmup=self._seconds / 4)
        observer = Observer(pid=self.state.pid)
        return [point async for point in bench(Target(Door(self.host, self.port), [request]), [load], observer)][0]

    def manage(self, method: str, path: str) -> None:
        """Change the models."""
        status, told = client.ask(self.state.management, method, path)
        assert status < 300, told


def models(at: Bench) -> Iterator[Row]:
    """The same archive under other names, without workers."""
    there = 1
    for level in LEVELS["models"]:
        for number in range(there, level):
            at.manage("POST", f"/models?url=echo.mar&model_name=idle{number}&initial_workers=0")
        there = level
        yield at.row(level)


def workers(at: Bench) -> Iterator[Row]:
    """Workers of the model that is asked, by 16 clients."""
    for level in LEVELS["workers"]:
        at.manage("PUT", f"/models/echo?min_worker={level}&max_worker={level}&synchronous=true")
        yield at.row(level, clients=16)


def body(at: Bench) -> Iterator[Row]:
    """Bytes that go there and come back."""
    for level in LEVELS["body"]:
        yield at.row(level, size=level)


def connections(at: Bench) -> Iterator[Row]:
    """Connections that are in the middle of a request's head; new ones for each level, as the server ends such."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 100
    for level in LEVELS["connections"]:
        with opened(at.host, at.port, min(level, most) - 1):
            yield at.row(min(level, most))


@contextmanager
def opened(host: str, port: int, count: int) -> Iterator[None]:
    """So many connections."""
    with ExitStack() as until:
        for _ in range(count):
            idle = until.enter_context(socket.create_connection((host, port)))
            idle.sendall(b"POST /predictions/echo HTTP/1.1\r\nHost: localhost\r\n")
        yield


MEASURES: dict[str, Callable[[Bench], Iterator[Row]]] = {
    "models": models,
    "workers": workers,
    "body": body,
    "connections": connections,
}


def drawing(name: str, rows: list[Row]) -> str:
    """Latency and CPU time over the level, as a file of its own."""
    lines = [
        Line(label, [(row.level, 1000 * getattr(row, key)) for row in rows], [f"{row.level}" for row in rows])
        for label, key in (("p50", "p50"), ("p99", "p99"), ("CPU", "cpu"))
    ]
    times = [y for line in lines for _, y in line.points]
    x = logarithmic(TITLES[name], [row.level for row in rows])
    made = chart(f"cost of a request by {TITLES[name]}", x, logarithmic("ms a request", times), lines)
    head, _, rest = made.partition("\n")
    return f"{head}\n<style>{DRAWING}</style>\n{rest}\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=MEASURES, default=list(MEASURES))
    parser.add_argument("--svg", type=Path, help="write a drawing for each there")
    parser.add_argument("--json", type=Path, help="write all rows there")
    given = parser.parse_args()
    told = machine()
    print(f"{told['cpu']}, {told['cores']} cores, {given.rounds} rounds of {given.seconds:g} s\n", flush=True)
    kept = {}
    for name in given.only:
        print(f"| {TITLES[name]} | p50 ms | p99 ms | CPU µs | requests/s |\n|---:|---:|---:|---:|---:|")
        rows = []
        with tempfile.TemporaryDirectory() as folder, server(Path(folder)) as state:
            for row in MEASURES[name](Bench(state, given.seconds, given.rounds)):
                rows.append(row)
                cells = milliseconds(row.p50), milliseconds(row.p99), plain(row.cpu, 1e6), f"{row.throughput:.0f}"
                print(f"| {row.level:,} |", " | ".join(cells), "|", flush=True)
        print()
        kept[name] = [vars(row) for row in rows]
        if given.svg:
            (given.svg / f"growth-{name}.svg").write_text(drawing(name, rows), encoding="utf-8")
    if given.json:
        given.json.write_text(json.dumps(kept, indent=1) + os.linesep)


@contextmanager
def server(work: Path) -> Iterator[lifecycle.State]:
    """A server with the echo model and one worker."""
    (work / "echo.py").write_text(ECHO)
    (work / "config.properties").write_text(CONFIG)
    archive(work, "echo", "--handler", work / "echo.py")
    with own_server(work / "echo.mar", "echo", 1, str(work / "config.properties")) as state:
        yield state


if __name__ == "__main__":
    main()
