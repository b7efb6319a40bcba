"""The same predictions by HTTP and by gRPC, from one server, in turns.

    python benchmarks/protocols.py [--seconds 2] [--rounds 5] [--clients 1 8 64] [--bytes 1000 600000]

The model echoes what it is sent; one worker, batch size 1, closed loop. HTTP has a connection for each client, gRPC one
for all, by grpc.aio. Clients, server and worker share the machine, and grpc.aio takes more of it than the few lines
that speak HTTP here: so the time that the server's own process takes for a request is told, too. Best of the rounds.
"""

from __future__ import annotations

import asyncio
import os
import platform
import tempfile
import time
from pathlib import Path

import grpc
import grpc.aio
import psutil
from numserve.server.bench import Point
from numserve.server.bench.point import Record, Spent, summarize
from numserve.server.bench.report import machine
from numserve.server.bench.table import milliseconds
from served import archive, asked_for, measure, serving

HANDLER = "def handle(rows, context):\n    return rows and [bytes(next(iter(row.values()))) for row in rows]\n"
PREDICTIONS = "/org.pytorch.serve.grpc.inference.InferenceAPIsService/Predictions"
GRPC = "enable_grpc=true\ngrpc_inference_port=0\ngrpc_management_port=0\n"


def field(number: int, content: bytes) -> bytes:
    """A field of protobuf's wire: its number and type, its length, itself."""
    length, size = b"", len(content)
    while size > 127:
        length, size = length + bytes([size & 127 | 128]), size >> 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + content


async def by_http(addresses: dict[str, str], body: bytes, clients: int, seconds: float) -> Point:
    head = f"PUT /predictions/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
    return await measure(addresses["inference"], head.encode() + body, clients, seconds)


async def by_grpc(addresses: dict[str, str], body: bytes, clients: int, seconds: float) -> Point:
    request = field(1, b"echo") + field(3, field(1, b"data") + field(2, body))
    record = Record()
    began = time.perf_counter()
    async with grpc.aio.insecure_channel(addresses["grpc_inference"]) as channel:
        predict = channel.unary_unary(PREDICTIONS)

        async def client() -> None:
            while (sent := time.perf_counter()) < began + seconds:
                answer = await predict(request)
                assert len(answer) > len(body)
                record.answered(200, time.perf_counter() - sent)

        await asyncio.gather(*(client() for _ in range(clients)))
    return summarize("closed", clients, None, record, time.perf_counter() - began, 0, Spent())


PROTOCOLS = {"HTTP": by_http, "gRPC": by_grpc}


def main() -> None:
    given = asked_for(__doc__, [1000, 600_000])
    with tempfile.TemporaryDirectory() as folder:
        work, store = Path(folder), Path(folder) / "store"
        store.mkdir()
        (work / "handler.py").write_text(HANDLER)
        archive(store, "echo", "--handler", work / "handler.py")
        about = f"{machine()['cpu']}, {os.cpu_count()} cores, Python {platform.python_version()}"
        print(f"{about}, grpcio {grpc.__version__}\n")
        print(
            "| bytes | clients | protocol | requests/s | p50 ms | p99 ms | server µs |\n|---|---|---|---|---|---|---|"
        )
        with serving(work, store, GRPC) as addresses:
            [server] = [each for each in psutil.process_iter() if str(work / "config.properties") in _command(each)]
            for size in given.bytes:
                for clients in given.clients:
                    for line in compare(addresses, server, os.urandom(size), clients, given.rounds, given.seconds):
                        print(line, flush=True)


def compare(
    addresses: dict[str, str], server: psutil.Process, body: bytes, clients: int, rounds: int, seconds: float
) -> list[str]:
    """A line for each protocol: the best of its rounds, each figure by itself."""
    runs: dict[str, list[tuple[Point, float]]] = {name: [] for name in PROTOCOLS}
    for _ in range(rounds):
        for name, run in PROTOCOLS.items():
            before = sum(server.cpu_times()[:2])
            row = asyncio.run(run(addresses, body, clients, seconds))
            runs[name].append((row, (sum(server.cpu_times()[:2]) - before) / row.answered))
    return [
        f"| {len(body)} | {clients} | {name} | {max(point.throughput for point, _ in found):.0f} | "
        f"{least(found, 'p50')} | {least(found, 'p99')} | {min(cpu for _, cpu in found) * 1e6:.0f} |"
        for name, found in runs.items()
    ]


def least(found: list[tuple[Point, float]], share: str) -> str:
    """The least of the rounds, in milliseconds."""
    return milliseconds(min(point.latency[share] or 0 for point, _ in found))


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


if __name__ == "__main__":
    main()
