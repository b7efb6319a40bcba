"""Sequence batching: the requests of a sequence go to one worker, one after the other (contract: workers, section 9).

Each worker has a lane, which is a batcher of its own: it makes batches as for any model, and never holds two requests
of one sequence that have yet to be answered. What is here decides which sequence belongs to which lane, what waits
behind a request of the same sequence, and when a sequence ends.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Any

from ..errors import NoWorkers, QueueFull, SequenceClosed, too_late
from ..messages import InferenceRequest, InferenceResponse, Outcome, SequenceHeaders
from ..status import BatchingStatus
from .batch import Job, Sender, Watch
from .batcher import Batcher
from .continuous import ContinuousBatcher

LOST = "its worker has ended, and its state with it"
NO_LANE = BatchingStatus("fixed", 1, 1, 0.0, 0.0)
MADE_UP = "ts-seq-"
"""How the name of a sequence begins that a client has not named."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What is allowed; durations are seconds, and an age of 0 is none."""

    most: int
    """Sequences at a time."""
    waiting: int
    """Requests that may wait in one of them."""
    max_idle: float
    max_age: float
    side_by_side: int = 1
    """Requests of one that a worker may have at a time: a second one joins once the first has begun to be answered."""

    def share(self, workers: int) -> int:
        """The sequences that each of so many workers may have."""
        return -(-self.most // max(1, workers))


class RequestSequence:
    """A client's requests that belong together; its worker is that of its lane, for its whole life."""

    def __init__(self, name: str) -> None:
        """Have no lane yet."""
        self.name = name
        self.lane: Lane | None = None
        self.waiting: deque[Job] = deque()
        self.begun: list[Job] = []
        """What the lane has been given."""
        self.idle_timer: asyncio.TimerHandle | None = None
        self.age_timer: asyncio.TimerHandle | None = None

    @property
    def takes_next(self) -> bool:
        """Whether all that the lane was given is being answered already."""
        return all(job.answer.done() for job in self.begun)


class Lane(Batcher):
    """One worker's batcher; `answered` is told the outcomes of each batch."""

    def __init__(self, *args: Any, answered: Callable[[Lane, Sequence[Outcome]], None], **options: Any) -> None:
        """Have no sequences yet."""
        super().__init__(*args, **options)
        self.sequences: list[RequestSequence] = []
        self._answered = answered

    def _landed(self, jobs: Sequence[Job], outcomes: Sequence[Outcome]) -> None:
        super()._landed(jobs, outcomes)
        self._answered(self, outcomes)


class ContinuousLane(Lane, ContinuousBatcher):
    """One worker's batcher, where answers come in pieces and requests join between two of them."""


class SequenceBatcher:
    """Gives each sequence to one of the workers, and its requests in their order.

    A sequence begins with the first request that names it, or that names none, and ends with a word of the handler's,
    after a time without requests, or at an age. A worker that ends takes its sequences with it: their state was there.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        watch: Watch,
        rules: Rules,
        headers: SequenceHeaders,
        make_lane: Callable[[Callable[[Lane, Sequence[Outcome]], None]], Lane],
        *,
        workers: Callable[[], int] = lambda: 1,
        client_timeout: float = 0,
        overload_status: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Be open and empty; `workers` tells over how many lanes the sequences are to be spread."""
        self._loop = loop
        self._watch = watch
        self._rules = rules
        self._headers = headers
        self._make_lane = make_lane
        self._workers = workers
        self._timeout = client_timeout
        self._overload_status = overload_status
        self._clock = clock
        self._sequences: dict[str, RequestSequence] = {}
        self._lanes: dict[Sender, Lane] = {}
        self._shut: str | None = "The model has no worker."

    @property
    def limit(self) -> int:
        """How many requests may wait, were all sequences there."""
        return self._rules.most * self._rules.waiting

    @property
    def flying(self) -> int:
        """How many requests are in the hands of workers."""
        return sum(lane.flying for lane in self._lanes.values())

    @property
    def oldest_wait(self) -> float:
        """Seconds that the oldest request waits for its first worker; 0 where none does."""
        first = [each.waiting[0].queued_at for each in self._sequences.values() if each.waiting]
        waits = [lane.oldest_wait for lane in self._lanes.values()]
        return max([*waits, *(self._clock() - moment for moment in first)], default=0.0)

    @property
    def expected_wait(self) -> float:
        """Seconds that a request would wait that came now, at the pace of late, in the lane with the least to do."""
        return min((lane.expected_wait for lane in self._lanes.values()), default=0.0)

    @property
    def batching(self) -> BatchingStatus:
        """How batches are made: as in any lane."""
        return next((lane.batching for lane in self._lanes.values()), NO_LANE)

    def __len__(self) -> int:
        """How many requests wait."""
        return sum(map(len, self._lanes.values())) + sum(len(each.waiting) for each in self._sequences.values())

    def submit(
        self, request: InferenceRequest, *, alone: bool = False, version_given: bool = False
    ) -> asyncio.Future[InferenceResponse]:
        """Queue a request in its sequence, which begins with it where it is not there.

        Raises: QueueFull where there are as many sequences, or requests of this one, as may be; NoWorkers.
        """
        if self._shut is not None:
            self._refused("no_workers")
            raise NoWorkers(self._shut)
        now = self._clock()
        if "describe" in request.headers:
            job = Job(request, self._loop.create_future(), now, now, True, version_given)
            self._any_lane().enqueue(job)
            return job.answer
        name, request = self._named(request)
        sequence = self._sequences.get(name) or self._begin(name)
        if len(sequence.waiting) >= self._rules.waiting:
            self._refused("queue_full")
            raise QueueFull(
                f"{self._rules.waiting} requests of sequence {name} are waiting already (maxSequenceJobQueueSize)",
                code=self._overload_status,
            )
        job = Job(request, self._loop.create_future(), now, now, alone, version_given)
        if self._timeout:
            timer = self._loop.call_later(self._timeout, self._late, job)
            job.answer.add_done_callback(lambda _: timer.cancel())
        job.answer.add_done_callback(lambda _: self._feed(sequence))
        sequence.waiting.append(job)
        self._feed(sequence)
        return job.answer

    def idle(self, worker: Sender, took: float = inf) -> None:
        """Take note of a worker that has nothing to do: the next requests of its sequences are up."""
        lane = self._lanes.get(worker)
        if lane is None:
            lane = self._lanes[worker] = self._make_lane(self._answered)
        self._feed_all()
        lane.idle(worker)

    def learn(self, worker: Sender, engine: Mapping[str, Any] | None) -> None:
        """Sequences are batched as is said, whatever a worker says of how it runs the model."""

    def is_idle(self, worker: Sender) -> bool:
        """Whether a worker has nothing to do."""
        lane = self._lanes.get(worker)
        return lane is not None and lane.is_idle(worker)

    def finishes(self, worker: Sender) -> bool:
        """Whether a worker that is to leave has still something to finish."""
        lane = self._lanes.get(worker)
        return lane is not None and lane.finishes(worker)

    def forget(self, worker: Sender) -> None:
        """Give a worker nothing more; its sequences end, as their state was there."""
        lane = self._lanes.pop(worker, None)
        if lane is None:
            return
        lane.forget(worker)
        for sequence in [*lane.sequences]:
            self._end(sequence, LOST)
        lane.shut(f"The sequence is closed: {LOST}")
        lane.close()

    def open(self) -> None:
        """Let requests wait: a worker is there, or will be."""
        self._shut = None

    def shut(self, reason: str) -> None:
        """Refuse all who wait, and all who come until `open()`: nobody will ever serve them."""
        self._shut = reason
        for sequence in [*self._sequences.values()]:
            self._end(sequence, "no worker is left")
        for lane in self._lanes.values():
            lane.shut(reason)

    async def drained(self) -> None:
        """Return when nobody waits and no batch is under way."""
        while waiting := [job.answer for each in self._sequences.values() for job in each.waiting]:
            await asyncio.wait(waiting)
        await asyncio.gather(*(lane.drained() for lane in self._lanes.values()))

    def close(self) -> None:
        """Refuse everything and stop the timers."""
        self.shut("The model is being removed.")
        for lane in self._lanes.values():
            lane.close()

    def _named(self, request: InferenceRequest) -> tuple[str, InferenceRequest]:
        """The sequence that a request belongs to; one that names none begins one, and is told so."""
        id_header = self._headers.id.lower()
        if name := request.headers.get(id_header):
            return name, request
        name = f"{MADE_UP}{uuid.uuid4()}"
        headers = {**request.headers, id_header: name, self._headers.start.lower(): "true"}
        return name, replace(request, headers=headers)

    def _begin(self, name: str) -> RequestSequence:
        if len(self._sequences) >= self._rules.most:
            self._refused("queue_full")
            text = f"{self._rules.most} sequences are under way already (maxNumSequence)"
            raise QueueFull(text, code=self._overload_status)
        sequence = self._sequences[name] = RequestSequence(name)
        if self._rules.max_age:
            reason = f"it is older than {self._rules.max_age:g} seconds (sequenceTimeoutMSec)"
            sequence.age_timer = self._loop.call_later(self._rules.max_age, self._end, sequence, reason)
        return sequence

    def _feed_all(self) -> None:
        if self._shut is None:
            for sequence in [*self._sequences.values()]:
                self._feed(sequence)

    def _feed(self, sequence: RequestSequence) -> None:
        """Give the lane of a sequence its next request, when it is up; without any, its idle time begins."""
        if self._sequences.get(sequence.name) is not sequence:
            return
        sequence.begun = [job for job in sequence.begun if not job.over]
        while sequence.waiting and sequence.waiting[0].answer.done():
            if sequence.waiting.popleft().answer.cancelled():
                self._refused("client_gone")
        self._watch_idleness(sequence)
        if not sequence.waiting:
            return
        lane = self._seated(sequence) if sequence.lane is None else sequence.lane
        up = sequence.takes_next and len(sequence.begun) < self._rules.side_by_side
        if lane is not None and up:
            job = sequence.waiting.popleft()
            sequence.begun.append(job)
            lane.enqueue(job)

    def _watch_idleness(self, sequence: RequestSequence) -> None:
        """Have the idle time of a sequence run while there is nothing to do in it, and only then."""
        busy = bool(sequence.waiting or sequence.begun)
        if busy and sequence.idle_timer:
            sequence.idle_timer.cancel()
            sequence.idle_timer = None
        elif not busy and sequence.idle_timer is None:
            reason = f"it was idle for {self._rules.max_idle:g} seconds (sequenceMaxIdleMSec)"
            sequence.idle_timer = self._loop.call_later(self._rules.max_idle, self._end, sequence, reason)

    def _seated(self, sequence: RequestSequence) -> Lane | None:
        """The lane that a sequence has from now on: the one with the fewest, unless all have as many as they may."""
        lane = min(self._lanes.values(), key=lambda lane: len(lane.sequences), default=None)
        if lane is None or len(lane.sequences) >= self._rules.share(self._workers()):
            return None
        lane.sequences.append(sequence)
        sequence.lane = lane
        return lane

    def _answered(self, lane: Lane, outcomes: Sequence[Outcome]) -> None:
        """End the sequences that a handler has named as ended: `true` stands for the response's own."""
        for outcome in outcomes:
            if isinstance(outcome, InferenceResponse) and (said := outcome.headers.get(self._headers.end)):
                own = outcome.headers.get(self._headers.id, "")
                for name in [own] if said.lower() == "true" else said.split(";"):
                    sequence = self._sequences.get(name.strip())
                    if sequence and sequence.lane is lane:
                        self._end(sequence, "its handler has ended it")

    def _end(self, sequence: RequestSequence, reason: str) -> None:
        """A sequence is over: what waits in it is refused, what its worker has goes on, another may take its place."""
        if self._sequences.get(sequence.name) is not sequence:
            return
        del self._sequences[sequence.name]
        for timer in (sequence.idle_timer, sequence.age_timer):
            if timer:
                timer.cancel()
        if sequence.lane is not None:
            sequence.lane.sequences.remove(sequence)
        for job in sequence.waiting:
            if not job.answer.done():
                self._refused("sequence_closed")
                job.answer.set_exception(SequenceClosed(f"The sequence is closed: {reason}"))
        self._feed_all()

    def _any_lane(self) -> Lane:
        """The lane with the least to do, for what belongs to no sequence. Raises NoWorkers."""
        lane = min(self._lanes.values(), key=lambda lane: len(lane.sequences), default=None)
        if lane is None:
            raise NoWorkers("No worker is ready.")
        return lane

    def _late(self, job: Job) -> None:
        if not job.answer.done():
            self._refused("deadline")
            job.answer.set_exception(too_late(self._clock() - job.queued_at, "clientTimeoutInMills"))

    def _refused(self, reason: str) -> None:
        self._watch.rejected(reason)
