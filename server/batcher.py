"""Where waiting jobs and idle workers meet: one queue a model, one timer, no thread and no task per job."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

from .errors import (
    NoWorkers,
    QueueFull,
    ResponseTimeout,
    ServingError,
    WorkerDied,
    from_failure,
    too_late,
)
from .messages import BatchReport, Failure, InferenceRequest, InferenceResponse, Outcome
from .stream import Stream

STREAM_LIMIT = 8 << 20
"""Bytes of one answer's pieces that may wait for their client, unless told otherwise."""

RECENT = 0.1
"""Weight of the last batch in the pace of a queue."""


class Sender(Protocol):
    """A worker, as far as the batcher knows one."""

    @property
    def available(self) -> bool:
        """Whether it can take a batch: one that is about to be declared dead cannot."""
        ...

    def send(self, batch: Batch) -> None:
        """Own the batch from here on, and settle it; never raises."""


class Watch(Protocol):
    """Who is told what becomes of jobs: ModelMetrics."""

    def rejected(self, reason: str) -> None:
        """A request reached no handler."""

    def batch_sent(self, waits: Sequence[float], again: int = 0) -> None:
        """A batch has gone to a worker; `again` requests of it are known to the worker already."""

    def batch_done(self, report: BatchReport, seconds: float) -> None:
        """A worker has answered a batch."""

    def answered(self, seconds: float, waited: float, version_given: bool) -> None:
        """A handler's answer is on its way."""

    def first_piece(self, seconds: float) -> None:
        """The first piece of an answer in pieces is on its way."""


class RequestQueue(Protocol):
    """What a model and its pool need of a batcher, of whatever kind."""

    @property
    def limit(self) -> int:
        """How many requests may wait."""

    @property
    def flying(self) -> int:
        """How many requests are in the hands of workers."""

    def __len__(self) -> int: ...

    def submit(
        self, request: InferenceRequest, *, alone: bool = False, version_given: bool = False
    ) -> asyncio.Future[InferenceResponse]:
        """Queue a request and return its answer-to-be."""

    def idle(self, worker: Sender) -> None:
        """Take note of a worker that has nothing to do."""

    def is_idle(self, worker: Sender) -> bool:
        """Whether a worker has nothing to do."""

    def finishes(self, worker: Sender) -> bool:
        """Whether a worker that is to leave has still something to finish."""

    def forget(self, worker: Sender) -> None:
        """Give a worker nothing more."""

    def open(self) -> None:
        """Let requests wait."""

    def shut(self, reason: str) -> None:
        """Refuse all who wait, and all who come until `open()`."""

    async def drained(self) -> None:
        """Return when nobody waits and no batch is under way."""

    def close(self) -> None:
        """Refuse everything and stop the timer."""


class Job:
    """A request and the future its client waits on. A job whose answer is done has left, whoever settled it.

    Only one that is answered in pieces has not: its answer is done with the first piece, and the stream takes the rest.
    """

    __slots__ = ("alone", "answer", "batched_at", "deadline", "queued_at", "request", "stream", "version_given")

    def __init__(
        self,
        request: InferenceRequest,
        answer: asyncio.Future[InferenceResponse],
        queued_at: float,
        deadline: float,
        alone: bool,
        version_given: bool,
    ) -> None:
        """Begin to wait."""
        self.request = request
        self.answer = answer
        self.queued_at = self.batched_at = queued_at
        self.deadline = deadline
        self.alone = alone
        self.version_given = version_given
        self.stream: Stream | None = None

    @property
    def over(self) -> bool:
        """Whether nobody waits for anything of it any more."""
        return self.answer.done() if self.stream is None else self.stream.ended


