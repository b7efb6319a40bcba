"""Load in closed and open loop over kept connections, without a task for each request.

A phase decides when requests go out; it knows a clock and connections, and nothing of asyncio.
"""

from __future__ import annotations

import itertools
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from .point import Record
from .wire import Answer

LOST = "connection lost"
LATE = "no answer in time"


@dataclass(slots=True)
class Job:
    """A request on its way; `intended` is when it was meant to be sent, on the phase's clock."""

    request: bytes
    intended: float
    resent: bool = False


class Line(Protocol):
    """A connection that carries one request at a time."""

    def send(self, job: Job) -> None:
        """Send the request; the phase is told of the answer, or of its loss."""


class Phase:
    """Sends requests until it has sent enough, and counts what comes back."""

    def __init__(
        self,
        requests: Sequence[bytes],
        seconds: float = math.inf,
        count: float = math.inf,
        *,
        open_line: Callable[[], None],
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Send the requests in turns for so many seconds, or until there were `count`.

        `open_line` asks for one more connection: `ready` or `refused` follows.
        """
        self.record = Record()
        self.on_finished: Callable[[], None] = lambda: None
        self._request = itertools.cycle(requests).__next__
        self._left = count
        self._seconds = seconds
        self._open_line = open_line
        self._clock = clock
        self._under_way = 0
        self._over = False
        self.begin = self.end = self.last_sent = clock()

    @property
    def finished(self) -> bool:
        """Whether all is sent and answered."""
        return self._over and not self._under_way

    @property
    def quiet_since(self) -> float:
        """When the last thing happened that is worth waiting on for an answer."""
        return max(self.end, self.last_sent) if self._under_way else self._clock()

    @property
    def elapsed(self) -> float:
        """Seconds from the start to the last answer, and no less than it was to take."""
        planned = self._seconds if math.isfinite(self._seconds) and self._left > 0 else 0.0
        return max(self.end - self.begin, planned, 1e-9)

    def ready(self, line: Line) -> None:
        """A connection is free."""
        raise NotImplementedError

    def answered(self, line: Line, job: Job, answer: Answer) -> None:
        """A request is answered; its connection is free, unless it ends."""
        self.record.answered(answer.status, self._clock() - job.intended)
        self._settled()
        if not answer.last and not self.finished:
            self.ready(line)

    def lost(self, job: Job, idle: bool, reason: str = LOST) -> None:
        """A connection has ended before its answer.

        `idle`: the server may have closed it, unused, before the request came; then it is sent once more.
        """
        if idle and not job.resent:
            job.resent = True
            self.record.resent += 1
            self.again(job)
            return
        self.record.failed(reason)
        self._settled()

    def again(self, job: Job) -> None:
        """Send a request by another connection."""
        raise NotImplementedError

    def closed(self) -> None:
        """A connection is gone, after its answer or without."""

    def refused(self, reason: str) -> None:
        """A connection could not be made."""
        raise NotImplementedError

    def abandon(self) -> None:
        """No answer comes any more: count what is missing."""
        self._over = True
        for _ in range(self._under_way):
            self.record.failed(LATE)
        self._under_way = 0
        self.end = self._clock()
        self._finish()

    def _job(self, intended: float) -> Job | None:
        """The next request; None when there were enough."""
        if self._over or self._left <= 0 or intended - self.begin >= self._seconds:
            self._over = True
            self._finish()
            return None
        self._left -= 1
        self._under_way += 1
        self.last_sent = intended
        return Job(self._request(), intended)

    def _settled(self) -> None:
        self._under_way -= 1
        self.end = self._clock()
        self._finish()

    def _finish(self) -> None:
        if self.finished:
            self.on_finished()


class ClosedLoop(Phase):
    """Each client has a connection, and sends its next request when it has the answer to the last."""

    def start(self, clients: int, lines: Sequence[Line] = ()) -> None:
        """Begin with so many clients, over the connections there are and others."""
        self.begin = self.end = self._clock()
        self._clients = clients
        self._again: deque[Job] = deque()
        for line in lines[:clients]:
            self.ready(line)
        for _ in range(clients - len(lines)):
            self._open_line()

    def ready(self, line: Line) -> None:
        """Send the client's next request."""
        job = self._again.popleft() if self._again else self._job(self._clock())
        if job:
            line.send(job)

    def again(self, job: Job) -> None:
        """The connection that comes instead of the lost one takes it."""
        self._again.append(job)

    def closed(self) -> None:
        """The client needs another connection."""
        if not self.finished:
            self._open_line()

    def refused(self, reason: str) -> None:
        """One client fewer; a request that was to be sent again is lost."""
        if self._again:
            self._again.popleft()
            self._under_way -= 1
        self.record.failed(reason)
        self._clients -= 1
        self._over = self._over or not self._clients
        self._finish()


class OpenLoop(Phase):
    """Requests go out when they are due, whatever became of those before.

    Latency counts from when a request was due: waiting for a connection, or for a generator that is late, is waiting.
    """

    def start(self, connections: int, lines: Sequence[Line] = ()) -> None:
        """Begin; at most so many connections, and those there are."""
        self.begin = self.end = self._clock()
        self._free = list(lines)
        self._lines = len(lines)
        self._connections = connections
        self._waiting: deque[Job] = deque()

    def due(self, intended: float) -> None:
        """The time of a request has come; infinite: no more come."""
        if job := self._job(intended):
            self.record.delays.append(self._clock() - intended)
            self._dispatch(job)

    def ready(self, line: Line) -> None:
        """The longest waiting goes out, if any waits."""
        if self._waiting:
            line.send(self._waiting.popleft())
        else:
            self._free.append(line)

    def again(self, job: Job) -> None:
        """It goes first."""
        self._waiting.appendleft(job)
        self._more()

    def closed(self) -> None:
        """One connection fewer."""
        self._lines -= 1
        if self._waiting:
            self._more()

    def idle_closed(self, line: Line) -> None:
        """The server has closed a connection that nothing was asked by."""
        if line in self._free:
            self._free.remove(line)
        self.closed()

    def refused(self, reason: str) -> None:
        """Whatever waited for this connection is lost, unless others carry it."""
        self._lines -= 1
        if self._waiting and not self._lines:
            for _ in range(len(self._waiting)):
                self._waiting.popleft()
                self.record.failed(reason)
                self._settled()

    def _dispatch(self, job: Job) -> None:
        if self._free:
            self._free.pop().send(job)
        else:
            self._waiting.append(job)
            self._more()

    def _more(self) -> None:
        if self._lines < self._connections:
            self._lines += 1
            self._open_line()
