"""Where waiting jobs and idle workers meet: one queue a model, one timer, no thread and no task per job."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence

from .batch import STREAM_LIMIT, Batch, Job, Sender, Watch, refuse
from .errors import NoWorkers, QueueFull, too_late
from .messages import InferenceRequest, InferenceResponse, Outcome

RECENT = 0.1
"""Weight of the last batch in the pace of a queue."""


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