class Batch:
    """Jobs on their way through one worker, which settles them once: all with answers, or all with one error."""

    __slots__ = ("_again", "_clock", "_done", "_jobs", "_stream_limit", "_watch", "requests", "sent_at")

    def __init__(
        self,
        jobs: Sequence[Job],
        clock: Callable[[], float],
        watch: Watch,
        done: Callable[[Sequence[Job], Sequence[Outcome]], None] = lambda jobs, outcomes: None,
        stream_limit: int = STREAM_LIMIT,
        again: Callable[[Sequence[Job]], None] | None = None,
    ) -> None:
        """Take the jobs over from the queue; `done` is told the jobs that are over, with the outcomes there were.

        `again` takes those back that may be tried once more, each alone, where the batch as a whole has failed.
        """
        self.requests = [job.request for job in jobs]
        self.sent_at = clock()
        self._jobs = jobs
        self._clock = clock
        self._watch = watch
        self._done = done
        self._stream_limit = stream_limit
        self._again = again

    @property
    def abandoned(self) -> bool:
        """Whether nobody waits for it any more."""
        return all(job.over for job in self._jobs)

    def advance(self, pieces: Sequence[InferenceResponse]) -> None:
        """Give each job a piece of its answer, in order; the first decides status and headers."""
        for job, piece in zip(self._jobs, pieces, strict=True):
            self._advance(job, piece)

    def settle(self, outcomes: Sequence[Outcome], report: BatchReport) -> None:
        """Give each job its own outcome, in order; clients that have left get none."""
        now = self._clock()
        self._watch.batch_done(report, now - self.sent_at)
        self._trace(now)
        returned = self._give_back() if any(isinstance(o, Failure) and o.raised for o in outcomes) else ()
        for job, outcome in zip(self._jobs, outcomes, strict=True):
            if job not in returned:
                self._finish(job, outcome, now)
        self._done(self._jobs, outcomes)

    def fail(self, error: ServingError) -> None:
        """Give every job the same error."""
        self._trace(self._clock())
        returned = self._give_back() if isinstance(error, WorkerDied) and not isinstance(error, ResponseTimeout) else ()
        for job in self._jobs:
            if job not in returned:
                refuse(job, type(error)(str(error), error.detail))
        self._done(self._jobs, ())

    def _give_back(self) -> Sequence[Job]:
        """Have jobs tried again of which another may have been to blame; those that were given back."""
        if self._again is None or len(self._jobs) == 1:
            return ()
        returned = [job for job in self._jobs if job.stream is None and not job.answer.done()]
        self._again(returned)
        return returned

    def _advance(self, job: Job, piece: InferenceResponse) -> None:
        if job.stream:
            job.stream.put(piece.body)
        elif not job.answer.done():
            job.stream = Stream(self._stream_limit)
            job.answer.set_result(replace(piece, further=job.stream))
            self._watch.first_piece(self._clock() - job.queued_at)

    def _finish(self, job: Job, outcome: Outcome, now: float) -> None:
        if job.over:
            return
        if isinstance(outcome, Failure):
            refuse(job, from_failure(outcome))
            return
        if job.stream is None:
            job.answer.set_result(outcome)
        else:
            job.stream.put(outcome.body)
            job.stream.end()
        self._watch.answered(now - job.queued_at, job.batched_at - job.queued_at, job.version_given)

    def _trace(self, now: float) -> None:
        for job in self._jobs:
            if trace := job.request.trace:
                trace.batch_size = len(self._jobs)
                trace.queue = job.batched_at - job.queued_at
                trace.inference = now - self.sent_at


def refuse(job: Job, error: ServingError) -> None:
    """Give a job an error instead of an answer, or of the rest of one."""
    if job.stream:
        job.stream.end(error)
    elif not job.answer.done():
        job.answer.set_exception(error)


