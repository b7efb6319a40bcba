"""What is measured of a peer that runs: points of load, the death of its only worker, and too many clients."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import signal
import statistics
import time
from dataclasses import dataclass

from numserve.server.bench import Load, Point, Target, bench
from numserve.server.bench.connections import Door, Pool
from numserve.server.bench.load import ClosedLoop, Job, Line
from numserve.server.bench.wire import Answer, BadAnswer, ResponseParser

from .running import Running, Spending
from .shared.models import SLOW_SECONDS

RECOVERY_CLIENTS = 8
RECOVERY_SECONDS = 15.0
"""How long a server may take to serve again."""
PATIENCE = 2.0
"""Seconds that a client waits for an answer while workers die."""
CROWD = 512
FRESH_SECONDS = 10.0
"""How long a request may wait once the crowd has left."""


def point(server: Running, request: bytes, clients: int, seconds: float, warmup: float, front: bool = False) -> Point:
    """A point of a closed loop; its CPU time is that of all processes, or of the server's own alone."""
    spending = Spending(server.process.pid if front else None)
    load = Load(clients, seconds=seconds, warmup=warmup)
    return asyncio.run(_point(Target(Door("127.0.0.1", server.port), [request]), load, spending))


async def _point(target: Target, load: Load, spending: Spending) -> Point:
    return [each async for each in bench(target, [load], spending)][0]


@dataclass(frozen=True)
class Recovery:
    """What clients saw of the death of the only worker."""

    back: float
    """Seconds from the kill to the first answer 200 to a request that was sent after it; infinite: none came."""
    errors: int
    """Requests since the kill that were not answered 200, or not in time."""


def recovery(server: Running, request: bytes) -> Recovery:
    """Kill the worker under the load of some clients, each of which waits a little after an error."""
    return asyncio.run(_recovery(server, request))


async def _recovery(server: Running, request: bytes) -> Recovery:
    seen: list[tuple[float, float, bool]] = []
    clients = [asyncio.create_task(_client(server.port, request, seen)) for _ in range(RECOVERY_CLIENTS)]
    await asyncio.sleep(0.5)
    killed = time.perf_counter()
    os.kill(int(server.worker.read_text()), signal.SIGKILL)
    back = math.inf
    while math.isinf(back) and time.perf_counter() < killed + RECOVERY_SECONDS:
        await asyncio.sleep(0.1)
        back = min((ended - killed for sent, ended, good in seen if good and sent > killed), default=math.inf)
    await asyncio.sleep(PATIENCE)  # requests that were lost are known as such by then
    for client in clients:
        client.cancel()
    await asyncio.gather(*clients, return_exceptions=True)
    return Recovery(back, sum(not good for _, ended, good in seen if ended > killed))


async def _client(port: int, request: bytes, seen: list[tuple[float, float, bool]]) -> None:
    """Ask over a kept connection, and over a new one after an error; when each was sent, ended, and whether 200."""
    while True:
        good, sent = True, time.perf_counter()
        try:
            async with contextlib.AsyncExitStack() as closing:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                closing.callback(writer.close)
                while good:
                    sent = time.perf_counter()
                    writer.write(request)
                    async with asyncio.timeout(PATIENCE):  # wait_for() of Python 3.11 may miss that it is cancelled
                        good = await _status(reader) == 200
                    seen.append((sent, time.perf_counter(), good))
        except (OSError, BadAnswer, TimeoutError):
            seen.append((sent, time.perf_counter(), False))
        await asyncio.sleep(0.02)


async def _status(reader: asyncio.StreamReader) -> int:
    """The status of an answer that has come whole."""
    parser = ResponseParser()
    while data := await reader.read(1 << 16):
        if answer := parser.feed(data):
            return answer.status
    raise ConnectionResetError("no answer")


@dataclass(frozen=True)
class Overload:
    """What became of too many clients."""

    goodput: float
    """Answers 200, as a share of what one worker can give."""
    refused: int
    refusal: float
    """Seconds to a refusal, in the middle; NaN: there was none."""
    left: int
    """Requests without any answer when the clients left."""
    fresh: float
    """Seconds from then to the first answer 200 to somebody else; infinite: too long."""


class Crowd(ClosedLoop):
    """A closed loop that keeps how long refusals took."""

    def __init__(self, *arguments: object, **keywords: object) -> None:
        super().__init__(*arguments, **keywords)  # type: ignore[arg-type]
        self.refusals: list[float] = []

    @property
    def left(self) -> int:
        return self._under_way

    def answered(self, line: Line, job: Job, answer: Answer) -> None:
        if answer.status != 200:
            self.refusals.append(self._clock() - job.intended)
        super().answered(line, job, answer)


def overload(server: Running, request: bytes, seconds: float) -> Overload:
    """A crowd asks for a slow model and leaves at once; then somebody else asks."""
    return asyncio.run(_overload(server, request, seconds))


async def _overload(server: Running, request: bytes, seconds: float) -> Overload:
    pool = Pool(Door("127.0.0.1", server.port))
    crowd = Crowd([request], open_line=pool.open)
    pool.phase = crowd
    crowd.start(CROWD)
    await asyncio.sleep(seconds)
    good, left = len(crowd.record.latencies), crowd.left
    await pool.close()
    fresh = await _fresh(server.port, request)
    refusal = statistics.median(crowd.refusals) if crowd.refusals else math.nan
    return Overload(good * SLOW_SECONDS / seconds, len(crowd.refusals), refusal, left, fresh)


async def _fresh(port: int, request: bytes) -> float:
    """Seconds until an answer 200; a refusal is followed by the next try."""
    sent = time.perf_counter()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(FRESH_SECONDS):
            while True:
                with contextlib.suppress(OSError, BadAnswer):
                    reader, writer = await asyncio.open_connection("127.0.0.1", port)
                    with contextlib.closing(writer):
                        writer.write(request)
                        if await _status(reader) == 200:
                            return time.perf_counter() - sent
                await asyncio.sleep(0.005)
    return math.inf
