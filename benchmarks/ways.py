"""The two ways of a prediction through one server, in turns: from the parser's events, and by ASGI.

    python benchmarks/ways.py [--seconds 2] [--rounds 5] [--clients 1 8 64] [--bytes 1000 100000]

The model echoes what it is sent; one worker, batch size 1, closed loop. A path that ends with `?` means the same and
goes the long way. Clients, server and worker share the machine, so the processor time that the server's own process
takes for a request says more than requests a second. Best of the rounds.
"""

from __future__ import annotations

import asyncio
import os
import platform
import tempfile
from pathlib import Path

import psutil
from numserve.server.bench import Point
from numserve.server.bench.report import machine
from numserve.server.bench.table import milliseconds
from served import ECHO, archive, asked_for, measure, serving

WAYS = {"short": "/predictions/echo", "long": "/predictions/echo?"}


def main() -> None:
    given = asked_for(__doc__, [1000, 100_000])
    print(f"{machine()['cpu']}, {os.cpu_count()} cores, Python {platform.python_version()}\n")
    print("| body | clients | way | requests/s | p50 ms | server's CPU µs |\n|---:|---:|---|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as folder:
        work, store = Path(folder), Path(folder) / "store"
        store.mkdir()
        (work / "handler.py").write_text(ECHO)
        archive(store, "echo", "--handler", work / "handler.py")
        with serving(work, store) as addresses:
            server = psutil.Process(int((work / "tmp" / ".numserve.pid").read_text()))
            for size in given.bytes:
                for clients in given.clients:
                    compare(addresses["inference"], server, size, clients, given.rounds, given.seconds)


def compare(address: str, server: psutil.Process, size: int, clients: int, rounds: int, seconds: float) -> None:
    """A line for each way: the best of its rounds, each figure by itself."""
    runs: dict[str, list[tuple[Point, float]]] = {way: [] for way in WAYS}
    for _ in range(rounds):
        for way, path in WAYS.items():
            head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/octet-stream\r\n"
            request = f"{head}Content-Length: {size}\r\n\r\n".encode() + bytes(size)
            before = sum(server.cpu_times()[:2])
            point = asyncio.run(measure(address, request, clients, seconds))
            runs[way].append((point, (sum(server.cpu_times()[:2]) - before) / point.answered))
    for way, found in runs.items():
        p50 = milliseconds(min(point.latency["p50"] or 0 for point, _ in found))
        rate, cpu = max(point.throughput for point, _ in found), min(cpu for _, cpu in found) * 1e6
        print(f"| {size} | {clients} | {way} | {rate:.0f} | {p50} | {cpu:.0f} |", flush=True)


if __name__ == "__main__":
    main()
