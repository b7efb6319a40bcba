"""Where waiting jobs and idle workers meet: one queue a model, one timer, no thread and no task per job."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from math import inf
from typing import Any, cast

from ..errors import NoWorkers, QueueFull, ServingError, too_late
from ..messages import InferenceRequest, InferenceResponse, Outcome
from ..status import BatchingStatus
from .ahead import Ahead
from .batch import STREAM_LIMIT, TURN, AheadBatch, Answer, Batch, Job, Sender, Stacker, Watch, refuse
from .company import Company
from .line import Line
from .priority import NONE, Priorities
from .size import BatchSize, FixedSize

LOOK_SECONDS = 0.001
"""Seconds between two looks at what busy workers have answered, while requests are refused."""
LONG = 0.05
"""Seconds of waiting, or since a client has left, that make it worth a look whether the next one is still there."""
RECENT = 0.1
"""Weight of the last batch in the pace of a queue."""


class Batcher:
    """Gives what waits to whom is idle, at once, but for those who are about to get company.

    With a fixed delay, a batch goes when it is full, or when its first request has waited for so long.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        watch: Watch,
        *,
        batch_size: int = 1,
        max_delay: float,
        limit: int,
        sizing: BatchSize | None = None,
        fixed_delay: bool = False,
        client_timeout: float = 0,
        max_wait: float = 0,
        idle_only: bool = False,
        isolate: bool = False,
        ahead: bool = False,
        priorities: Priorities = NONE,
        overload_status: int | None = None,
        stream_limit: int = STREAM_LIMIT,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Be open and empty; `limit` requests of each priority may wait, each for `client_timeout` seconds in all.

        Batches have `batch_size` requests at most, unless `sizing` says how many; `max_delay` is the longest that an
        idle worker is kept for company, or with `fixed_delay` that a request waits for it. Nobody waits for longer
        than `max_wait` for a worker, or is let in who probably would. Durations of 0 stand for none.
        With `idle_only`, a request is taken only while a worker is idle; with `isolate`, the requests of a batch that
        fails as a whole are tried once more, each alone, so that one bad request fails by itself.
        With `ahead`, workers that are quick with batches of one get the next ones before they have answered.
        Who is refused for want of room gets `overload_status`, where it is not the usual one.
        Of an answer in pieces, `stream_limit` bytes may wait for their client.
        """
        self._loop = loop
        self._watch = watch
        self._sizing: BatchSize = sizing or FixedSize(batch_size, max_delay)
        self._size = batch_size
        self._delay = max_delay
        self._fixed_delay = fixed_delay
        self._room = limit
        self._timeout = client_timeout
        self._max_wait = max_wait
        self._idle_only = idle_only
        self._isolate = isolate
        self._priorities = priorities
        self._overload_status = overload_status
        self._stream_limit = stream_limit
        self._clock = clock
        self._line = Line(self._count_left, priorities.levels, priorities.step)
        self._company = Company()
        self._idle: list[Sender] = []  # who has answered last is the last
        self._ahead = Ahead(ahead and priorities.levels == 1)
        self._hands: dict[Sender, int] = {}
        """How many batches each worker has that has any."""
        self._apart: dict[Sender, bool] = {}
        self._deadlines: deque[Job] = deque()
        self._flying = 0
        self._pace, self._landed_at = 0.0, 0.0  # seconds from one request to the next while others wait
        self._look_at = self._doubtful_until = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._wake_at = 0.0
        self._shut: str | None = "The model has no worker."
        self._drained: list[asyncio.Future[None]] = []

    def __len__(self) -> int:
        """How many requests wait, those among them that a worker was sent ahead."""
        return len(self._line) + self._ahead.waiting

    @property
    def limit(self) -> int:
        """How many requests may wait, of all priorities."""
        return self._room * self._priorities.levels

    @property
    def flying(self) -> int:
        """How many requests are in the hands of workers."""
        return self._flying

    @property
    def oldest_wait(self) -> float:
        """Seconds that the oldest request waits for its first worker; 0 where none does."""
        oldest = self._line.oldest()
        return 0.0 if oldest is None else max(0.0, self._clock() - oldest)

    @property
    def expected_wait(self) -> float:
        """Seconds that a request of the lowest priority would wait that came now, at the pace of late."""
        return len(self) * self._pace

    @property
    def batching(self) -> BatchingStatus:
        """How batches are made."""
        return self._sizing.status()

    def submit(
        self, request: InferenceRequest, *, alone: bool = False, version_given: bool = False
    ) -> asyncio.Future[InferenceResponse]:
        """Queue a request and return its answer-to-be; cancelling that is how a client leaves.

        `alone` keeps it out of other requests' batch.
        Raises: QueueFull, NoWorkers; InvalidRequest where its priority is none.
        """
        if self._shut is not None:
            self._watch.rejected("no_workers")
            raise NoWorkers(self._shut)
        if self._idle_only and not self._idle:
            raise self._refused("queue_full", "no worker is idle, and useJobTicket lets nobody wait", 1.0)
        level = self._priorities.of(request)
        now = self._clock()
        if self._line.of_level(level) + self._ahead.waiting >= self._room:
            self._line.make_room(now)
            self._look(now)
            if self._line.of_level(level) + self._ahead.waiting >= self._room:
                wait = self._line.before(level) * self._pace
                raise self._refused("queue_full", f"{self._room} requests are waiting already", wait)
        if self._max_wait and (wait := self._line.before(level) * self._pace) > self._max_wait:
            text = f"the wait would be {wait:.3f} seconds; maxQueueWait allows {self._max_wait:g}"
            raise self._refused("wait_expected", text, wait - self._max_wait)
        job = Job(request, Answer(loop=self._loop), now, now + self._timeout, alone, version_given)
        self.enqueue(job, level)
        return job.answer

    def enqueue(self, job: Job, level: int = 1) -> None:
        """Queue what has been admitted."""
        self._line.add(job, level)
        if self._timeout:
            self._deadlines.append(job)
        self._pump()

    def idle(self, worker: Sender, took: float = inf) -> None:
        """Take note of a worker that has loaded its model, or has answered a batch, and how many seconds that took."""
        self._ahead.answered(worker, took)
        left = self._hands.pop(worker, 1) - 1
        if left:
            self._hands[worker] = left
        else:
            self._idle.append(worker)
        self._pump()

    def learn(self, worker: Sender, engine: Mapping[str, Any] | None) -> None:
        """Take note of what a worker says of how it runs the model."""
        self._apart[worker] = bool(engine and engine.get("answers_apart"))
        self._sizing.allow(all(self._apart.values()))

    def is_idle(self, worker: Sender) -> bool:
        """Whether a worker has nothing to do."""
        return worker in self._idle

    def forget(self, worker: Sender) -> None:
        """Give a worker nothing more."""
        self._apart.pop(worker, None)
        self._hands.pop(worker, None)
        self._ahead.forget(worker)
        if worker in self._idle:
            self._idle.remove(worker)

    def finishes(self, worker: Sender) -> bool:
        """Whether a worker that is to leave and has answered a batch has still something to finish."""
        self._ahead.keep_from(worker, always=True)
        return self._hands.get(worker, 0) > 1

    def open(self) -> None:
        """Let requests wait: a worker is there, or will be."""
        self._shut = None

    def shut(self, reason: str) -> None:
        """Refuse all who wait, and all who come until `open()`: nobody will ever serve them."""
        self._shut = reason
        for job in self._line.clear():
            if not job.answer.done():
                self._watch.rejected("no_workers")
                job.answer.set_exception(NoWorkers(reason))
        self._tell_drained()

    async def drained(self) -> None:
        """Return when nobody waits and no batch is under way."""
        if self._flying or len(self):
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
        while self._idle and (first := self._first(now)):
            most = self._sizing.most(max(len(self._line), self._company.expected - self._flying))
            if not self._ripe(first, now, most):
                break
            # Who has answered last is awake still, or has its memory in the caches; the others cost nothing.
            worker = self._idle.pop()
            if worker.available:
                self._send(worker, self._take(now, most), now)
        if self._ahead.most and not self._idle and not self._sizing.learns:
            self._send_ahead(now)
        self._set_timer(now)

    def _send(self, worker: Sender, jobs: list[Job], now: float) -> None:
        self._flying += len(jobs)
        self._hands[worker] = 1
        self._watch.batch_sent([now - job.queued_at for job in jobs])
        again = self._take_back if self._isolate else None
        worker.send(Batch(jobs, self._clock, self._watch, self._landed, self._stream_limit, again))

    def _send_ahead(self, now: float) -> None:
        """Give busy workers what waits, those with the least first; some stays for whoever is idle first."""
        while len(self._line) >= max(1, len(self._hands)):
            worker = self._ahead.choose(self._hands)
            job = self._first(now)
            if worker is None or job is None or not self._ahead.suits(job):
                return
            self._line.take()
            self._hands[worker] += 1
            self._ahead.waiting += 1
            batch = AheadBatch(
                [job], self._clock, self._watch, self._landed, self._stream_limit,
                began=self._began, returned=partial(self._returned, worker),
            )  # fmt: skip
            worker.send_ahead(batch)

    def _began(self, jobs: Sequence[Job], now: float) -> None:
        """A worker has come to a batch that it was sent ahead."""
        self._ahead.waiting -= len(jobs)
        self._flying += len(jobs)
        for job in jobs:
            job.batched_at = now
        self._watch.batch_sent([now - job.queued_at for job in jobs])

    def _returned(self, worker: Sender, batch: AheadBatch, jobs: Sequence[Job]) -> None:
        """A worker has not come to what it was sent ahead: this waits again, before all others."""
        if batch.begun:
            self._flying -= len(jobs)
        else:
            self._ahead.waiting -= len(jobs)
        if left := self._hands.pop(worker, 1) - 1:
            self._hands[worker] = left
            self._ahead.keep_from(worker)
        for job in jobs:
            if self._shut is None:
                self._line.give_back(job)
            else:
                refuse(job, NoWorkers(self._shut))
        self._tell_drained()
        self._loop.call_soon(self._pump)  # the others are to be back by then

    def _take_back(self, jobs: Sequence[Job]) -> None:
        """Queue jobs once more, before all others, each to be alone in its batch."""
        if self._shut is not None:
            for job in jobs:
                refuse(job, NoWorkers(self._shut))
            return
        if len(jobs) > 1 and self._sizing.learns:
            self._suspect(jobs)
        for job in jobs:
            job.alone = True
        self._line.add_again(jobs)
        self._pump()

    def _suspect(self, jobs: Sequence[Job]) -> None:
        """Have batches become smaller, if all requests of a failed one are answered alone."""
        failed: list[bool] = []

        def answered(answer: asyncio.Future[InferenceResponse]) -> None:
            failed.append(answer.cancelled() or answer.exception() is not None)
            if len(failed) == len(jobs) and not any(failed):
                self._sizing.spoilt(len(jobs))

        for job in jobs:
            job.answer.add_done_callback(answered)

    def _ripe(self, first: Job, now: float, most: int) -> bool:
        """Whether it is time for a batch of `most`: it need not, or must not, wait for others."""
        if most == 1 or first.alone:
            return True
        waiting = len(self._line)
        if self._fixed_delay:
            return waiting >= most or now >= first.queued_at + self._delay
        workers = len(self._idle) + len(self._hands)
        return not self._company.is_awaited(now, waiting, self._flying, workers, most)

    def _take(self, now: float, most: int) -> list[Job]:
        """The next batch's jobs, oldest first, without those that have left; the first in the queue has not."""
        taken: list[Job] = []
        if most == 1 and (job := self._line.take()):
            job.batched_at = now
            return [job]
        while len(taken) < most and (job := self._first(now)):
            if taken and (job.alone or taken[0].alone):
                break
            self._line.take()
            job.batched_at = now
            taken.append(job)
        return taken

    def _first(self, now: float) -> Job | None:
        """Who is next and still there: who has waited for long, or while others left, may be gone before we notice."""
        while (job := self._line.first()) and (now < self._doubtful_until or now >= job.queued_at + LONG):
            answer = job.answer
            if not isinstance(answer, Answer) or answer.is_awaited is None or answer.is_awaited():
                break
            answer.cancel()
        return job

    def _expire(self, now: float) -> None:
        """Answer those whose time is over, in the queue or in a batch; the oldest is the first."""
        while self._deadlines and (self._deadlines[0].answer.done() or self._deadlines[0].deadline <= now):
            job = self._deadlines.popleft()
            if not job.answer.done():
                self._watch.rejected("deadline")
                job.answer.set_exception(too_late(now - job.queued_at, "clientTimeoutInMills"))
        if self._max_wait:
            for job in self._line.take_older(now, self._max_wait):
                text = f"the request has waited {now - job.queued_at:.3f} seconds; maxQueueWait allows"
                wait = self._line.before(1) * self._pace
                job.answer.set_exception(self._refused("wait_exceeded", f"{text} {self._max_wait:g}", wait))

    def _look(self, now: float) -> None:
        """See whether workers have answered: a loop that is busy refusing would leave them idle until it turns."""
        if now >= self._look_at:
            self._look_at = now + LOOK_SECONDS
            for worker in [*self._hands]:
                if getattr(worker, "takes_ahead", False):
                    cast(Stacker, worker).look()

    def _refused(self, reason: str, text: str, wait: float) -> ServingError:
        """The error for who is not let in, or must leave; in so many seconds there should be room."""
        self._watch.rejected(reason)
        return QueueFull(text, retry_after=wait, code=self._overload_status)

    def _count_left(self, job: Job) -> None:
        if job.answer.cancelled():
            self._doubtful_until = self._clock() + LONG
            self._watch.rejected("client_gone")

    def _landed(self, jobs: Sequence[Job], outcomes: Sequence[Outcome]) -> None:
        """Count jobs that are over, with the outcomes that their worker has sent, if any."""
        self._flying -= len(jobs)
        self._note_pace(len(jobs))
        if jobs and self._sizing.learns:
            self._note_cost(jobs, outcomes)
        if not len(self._line):
            TURN.tell()
        self._tell_drained()

    def _note_cost(self, jobs: Sequence[Job], outcomes: Sequence[Outcome]) -> None:
        """Learn from a batch that was answered as a whole, and expect its clients back."""
        now = self._clock()
        sizes = [len(outcome.body) for outcome in outcomes if isinstance(outcome, InferenceResponse)]
        if len(sizes) == len(jobs) and jobs[0].stream is None and not jobs[0].alone:
            self._sizing.note(len(jobs), now - jobs[0].batched_at, max(sizes))
        cost = self._sizing.cost
        patience = min(self._sizing.patience, cost.start) if cost.known else 0.0
        self._company.answered(now, len(jobs) + len(self._line) + self._flying, patience)

    def _note_pace(self, count: int) -> None:
        """Take note of how fast the queue moves; how long nobody came says nothing of it."""
        if count and len(self._line):
            now = self._clock()
            if self._landed_at:
                each = (now - self._landed_at) / count
                self._pace = each if not self._pace else self._pace + RECENT * (each - self._pace)
            self._landed_at = now
        else:
            self._landed_at = 0.0

    def _tell_drained(self) -> None:
        if self._drained and not self._flying and not len(self):
            for waiter in self._drained:
                if not waiter.done():
                    waiter.set_result(None)
            self._drained.clear()

    def _set_timer(self, now: float) -> None:
        """One, for whichever is first: the next batch, or the oldest deadline. Ringing early does no harm."""
        if not (self._idle or self._deadlines or self._max_wait):
            return
        moments = []
        if self._idle and (first := self._line.first()):
            moments.append(first.queued_at + self._delay if self._fixed_delay else self._company.until)
        if self._deadlines:
            moments.append(self._deadlines[0].deadline)
        if self._max_wait and (oldest := self._line.oldest()) is not None:
            moments.append(oldest + self._max_wait)
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
