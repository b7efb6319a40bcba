"""The Python of a prediction in the server's own process, without sockets and workers: all of it, and its steps.

    python benchmarks/front.py [--seconds 2] [--bytes 1000]

64 connections ask in turns, by a transport that takes everything; the worker answers with the request's body as soon as
all have asked. Microseconds for a request, the least of many short rounds: everything is in the processor's caches
then, so that a server, which shares them with its workers and clients, takes up to twice as much.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvicorn
import uvloop
from numserve.server import logs, workers
from numserve.server.api import inference_app
from numserve.server.api.direct import Direct
from numserve.server.api.listener import Listener
from numserve.server.batching.batch import TURN, Batch
from numserve.server.http.direct import DirectProtocol
from numserve.server.http.guards import Door
from numserve.server.messages import BatchReport, InferenceResponse, LoadReport
from numserve.server.metrics.metrics import Metrics
from numserve.server.registry import ModelRegistry, Registration
from numserve.server.settings import Settings
from numserve.server.workers.base import Idle, Load
from served import ECHO, archive
from uvicorn.server import ServerState

CLIENTS = 64
OCTETS = "application/octet-stream"


class Echo:
    """A worker that answers when it is told to."""

    pid = None
    available = True
    made: list[Echo] = []

    def __init__(self) -> None:
        self.made.append(self)
        self.batch: Batch | None = None

    async def run(self, load: Load, idle: Idle) -> None:
        self.idle = idle
        idle(self, LoadReport(0, 0))
        await asyncio.Event().wait()

    def send(self, batch: Batch) -> None:
        self.batch = batch

    def answer_all(self) -> None:
        while batch := self.batch:
            self.batch, report = None, BatchReport(0.0001, 0, requests=1)
            bodies = [request.parts[0].body for request in batch.requests]
            with TURN:
                batch.settle([InferenceResponse(200, "OK", OCTETS, {}, body) for body in bodies], report)
                self.idle(self, report)


class Nowhere(asyncio.Transport):
    """Takes everything."""

    def write(self, data: Any) -> None:
        self.answered = data

    def is_closing(self) -> bool:
        return False


def least(seconds: float, make: Callable[[], list[bytes]], work: Callable[[list[bytes]], object]) -> float:
    """Microseconds of work on one of what was made, at best."""
    best, until = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < until:
        made = make()
        began = time.perf_counter()
        work(made)
        best = min(best, (time.perf_counter() - began) / len(made))
    return best * 1e6


async def main(seconds: float, size: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "handler.py").write_text(ECHO)
        archive(place, "echo", "--handler", place / "handler.py")
        logs.set_up("text", "INFO", place / "logs")
        settings = Settings.load(worker_backend="echo", model_store=place, temp_dir=place)
        metrics = Metrics()
        registry = ModelRegistry(settings, metrics)
        await registry.register(Registration(url="echo.mar", initial_workers=1))
        listener = Listener(
            inference_app(registry, settings, metrics), settings, metrics, logs.AccessLog("text"), False
        )
        direct = Direct.of(listener)
        assert direct
        config = uvicorn.Config(listener, loop="none", ws="none", lifespan="off", log_config=None, access_log=False)
        make = DirectProtocol.by(direct, Door())
        protocols = [make(config=config, server_state=ServerState(), app_state={}) for _ in range(CLIENTS)]
        transports = [Nowhere() for _ in range(CLIENTS)]
        for protocol, transport in zip(protocols, transports, strict=True):
            protocol.connection_made(transport)
        numbers = itertools.count()

        def ask(requests: list[bytes]) -> None:
            for protocol, each in zip(protocols, requests, strict=True):
                protocol.data_received(each)
            Echo.made[0].answer_all()

        print("| a request | µs |\n|---|---:|")
        for name, made in {
            "whose head is known": lambda: [request(size)] * CLIENTS,
            "whose head is another one each time": lambda: [request(size, next(numbers)) for _ in range(CLIENTS)],
        }.items():
            print(f"| {name} | {least(seconds, made, ask):.1f} |")
            assert all(transport.answered.startswith(b"HTTP/1.1 200 OK\r\n") for transport in transports)
        await registry.close(0)


def request(size: int, number: int = 0) -> bytes:
    head = b"POST /predictions/echo HTTP/1.1\r\nHost: localhost:8080\r\nContent-Type: application/octet-stream\r\n"
    return b"%bX-Number: %d\r\nContent-Length: %d\r\n\r\n%b" % (head, number, size, bytes(size))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--bytes", type=int, default=1000)
    given = parser.parse_args()
    workers.BUILTIN["echo"] = "__main__:Echo"
    sys.exit(uvloop.run(main(given.seconds, given.bytes)))
