"""The connections of a load, as asyncio protocols, and the clock of requests that are due."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import cast

from .load import Job, OpenLoop, Phase
from .wire import Answer, BadAnswer, ResponseParser

LONGEST_SLEEP = 0.1
CONNECT_TIMEOUT = 10.0


@dataclass(frozen=True, slots=True)
class Door:
    """Where connections go: a host and port, or a Unix socket's path as host and no port."""

    host: str
    port: int | None
    tls: ssl.SSLContext | None = None


class Connection(asyncio.Protocol):
    """One kept connection, with at most one request under way."""

    def __init__(self, pool: Pool) -> None:
        """Belong to a pool."""
        self._pool = pool
        self._parser = ResponseParser()
        self._job: Job | None = None
        self._used = False
        self._transport: asyncio.Transport | None = None

    @property
    def idle(self) -> bool:
        """Whether no request is under way."""
        return self._job is None

    def send(self, job: Job) -> None:
        """Send a request."""
        self._job = job
        assert self._transport is not None
        self._transport.write(job.request)

    def close(self) -> None:
        """End it; nobody is told."""
        self._job = None
        if self._transport:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is open."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own are of no such class

    def data_received(self, data: bytes) -> None:
        """Tell the phase of a whole answer."""
        try:
            answer = self._parser.feed(data)
            if answer is None:
                return
            if self._job is None:
                raise BadAnswer("an answer to nothing")
        except BadAnswer as error:
            self._broken(str(error))
        else:
            self._answered(answer)

    def connection_lost(self, error: Exception | None) -> None:
        """Tell the phase of what ends with the connection."""
        if self._job and (answer := self._parser.end()):
            self._answered(answer)
        job, self._job = self._job, None
        self._pool.gone(self)
        if not self._pool.live:
            return
        if job:
            self._pool.phase.lost(job, idle=self._used and not self._parser.begun)
            self._pool.phase.closed()
        elif isinstance(self._pool.phase, OpenLoop):
            self._pool.phase.idle_closed(self)
        else:
            self._pool.phase.closed()

    def _answered(self, answer: Answer) -> None:
        job, self._job = self._job, None
        assert job is not None
        self._used = True
        self._pool.phase.answered(self, job, answer)
        if answer.last and self._transport:
            self._transport.close()

    def _broken(self, reason: str) -> None:
        job, self._job = self._job, None
        if job:
            self._pool.phase.lost(job, idle=False, reason=f"bad answer: {reason}")
        if self._transport:
            self._transport.abort()


class Pool:
    """The connections to one server, which outlive a phase."""

    def __init__(self, door: Door) -> None:
        """Open nothing yet."""
        self._door = door
        self._lines: set[Connection] = set()
        self._opening: set[asyncio.Task[None]] = set()
        self.phase: Phase
        self.live = True

    @property
    def idle(self) -> list[Connection]:
        """The connections that a phase may begin with."""
        return [line for line in self._lines if line.idle]

    def open(self) -> None:
        """Make one more; the phase hears `ready` or `refused`."""
        task = asyncio.get_running_loop().create_task(self._connect())
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    def gone(self, line: Connection) -> None:
        """A connection has ended."""
        self._lines.discard(line)

    async def close(self) -> None:
        """End all of them."""
        self.live = False
        for task in list(self._opening):
            task.cancel()
        await asyncio.gather(*self._opening, return_exceptions=True)
        for line in list(self._lines):
            line.close()
        await asyncio.sleep(0)  # the transports' last callbacks

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        door = self._door
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                if door.port is None:
                    _, line = await loop.create_unix_connection(lambda: Connection(self), door.host)
                else:
                    _, line = await loop.create_connection(lambda: Connection(self), door.host, door.port, ssl=door.tls)
        except OSError as error:
            self.phase.refused(f"cannot connect: {error.strerror or type(error).__name__}")
            return
        self._lines.add(line)
        self.phase.ready(line)


class Pacer:
    """Tells when requests are due, to the microsecond, by a thread that sleeps: a loop's timers know milliseconds."""

    def __init__(self, arrivals: Iterator[float], seconds: float, due: Callable[[float], None]) -> None:
        """Call `due` in the running loop with each intended time; the clock is time.perf_counter."""
        self._arrivals, self._seconds, self._due = arrivals, seconds, due
        self._now_due: deque[float] = deque()
        self._ended = False
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._thread = threading.Thread(target=self._run, name="pacer", daemon=True)

    def start(self, begin: float) -> None:
        """Begin; arrivals are seconds after `begin`."""
        self._begin = begin
        asyncio.get_running_loop().add_reader(self._bell, self._ring)
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._ended = True
        asyncio.get_running_loop().remove_reader(self._bell)
        if self._thread.is_alive():
            self._thread.join()
        os.close(self._bell)

    def _run(self) -> None:
        for after in self._arrivals:
            intended = self._begin + min(after, self._seconds)
            while not self._ended and (left := intended - time.perf_counter()) > 0:
                time.sleep(min(left, LONGEST_SLEEP))
            if self._ended:
                return
            over = after >= self._seconds
            self._now_due.append(math.inf if over else intended)
            os.eventfd_write(self._bell, 1)
            if over:
                return

    def _ring(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._bell)
        while self._now_due:
            self._due(self._now_due.popleft())
