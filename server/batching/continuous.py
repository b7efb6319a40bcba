"""Continuous batching: a worker keeps a set of requests, and each round of its handler gives each one a piece more.

A request is over when a response of its says no more `ts_stream_next: true`, or its client has left; whoever waits
takes its place in the next round. So short answers do not wait for long ones (contract: workers, section 9).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import inf
from typing import Any, TypeGuard

from ..errors import WorkerDied
from ..messages import BatchReport, InferenceResponse, Outcome
from .batch import Batch, Job, Sender, Watch, refuse
from .batcher import Batcher

MORE = "ts_stream_next"
"""The response header that says `true` while pieces are to come."""


class Round(Batch):
    """One call of the handler: requests it has begun to answer, which are sent without their bodies, and new ones."""

    __slots__ = ("staying",)

    def __init__(
        self,
        going: Sequence[Job],
        new: Sequence[Job],
        clock: Callable[[], float],
        watch: Watch,
        done: Callable[[Sequence[Job], Sequence[Outcome]], None],
        stream_limit: int,
    ) -> None:
        """Take over what is going on, and the new jobs from the queue."""
        super().__init__([*going, *new], clock, watch, done, stream_limit)
        self.requests = [replace(job.request, parts=()) for job in going] + [job.request for job in new]
        self.staying: list[Job] = []
        """The jobs that the worker is to go on with, once this round is settled."""

    def settle(self, outcomes: Sequence[Outcome], report: BatchReport) -> None:
        """Give each job its piece, or its end; clients that have left get none."""
        now = self._clock()
        self._watch.batch_done(report, now - self.sent_at)
        self._trace(now)
        over: list[Job] = []
        for job, outcome in zip(self._jobs, outcomes, strict=True):
            if goes_on(outcome) and not job.over:
                self._advance(job, outcome)
                self.staying.append(job)
            else:
                self._finish(job, outcome, now)
                over.append(job)
        self._done(over, outcomes)

    def _trace(self, now: float) -> None:
        super()._trace(now)
        for job in self._jobs:
            if trace := job.request.trace:
                trace.inference = now - job.batched_at


class ContinuousBatcher(Batcher):
    """Fills the free places of a worker before each round; it waits only while there is nothing to go on with."""

    def __init__(self, *args: Any, **options: Any) -> None:
        """Be open and empty; a round has `batch_size` places, and `max_delay` is not waited for."""
        super().__init__(*args, **options | {"max_delay": 0, "fixed_delay": True})
        self._rounds: dict[Sender, Round] = {}
        self._leaving: set[Sender] = set()

    def idle(self, worker: Sender, took: float = inf) -> None:
        """Begin a worker's next round; without anything to go on with, it waits for requests."""
        going = self._going(worker)
        if not going or not worker.available:
            super().idle(worker)
            return
        now = self._clock()
        self._expire(now)
        self._send(worker, self._joining(worker, going, now), now, going)
        self._set_timer(now)

    def finishes(self, worker: Sender) -> bool:
        """Whether a worker that is to leave has still to go on with some; it gets no new ones."""
        self._leaving.add(worker)
        return bool(self._going(worker))

    def forget(self, worker: Sender) -> None:
        """Give a worker nothing more; what it should have gone on with is lost with it."""
        super().forget(worker)
        self._leaving.discard(worker)
        if lost := self._going(worker):
            for job in lost:
                refuse(job, WorkerDied("Worker died.", "the worker was stopped"))
            self._landed(lost, ())
        self._rounds.pop(worker, None)

    def _send(self, worker: Sender, jobs: list[Job], now: float, going: Sequence[Job] = ()) -> None:
        self._flying += len(jobs)
        self._watch.batch_sent([now - job.queued_at for job in jobs], len(going))
        self._rounds[worker] = Round(going, jobs, self._clock, self._watch, self._landed, self._stream_limit)
        worker.send(self._rounds[worker])

    def _going(self, worker: Sender) -> list[Job]:
        """What a worker is to go on with after its last round; clients that have left are let go of."""
        last = self._rounds.get(worker)
        if last is None:
            return []
        if left := [job for job in last.staying if job.over]:
            last.staying = [job for job in last.staying if not job.over]
            self._landed(left, ())
        return last.staying

    def _joining(self, worker: Sender, going: Sequence[Job], now: float) -> list[Job]:
        """The new jobs of a round; who must be alone waits until nothing is going on."""
        first = self._line.first()
        if going[0].alone or (first and first.alone) or worker in self._leaving:
            return []
        return self._take(now, self._size - len(going))


def goes_on(outcome: Outcome) -> TypeGuard[InferenceResponse]:
    """Whether an outcome is a piece that others follow."""
    return isinstance(outcome, InferenceResponse) and outcome.headers.get(MORE) == "true"