class Batcher:
    """Gives what waits to whom is idle.

    A batch goes when it is full, or when its first request has waited `max_delay`; then it goes as it is.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        watch: Watch,
        *,
        batch_size: int,
        max_delay: float,
        limit: int,
        client_timeout: float = 0,
        idle_only: bool = False,
        isolate: bool = False,
        stream_limit: int = STREAM_LIMIT,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Be open and empty; `limit` requests may wait, each for `client_timeout` seconds (0: for ever).

        With `idle_only`, a request is taken only while a worker is idle; with `isolate`, the requests of a batch that
        fails as a whole are tried once more, each alone, so that one bad request fails by itself.
        Of an answer in pieces, `stream_limit` bytes may wait for their client.
        """
        self._loop = loop
        self._watch = watch
        self._size = batch_size
        self._delay = max_delay
        self.limit = limit
        self._timeout = client_timeout
        self._idle_only = idle_only
        self._isolate = isolate
        self._stream_limit = stream_limit
        self._clock = clock
        self._jobs: deque[Job] = deque()
        self._idle: deque[Sender] = deque()
        self._deadlines: deque[Job] = deque()
        self._flying = 0
        self._pace, self._landed_at = 0.0, 0.0  # seconds from one request to the next while others wait
        self._timer: asyncio.TimerHandle | None = None
        self._wake_at = 0.0
        self._shut: str | None = "The model has no worker."
        self._drained: list[asyncio.Future[None]] = []

    def __len__(self) -> int:
        """How many requests wait."""
        return len(self._jobs)

    @property
    def flying(self) -> int:
        """How many requests are in the hands of workers."""
        return self._flying

    def submit(
        self, request: InferenceRequest, *, alone: bool = False, version_given: bool = False
    ) -> asyncio.Future[InferenceResponse]:
        """Queue a request and return its answer-to-be; cancelling that is how a client leaves.

        `alone` keeps it out of other requests' batch.
        Raises: QueueFull, NoWorkers.
        """
        if self._shut is not None:
            self._watch.rejected("no_workers")
            raise NoWorkers(self._shut)
        if self._idle_only and not self._idle:
            self._watch.rejected("queue_full")
            raise QueueFull("no worker is idle, and useJobTicket lets nobody wait")
        if len(self._jobs) >= self.limit and not self._forget_left():
            self._watch.rejected("queue_full")
            raise QueueFull(f"{self.limit} requests are waiting already", retry_after=len(self._jobs) * self._pace)
        now = self._clock()
        job = Job(request, self._loop.create_future(), now, now + self._timeout, alone, version_given)
        self.enqueue(job)
        return job.answer

    def enqueue(self, job: Job) -> None:
        """Queue what has been admitted."""
        self._jobs.append(job)
        if self._timeout:
            self._deadlines.append(job)
        self._pump()

    def idle(self, worker: Sender) -> None:
        """Take note of a worker that has nothing to do."""
        self._idle.append(worker)
        self._pump()

    def is_idle(self, worker: Sender) -> bool:
        """Whether a worker has nothing to do."""
        return worker in self._idle

    def forget(self, worker: Sender) -> None:
        """Give a worker nothing more."""
        if worker in self._idle:
            self._idle.remove(worker)

    def finishes(self, worker: Sender) -> bool:
        """Whether a worker that is to leave and has answered its batch has still something to finish."""
        return False

    def open(self) -> None:
        """Let requests wait: a worker is there, or will be."""
        self._shut = None

    def shut(self, reason: str) -> None:
        """Refuse all who wait, and all who come until `open()`: nobody will ever serve them."""
        self._shut = reason
        jobs, self._jobs = self._jobs, deque()
        for job in jobs:
            if not job.answer.done():
                self._watch.rejected("no_workers")
                job.answer.set_exception(NoWorkers(reason))
        self._tell_drained()

    async def drained(self) -> None:
        """Return when nobody waits and no batch is under way."""
        if self._jobs or self._flying:
            waiter: asyncio.Future[None] = self._loop.create_future()
            self._drained.append(waiter)
            await waiter

    def close(self) -> None:
        """Refuse everything and stop the timer."""
        self.shut("The model is being removed.")
        self._deadlines.clear()
        self._cancel_timer()

    def _pump(self) -> None:
        """Give what waits to whom is idle; runs when either side changes, and on the timer."""
        now = self._clock()
        self._expire(now)
        self._drop_left()
        while self._jobs and self._idle and self._ripe(now):
            worker = self._idle.popleft()
            if worker.available:
                self._send(worker, self._take(now, self._size), now)
        self._set_timer(now)

    def _send(self, worker: Sender, jobs: list[Job], now: float) -> None:
        self._drop_left()
        self._flying += len(jobs)
        self._watch.batch_sent([now - job.queued_at for job in jobs])
        again = self._take_back if self._isolate else None
        worker.send(Batch(jobs, self._clock, self._watch, self._landed, self._stream_limit, again))

    def _take_back(self, jobs: Sequence[Job]) -> None:
        """Queue jobs once more, before all others, each to be alone in its batch."""
        if self._shut is not None:
            for job in jobs:
                refuse(job, NoWorkers(self._shut))
            return
        for job in reversed(jobs):
            job.alone = True
            self._jobs.appendleft(job)
        self._pump()

    def _ripe(self, now: float) -> bool:
        """Whether it is time for a batch: it is full, or its first request has waited long enough."""
        first = self._jobs[0]
        return len(self._jobs) >= self._size or first.alone or now >= first.queued_at + self._delay

    def _take(self, now: float, most: int) -> list[Job]:
        """The next batch's jobs, oldest first, without those that have left; the first in the queue has not."""
        taken: list[Job] = []
        while self._jobs and len(taken) < most:
            if taken and (self._jobs[0].alone or taken[0].alone):
                break
            job = self._jobs.popleft()
            if job.answer.done():
                self._count_left(job)
                continue
            job.batched_at = now
            taken.append(job)
        return taken

    def _expire(self, now: float) -> None:
        """Answer those whose time is over, in the queue or in a batch; the oldest is the first."""
        while self._deadlines and (self._deadlines[0].answer.done() or self._deadlines[0].deadline <= now):
            job = self._deadlines.popleft()
            if not job.answer.done():
                self._watch.rejected("deadline")
                job.answer.set_exception(too_late(now - job.queued_at, "clientTimeoutInMills"))

    def _drop_left(self) -> None:
        while self._jobs and self._jobs[0].answer.done():
            self._count_left(self._jobs.popleft())

    def _forget_left(self) -> bool:
        """Make room by dropping all that have left; False where none has."""
        before = len(self._jobs)
        for job in self._jobs:
            self._count_left(job)
        self._jobs = deque(job for job in self._jobs if not job.answer.done())
        return len(self._jobs) < before

    def _count_left(self, job: Job) -> None:
        if job.answer.cancelled():
            self._watch.rejected("client_gone")

    def _landed(self, jobs: Sequence[Job], outcomes: Sequence[Outcome]) -> None:
        """Count jobs that are over, with the outcomes that their worker has sent, if any."""
        self._flying -= len(jobs)
        self._note_pace(len(jobs))
        self._tell_drained()

    def _note_pace(self, count: int) -> None:
        """Take note of how fast the queue moves; how long nobody came says nothing of it."""
        if self._jobs and count:
            now = self._clock()
            if self._landed_at:
                each = (now - self._landed_at) / count
                self._pace = each if not self._pace else self._pace + RECENT * (each - self._pace)
            self._landed_at = now
        else:
            self._landed_at = 0.0

    def _tell_drained(self) -> None:
        if not self._jobs and not self._flying:
            for waiter in self._drained:
                if not waiter.done():
                    waiter.set_result(None)
            self._drained.clear()

    def _set_timer(self, now: float) -> None:
        """One, for whichever is first: the oldest job's batch, or the oldest deadline. Ringing early does no harm."""
        moments = []
        if self._jobs and self._idle:
            moments.append(self._jobs[0].queued_at + self._delay)
        if self._deadlines:
            moments.append(self._deadlines[0].deadline)
        if not moments:
            return
        wake_at = min(moments)
        if self._timer is None or wake_at < self._wake_at:
            self._cancel_timer()
            self._wake_at = wake_at
            self._timer = self._loop.call_later(max(0.0, wake_at - now), self._ring)

    def _ring(self) -> None:
        self._timer = None
        self._pump()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
