"""Latency and CPU time of a request as models, workers, bodies and connections grow: a table, and drawings.

    python benchmarks/growth.py [--seconds 2] [--rounds 3] [--only models workers body connections fleet] [--svg FOLDER]

One echo model is asked by `numserve bench`'s generator: by one client while idle models (1 to 1,000, without workers)
or bodies (1 KB to 100 MB) grow, by 16 while workers do; connections are opened and kept, and one of them asks. `fleet`
asks for what operators and their machines do where there are up to 10,000 models. The least of the rounds counts. The
server, its workers and the generator share the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

import psutil
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
    "fleet": (100, 1000, 10_000),
}
TITLES = {
    "models": "models",
    "workers": "workers",
    "body": "bytes of the body",
    "connections": "open connections",
    "fleet": "models",
}


@dataclass(frozen=True)
class Row:
    """What a request cost at one level: the least of the rounds."""

    level: int
    p50: float
    p99: float
    cpu: float
    throughput: float

    HEAD = "p50 ms | p99 ms | CPU µs | requests/s"

    def cells(self) -> tuple[str, ...]:
        """The row of a table, under HEAD."""
        return milliseconds(self.p50), milliseconds(self.p99), plain(self.cpu, 1e6), f"{self.throughput:.0f}"

    def seconds(self) -> dict[str, float]:
        """What is drawn."""
        return {"p50": self.p50, "p99": self.p99, "CPU": self.cpu}


@dataclass(frozen=True)
class FleetRow:
    """What so many models cost beside predictions: seconds, the least of the rounds, and bytes of memory for each."""

    level: int
    register: float
    ready: float
    page: float
    scrape: float
    beside: float
    memory: float

    HEAD = "register ms | /v2/health/ready ms | GET /models ms | /metrics ms | prediction meanwhile ms | kB a model"

    def cells(self) -> tuple[str, ...]:
        """The row of a table, under HEAD."""
        return *map(milliseconds, self.seconds().values()), f"{self.memory / 1000:.1f}"

    def seconds(self) -> dict[str, float]:
        """What is drawn."""
        return {
            "register": self.register,
            "ready": self.ready,
            "page": self.page,
            "scrape": self.scrape,
            "prediction meanwhile": self.beside,
        }


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

    def manage(self, method: str, path: str) -> float:
        """Change the models; returns the seconds that it took."""
        return self.ask(self.state.management, method, path)

    def ask(self, address: str | None, method: str, path: str, body: bytes | None = None) -> float:
        """Any request, by a connection of its own; returns the seconds that it took."""
        assert address
        began = time.perf_counter()
        status, told = client.ask(address, method, path, body)
        assert status < 300, told
        return time.perf_counter() - began

    def fleet_row(self, level: int, register: float, memory: float) -> FleetRow:
        """Measure what there is to ask, with as many models."""
        asked = [
            (self.state.inference, "/v2/health/ready"),
            (self.state.management, "/models"),
            (self.state.metrics, "/metrics"),
        ]
        ready, page, scrape = [
            min(self.ask(place, "GET", path) for _ in range(3 * self._rounds)) for place, path in asked
        ]
        return FleetRow(level, register, ready, page, scrape, self.beside_scrapes(), memory)

    def beside_scrapes(self) -> float:
        """The median of predictions while one scrape after the other is made."""
        ending = threading.Event()

        def scrape() -> None:
            while not ending.is_set():
                self.ask(self.state.metrics, "GET", "/metrics")

        thread = threading.Thread(target=scrape)
        thread.start()
        try:
            return median(
                self.ask(self.state.inference, "POST", "/predictions/echo", b"x") for _ in range(100 * self._rounds)
            )
        finally:
            ending.set()
            thread.join()


def models(at: Bench) -> Iterator[Row]:
    """The same archive under other names, without workers."""
    there = 1
    for level in LEVELS["models"]:
        for number in range(there, level):
            add(at, number)
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


def add(at: Bench, number: int) -> float:
    """One more model without workers, the same archive under another name; returns the seconds that it took."""
    return at.manage("POST", f"/models?url=echo.mar&model_name=idle{number}&initial_workers=0")


def fleet(at: Bench) -> Iterator[FleetRow]:
    """The same archive under other names, without workers; of the last ones, the quickest registration counts."""
    process = psutil.Process(at.state.pid)
    at.fleet_row(1, add(at, 1), 0)  # so that what is loaded with the first is there
    empty, there = process.memory_info().rss, 2
    for level in LEVELS["fleet"]:
        took = [add(at, number) for number in range(there, level)]
        yield at.fleet_row(level, min(took[-9:]), (process.memory_info().rss - empty) / level)
        there = level


@contextmanager
def opened(host: str, port: int, count: int) -> Iterator[None]:
    """So many connections."""
    with ExitStack() as until:
        for _ in range(count):
            idle = until.enter_context(socket.create_connection((host, port)))
            idle.sendall(b"POST /predictions/echo HTTP/1.1\r\nHost: localhost\r\n")
        yield


MEASURES: dict[str, Callable[[Bench], Iterator[Row | FleetRow]]] = {
    "models": models,
    "workers": workers,
    "body": body,
    "connections": connections,
    "fleet": fleet,
}


def drawing(name: str, rows: list[Row | FleetRow]) -> str:
    """Times over the level, as a file of its own."""
    lines = [
        Line(label, [(row.level, 1000 * row.seconds()[label]) for row in rows], [f"{row.level}" for row in rows])
        for label in rows[0].seconds()
    ]
    times = [y for line in lines for _, y in line.points]
    x = logarithmic(TITLES[name], [row.level for row in rows])
    made = chart(
        f"cost of {'operations' if name == 'fleet' else 'a request'} by {TITLES[name]}",
        x,
        logarithmic("ms a request", times),
        lines,
    )
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
        rows: list[Row | FleetRow] = []
        with tempfile.TemporaryDirectory() as folder, server(Path(folder)) as state:
            for row in MEASURES[name](Bench(state, given.seconds, given.rounds)):
                if not rows:
                    print(f"| {TITLES[name]} | {row.HEAD} |\n|{'---:|' * (2 + row.HEAD.count('|'))}")
                rows.append(row)
                print(f"| {row.level:,} |", " | ".join(row.cells()), "|", flush=True)
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
