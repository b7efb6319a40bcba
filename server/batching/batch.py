"""Job and Batch: a request with the future its client waits on, and the jobs that go through one worker together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import replace
from typing import Protocol

from ..errors import ResponseTimeout, ServingError, WorkerDied, from_failure
from ..messages import BatchReport, Failure, InferenceRequest, InferenceResponse, Outcome
from .stream import Stream

STREAM_LIMIT = 8 << 20
"""Bytes of one answer's pieces that may wait for their client, unless told otherwise."""


class Sender(Protocol):
    """A worker, as far as the batcher knows one."""

    @property
    def available(self) -> bool:
        """Whether it can take a batch: one that is about to be declared dead cannot."""
        ...

    def send(self, batch: Batch) -> None:
        """Own the batch from here on, and settle it; never raises."""


class Stacker(Sender, Protocol):
    """A worker that can be given batches while it has one in hand."""

    takes_ahead: bool
    """Whether it does now; others have no such attribute."""

    def look(self) -> None:
        """Take in what it has answered; the loop, which would tell, has much else to do."""

    def send_ahead(self, batch: AheadBatch) -> None:
        """Own a batch, begin it when those before are settled, and settle it or give it back; never raises."""


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


class Turn:
    """Puts off telling what is settled meanwhile: within it, a worker is given its next batch before answers are sent.

    A worker that waits for its batch while answers are written falls asleep, and waking it costs more than all else.
    """

    def __init__(self) -> None:
        """Put nothing off."""
        self._depth = 0
        self._untold: list[Answer] = []

    def __enter__(self) -> None:
        self._depth += 1

    def __exit__(self, *raised: object) -> None:
        self._depth -= 1
        if not self._depth:
            self.tell()

    def settled(self, answer: Answer) -> None:
        """Have an answer tell its listener: at the end of the turn, or now outside of one."""
        if self._depth:
            self._untold.append(answer)
        else:
            answer.notify()

    def tell(self) -> None:
        """Tell what was put off: at the end, or before where no batch is to follow."""
        untold, self._untold = self._untold, []
        for answer in untold:
            answer.notify()


TURN = Turn()
"""That of the event loop."""


class Answer(asyncio.Future[InferenceResponse]):
    """An answer-to-be that tells one listener at once; a callback would have to wait for the loop to turn."""

    _listener: Callable[[asyncio.Future[InferenceResponse]], None] | None = None
    is_awaited: Callable[[], bool] | None = None
    """Tells whether the client is still there, where that can be told."""

    def tell(self, listener: Callable[[asyncio.Future[InferenceResponse]], None]) -> None:
        """Call this when it is done, from within whoever does it; what it raises is for the loop's handler."""
        self._listener = listener
        if self.done():
            self.notify()

    def set_result(self, result: InferenceResponse) -> None:
        """Be answered."""
        super().set_result(result)
        if self._listener is not None:
            TURN.settled(self)

    def set_exception(self, exception: type | BaseException, /) -> None:
        """Be refused."""
        super().set_exception(exception)
        if self._listener is not None:
            TURN.settled(self)

    def cancel(self, msg: object = None) -> bool:
        """Be left."""
        if (cancelled := super().cancel(msg)) and self._listener is not None:
            TURN.settled(self)
        return cancelled

    def notify(self) -> None:
        """Tell the listener, unless it was told."""
        listener, self._listener, self.is_awaited = self._listener, None, None
        if listener is None:
            return
        try:
            listener(self)
        except Exception as error:  # a border: who settles a batch has others to answer, too
            self.get_loop().call_exception_handler({"message": "an answer could not be sent", "exception": error})


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
        returned = self._give_back() if [o for o in outcomes if isinstance(o, Failure) and o.raised] else ()
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
                refuse(job, copy(error))
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
        if job.answer.done() if job.stream is None else job.stream.ended:  # job.over, without the call
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


class AheadBatch(Batch):
    """A batch that a worker is given while it has others in hand; it may come back before it is begun."""

    __slots__ = ("_began", "_returned", "begun")

    def __init__(
        self,
        jobs: Sequence[Job],
        clock: Callable[[], float],
        watch: Watch,
        done: Callable[[Sequence[Job], Sequence[Outcome]], None],
        stream_limit: int,
        *,
        began: Callable[[Sequence[Job], float], None],
        returned: Callable[[AheadBatch, Sequence[Job]], None],
    ) -> None:
        """Take the jobs over; they still wait until `began` is told, unless `returned` is given them back."""
        super().__init__(jobs, clock, watch, done, stream_limit)
        self._began = began
        self._returned = returned
        self.begun = False
        """Whether it is the worker's turn to begin it, as far as is known."""

    def begin(self) -> None:
        """All batches before it are settled."""
        self.begun, self.sent_at = True, self._clock()
        self._began(self._jobs, self.sent_at)

    def give_back(self) -> None:
        """The worker has not begun it, and will not."""
        self._returned(self, self._jobs)


def refuse(job: Job, error: ServingError) -> None:
    """Give a job an error instead of an answer, or of the rest of one."""
    if job.stream:
        job.stream.end(error)
    elif not job.answer.done():
        job.answer.set_exception(error)
