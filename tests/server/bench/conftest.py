"""A clock that is set by hand, and connections that keep what they are given."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import pytest
from numserve.server.bench.load import ClosedLoop, Job, OpenLoop
from numserve.server.bench.wire import Answer

OK = Answer(200, b"", False)


@dataclass
class Line:
    """A connection under a test's control."""

    bench: Bench
    jobs: deque[Job] = field(default_factory=deque)

    def send(self, job: Job) -> None:
        self.jobs.append(job)

    def answer(self, answer: Answer = OK) -> None:
        self.bench.phase.answered(self, self.jobs.popleft(), answer)


class Bench:
    """A phase, its clock, and the connections that it has asked for."""

    phase: ClosedLoop | OpenLoop

    def __init__(self) -> None:
        self.now = 100.0
        self.asked = 0
        self.ended = 0

    def closed(self, clients: int, seconds: float, **more: float) -> list[Line]:
        self.phase = ClosedLoop([b"a", b"b"], seconds, open_line=self._ask, clock=lambda: self.now, **more)
        return self._begin(clients)

    def open(self, connections: int, seconds: float, **more: float) -> list[Line]:
        self.phase = OpenLoop([b"a", b"b"], seconds, open_line=self._ask, clock=lambda: self.now, **more)
        return self._begin(connections)

    def connect(self) -> Line:
        """Give the phase a connection that it has asked for."""
        assert self.asked
        self.asked -= 1
        line = Line(self)
        self.phase.ready(line)
        return line

    def _begin(self, size: int) -> list[Line]:
        self.phase.on_finished = self._count
        self.phase.start(size)
        return [self.connect() for _ in range(self.asked)]

    def _ask(self) -> None:
        self.asked += 1

    def _count(self) -> None:
        self.ended += 1


@pytest.fixture
def bench() -> Bench:
    return Bench()
