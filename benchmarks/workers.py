"""What a worker costs: its start, memory, a round trip by size; what the batcher adds to a request, or to refuse one.

    python benchmarks/workers.py [--loop uvloop|asyncio] [--rounds 2000]

One worker process on an echo handler, one request under way at a time. Bodies above 4 KB are answered with two bytes.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import statistics
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import get_args

import psutil
import uvloop
from numserve.server.batching.batch import Batch
from numserve.server.batching.batcher import Batcher
from numserve.server.errors import QueueFull
from numserve.server.messages import BatchReport, InferenceRequest, InferenceResponse, ModelSpec, Needs, Part, Report
from numserve.server.metrics.metrics import Metrics
from numserve.server.workers.base import Load, Worker
from numserve.server.workers.process import ProcessWorker, SpawnedWorker

ECHO = "def handle(data, context):\n    return [b'ok' if len(r['body']) > 4096 else r['body'] for r in data or []]\n"
SIZES = (1_000, 100_000, 600_000, 10_000_000)
STARTS = 5
WAITING = (100, 10_000)


class Process:
    """A worker under way behind a batcher of its own."""

    def __init__(self, folder: Path, kind: type[ProcessWorker] = ProcessWorker, needs: Needs = "python") -> None:
        counted = Metrics("benchmark").model("m", "1.0")
        self.batcher = Batcher(asyncio.get_running_loop(), counted, batch_size=1, max_delay=0, limit=10)
        self.batcher.open()
        self.ready: asyncio.Future[Report] = asyncio.get_running_loop().create_future()
        load = Load(ModelSpec("m", "1.0", str(folder), "handler", needs=needs), "W-9000-m_1.0")
        self.worker = kind()
        self.task = asyncio.ensure_future(self.worker.run(load, self.idle))

    def idle(self, worker: Worker, report: Report) -> None:
        if not self.ready.done():
            self.ready.set_result(report)
        self.batcher.idle(worker)

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.wait([self.task])


def request(body: bytes) -> InferenceRequest:
    headers = {"content-type": "application/octet-stream", "url_path": "", "explain": "False"}
    return InferenceRequest("8f9f2d1e", (Part("body", None, body),), headers)


class Immediate:
    """A worker without a process: what is left is the batcher's own cost."""

    available = True

    def __init__(self, batcher: Batcher) -> None:
        self.batcher = batcher
        batcher.idle(self)

    def send(self, batch: Batch) -> None:
        batch.settle([InferenceResponse(200, "", None, {}, b"ok")] * len(batch.requests), BatchReport(0, 0))
        asyncio.get_running_loop().call_soon(self.batcher.idle, self)


async def measure(rounds: int) -> None:
    """Print the tables."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "handler.py").write_text(ECHO)
        for kind in (ProcessWorker, SpawnedWorker):
            for needs in get_args(Needs):
                await starts(folder, kind, needs)
        process = Process(folder)
        await process.ready
        for size in SIZES:
            await round_trips(process.batcher, size, rounds if size < 1_000_000 else max(20, rounds // 40))
        await process.stop()
    counted = Metrics("benchmark").model("m", "1.0")
    batcher = Batcher(asyncio.get_running_loop(), counted, batch_size=1, max_delay=0, limit=10)
    batcher.open()
    Immediate(batcher)
    await round_trips(batcher, 0, rounds)
    for waiting in WAITING:
        refusals(Batcher(asyncio.get_running_loop(), counted, batch_size=1, max_delay=0, limit=waiting), rounds)


async def starts(folder: Path, kind: type[ProcessWorker], needs: Needs) -> None:
    """Print what starting and stopping a worker takes; the first one, which also waits for the zygote, by itself."""
    took, stops, memory = [], [], []
    for _ in range(STARTS + 1):
        began = time.perf_counter()
        process = Process(folder, kind, needs)
        await process.ready
        took.append(time.perf_counter() - began)
        memory.append(psutil.Process(process.worker.pid).memory_full_info().pss / 1e6)
        began = time.perf_counter()
        await process.stop()
        stops.append(time.perf_counter() - began)
    start, stop, pss = statistics.median(took[1:]), statistics.median(stops), statistics.median(memory)
    print(
        f"{kind.__name__:13} {needs:6}: start {start * 1000:.0f} ms (the first {took[0] * 1000:.0f}), "
        f"stop {stop * 1000:.1f} ms, {pss:.0f} MB (PSS)"
    )


async def round_trips(batcher: Batcher, size: int, rounds: int) -> None:
    asked, times = request(os.urandom(size)), []
    for _ in range(rounds):
        began = time.perf_counter()
        await batcher.submit(asked)
        times.append(time.perf_counter() - began)
        await asyncio.sleep(0)
    times.sort()
    what = f"{size:>10} bytes" if size else "  without a process"
    print(f"{what}: p50 {times[rounds // 2] * 1e6:8.0f} us   p99 {times[int(rounds * 0.99)] * 1e6:8.0f} us")


def refusals(batcher: Batcher, rounds: int) -> None:
    """Print what it takes to be refused by a full queue."""
    batcher.open()
    asked, times = request(b""), []
    answers = [batcher.submit(asked) for _ in range(batcher.limit)]
    for _ in range(rounds):
        began = time.perf_counter()
        with suppress(QueueFull):
            batcher.submit(asked)
        times.append(time.perf_counter() - began)
    for answer in answers:
        answer.cancel()
    batcher.close()
    times.sort()
    print(f"  refused while {batcher.limit:>6} wait: p50 {times[rounds // 2] * 1e6:.1f} us")


def main() -> None:
    """Read the arguments and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--loop", choices=("uvloop", "asyncio"), default="uvloop")
    parser.add_argument("--rounds", type=int, default=2000)
    arguments = parser.parse_args()
    print(f"{platform.python_implementation()} {platform.python_version()}, {os.cpu_count()} cores, {arguments.loop}")
    run = uvloop.run if arguments.loop == "uvloop" else asyncio.run
    run(measure(arguments.rounds))


if __name__ == "__main__":
    main()
