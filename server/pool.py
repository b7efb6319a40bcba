"""WorkerPool: how many workers a model has, and what becomes of one that dies."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from datetime import UTC, datetime
from typing import Any

from .batching.queues import RequestQueue
from .errors import ModelLoadFailed, ServingError, WorkerDied
from .messages import LoadFailure, LoadReport, Report
from .metrics.metrics import Metrics, ModelMetrics
from .scaling import Use
from .seat import FAILED, FAILING, LOADING, READY, STOPPING, Seat, new_outcome
from .status import WorkerStatus
from .wear import LASTING, Wear
from .workers.base import Load, Worker

logger = logging.getLogger(__name__)

DELAYS = (1, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233, 377, 610, 987, 1597)
"""Seconds before the first, second, … attempt after a death (contract: workers, section 4)."""

PROVEN = 1.0
"""Seconds after which a worker that dies is started again at once even where nobody has asked it for anything."""

WAY_OUT = "scale the model, or register it again, to have it tried anew"
"""How a crash loop is left."""


class WorkerPool:
    """Keeps as many workers as it is told to, starts those that die again, and tells the batcher who is idle."""

    def __init__(
        self,
        batcher: RequestQueue,
        metrics: Metrics,
        counted: ModelMetrics,
        *,
        make: Callable[[], Worker],
        seat: Callable[[], tuple[int, Load]],
        recovery_window: float,
        refusal: str,
        wear: Wear = LASTING,
        changed: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Have no workers; `seat` numbers a new one and says what it loads, `refusal` is said while there is none.

        `changed` is called when the state of one has changed, or how many there are.
        """
        self._batcher = batcher
        self._metrics = metrics
        self._counted = counted
        self._make = make
        self._seat = seat
        self._window = recovery_window
        self._refusal = refusal
        self._wear = wear
        self._changed = changed
        self._tasks: set[asyncio.Task[None]] = set()
        self._clock = clock
        self._sleep = sleep
        self._seats: list[Seat] = []
        self._waking = False
        self.resting = False
        """Whether all workers have been ended for want of requests, and `wake()` starts them again."""
        self.signature: dict[str, Any] | None = None
        """The named tensors of the model, as the worker that loaded it last has told."""
        self._settled()

    def __iter__(self) -> Iterator[Seat]:
        """The workers' places, the oldest first, without those that are being given up."""
        return iter([seat for seat in self._seats if seat.state != STOPPING])

    def count(self, state: str) -> int:
        """How many are in a state."""
        return sum(seat.state == state for seat in self._seats)

    def statuses(self) -> list[WorkerStatus]:
        """What there is to tell about each worker."""
        return [seat.status() for seat in self._seats]

    def processes(self) -> dict[str, int]:
        """The process of each worker that has one."""
        return {status.id: status.pid for status in self.statuses() if status.pid is not None}

    def error(self) -> ServingError | None:
        """Why a worker is not ready that should be, even while it is tried again; the newest worker's reason."""
        return next((seat.error for seat in reversed(self._seats) if seat.error and seat.state != STOPPING), None)

    def crash_loop(self) -> str | None:
        """Why nothing is tried any more, and how that is ended; None while some worker is there, or will be."""
        here = [*self]
        return here[-1].loop if here and all(seat.state == FAILED for seat in here) else None

    def scale(self, least: int, most: int) -> Coroutine[Any, Any, None]:
        """Have at least `least` workers and at most `most`; with a `least` of 0, none.

        Starts all missing ones at once; those that are too many finish their batch first. What is returned can be
        awaited until those that stay have loaded the model and the others have ended; cancelling it stops no worker.
        Raises: ModelLoadFailed, awaited, of the first that could not load it at its last attempt; it goes on trying.
        """
        self.resting = self._waking = False
        given_up = [seat for seat in self if seat.state == FAILED]
        running = [seat for seat in self if seat.state != FAILED]
        keep = 0 if least == 0 else max(least, min(most, len(running)))
        leaving = [*given_up, *self._dispensable(running)[: max(0, len(running) - keep)]]
        staying = [seat for seat in running if seat not in leaving]
        staying += [self._open() for _ in range(keep - len(running))]
        leavers = [asyncio.ensure_future(self._close(seat)) for seat in leaving]
        self._settled()
        return _all(*leavers, *(asyncio.shield(seat.outcome) for seat in staying))

    def use(self) -> Use:
        """How much there is to do for the workers at this moment."""
        running = [seat for seat in self if seat.state != FAILED]
        ready = [seat for seat in running if seat.state == READY and not seat.replaced]
        busy = sum(map(self._busy, ready))
        return Use(len(running), len(ready), busy, self._batcher.oldest_wait, len(self._batcher) + self._batcher.flying)

    @property
    def asleep(self) -> bool:
        """Whether there is no worker for the sole reason that nobody has asked for any in a long time.

        Requests are let in: `wake()` is to be called then. It goes on until the first worker is ready, or has failed.
        """
        return self.resting or self._waking

    def grow(self) -> None:
        """Start one more worker."""
        self._open()

    def shrink(self) -> None:
        """End one worker, once it has answered what it has in hand; one that is idle before others."""
        self._spawn(self._close(self._dispensable([seat for seat in self if seat.state != FAILED])[0]))

    def rest(self) -> None:
        """End all workers, once they have answered what they have in hand; what comes meanwhile waits."""
        self.resting = True
        self._settled()
        for seat in self:
            self._spawn(self._close(seat))

    def wake(self, workers: int) -> bool:
        """Start workers for who waits, where all have been sent to rest; whether that is so."""
        if not self.resting:
            return False
        self.resting, self._waking = False, True
        for _ in range(workers):
            self._open()
        self._settled()
        return True

    async def renew(self) -> None:
        """Replace the workers that are ready, one after the other, each once its successor has loaded the model."""
        for seat in [*self]:
            if seat in self._seats and seat.state == READY and not seat.replaced:
                seat.replaced = True
                await self._succeed(seat, "all are to be new")

    async def stop(self) -> None:
        """End all workers now, busy or not."""
        self.resting = self._waking = False
        for seat in self._seats:
            seat.state = STOPPING
            self._cancel(seat)
        self._settled()
        keepers = [seat.keeper for seat in self._seats if seat.keeper]
        if keepers:
            await asyncio.wait(keepers)
        for seat in [*self._seats]:
            self._leave(seat)

    def _open(self) -> Seat:
        self._counted.begin(self.processes)
        number, load = self._seat()
        seat = Seat(number, load)
        self._seats.append(seat)
        seat.keeper = asyncio.get_running_loop().create_task(self._keep(seat), name=load.name)
        self._changed()
        return seat

    def _close(self, seat: Seat) -> Coroutine[Any, Any, None]:
        """Give up a seat; a worker with a batch in hand finishes it first, and is ended by `_idle`.

        It does not count any more when this returns; what is returned can be awaited until it has gone.
        """
        busy = self._busy(seat)
        seat.state = STOPPING
        self._settled()
        if not busy:
            self._cancel(seat)
        return self._gone(seat)

    async def _gone(self, seat: Seat) -> None:
        if seat.keeper:
            await asyncio.wait([seat.keeper])
        self._leave(seat)

    def _dispensable(self, seats: list[Seat]) -> list[Seat]:
        """Seats in the order in which they may be given up: idle ones first, and the newest of these."""
        return sorted(seats, key=lambda seat: (self._busy(seat), -seat.number))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _busy(self, seat: Seat) -> bool:
        """Whether a batch is in its worker's hands."""
        return seat.state == READY and seat.worker is not None and not self._batcher.is_idle(seat.worker)

    def _cancel(self, seat: Seat) -> None:
        if seat.worker:
            self._batcher.forget(seat.worker)
        if seat.keeper:
            seat.keeper.cancel()

    async def _keep(self, seat: Seat) -> None:
        """Run one worker after the other in a seat, until it is given up or has failed for too long."""
        try:
            while True:
                error = await self._live(seat)
                if seat.state == STOPPING or not self._to_be_tried_again(seat, error):
                    return
                delay = self._delay(seat)
                logger.warning("%s is started again in %g s: %s", seat.load.name, delay, error.explained())
                await self._sleep(delay)
                seat.state, seat.started_at = LOADING, datetime.now(UTC)
                self._counted.worker_restarted(error)
                self._settled()
        finally:
            if seat.state != FAILED:
                self._leave(seat)

    def _delay(self, seat: Seat) -> float:
        """Seconds before a seat's next worker starts: none where the last one has answered something, or for long."""
        since, seat.ready_since = seat.ready_since, None
        if since is not None and (seat.served > 0 or self._clock() - since >= PROVEN):
            return 0
        seat.attempts += 1
        return DELAYS[min(seat.attempts, len(DELAYS)) - 1]

    async def _live(self, seat: Seat) -> ServingError:
        """One worker's life; returns what ended it."""
        seat.worker = worker = self._make()
        try:
            await worker.run(seat.load, lambda _, report: self._idle(seat, worker, report))
        except ServingError as error:
            return error
        except Exception as error:  # a border: whatever is wrong with one worker must not end its supervision
            logger.exception("%s: the worker's supervision failed", seat.load.name)
            return WorkerDied("Worker died.", f"{type(error).__name__}: {error}")
        finally:
            if self._proven(seat):
                seat.attempts, seat.failing_since = 0, None
            self._batcher.forget(worker)
        return WorkerDied("Worker died.", "its run ended without an error")

    def _proven(self, seat: Seat) -> bool:
        """Whether the worker has been of use, so that its death has to do with a request, or with its age.

        Then no client's requests can make a crash loop of it.
        """
        since = seat.ready_since
        return since is not None and (seat.served > 0 or self._busy(seat) or self._clock() - since >= PROVEN)

    def _idle(self, seat: Seat, worker: Worker, report: Report) -> None:
        """A worker has loaded its model, or answered a batch: it gets the next one, or its leave."""
        seat.memory_bytes = report.memory_bytes
        if report.engine is not None or isinstance(report, LoadReport):
            seat.engine = report.engine
            self._batcher.learn(worker, report.engine)
        if seat.state == STOPPING and not self._batcher.finishes(worker):
            self._cancel(seat)
            return
        if isinstance(report, LoadReport):
            self._loaded(seat, report)
        else:
            seat.served += report.requests
        if not seat.replaced and (why := self._wear.reason(seat.served, seat.memory_bytes)):
            self._replace(seat, why)
        self._batcher.idle(worker, math.inf if isinstance(report, LoadReport) else report.seconds)

    def _replace(self, seat: Seat, why: str) -> None:
        """Give up a worker once another one, in a seat of its own, has loaded the model."""
        seat.replaced = True
        self._spawn(self._succeed(seat, why))

    async def _succeed(self, seat: Seat, why: str) -> None:
        fresh = self._open()
        logger.info("%s is replaced by %s: %s", seat.load.name, fresh.load.name, why)
        try:
            await asyncio.shield(fresh.outcome)
        except ServingError as error:
            if fresh.state == STOPPING:  # the model is to have fewer workers, or none
                seat.replaced = False
                return
            logger.warning("%s stays, its successor cannot load the model: %s", seat.load.name, error.explained())
            await self._close(fresh)
            seat.served, seat.replaced = 0, False
            return
        self._counted.worker_recycled()
        await self._close(seat)

    def _loaded(self, seat: Seat, report: LoadReport) -> None:
        self._waking = False
        seat.state, seat.error = READY, None
        seat.ready_since, seat.served = self._clock(), 0
        self._metrics.worker_loaded(seat.load.name, time.monotonic() - seat.asked_at)
        self._counted.worker_loaded(report)
        self.signature = report.signature
        logger.info("%s has loaded its model in %.2f s", seat.load.name, report.seconds)
        seat.loaded()
        self._settled()

    def _to_be_tried_again(self, seat: Seat, error: ServingError) -> bool:
        """Record a death; False once the seat has been failing for longer than it may."""
        now = self._clock()
        self._waking = False
        seat.error = error
        if seat.failing_since is None:
            seat.failing_since = now
        again = now - seat.failing_since < self._window
        seat.state = FAILING if again else FAILED
        if not again:
            seat.loop = (
                f"crash loop: given up after {seat.attempts + 1} attempts in {now - seat.failing_since:.0f} s, "
                f"the last: {error.explained()}; {WAY_OUT}"
            )
            logger.error("%s is in a %s", seat.load.name, seat.loop)
        if again and isinstance(error, WorkerDied) and seat.outcome.done():
            seat.outcome = new_outcome()
        else:
            seat.failed(error)
        self._settled()
        return again

    def _leave(self, seat: Seat) -> None:
        if seat in self._seats:
            self._seats.remove(seat)
        if not seat.outcome.done():
            spec = seat.load.spec
            failure = LoadFailure("load", "Stopped", "the worker was called off before it had loaded the model")
            seat.failed(ModelLoadFailed(spec.name, spec.version, failure))
        self._metrics.worker_removed(seat.load.name)
        self._settled()

    def _settled(self) -> None:
        """Let requests wait while some worker may ever serve them, and refuse them otherwise."""
        self._changed()
        if self.resting or any(seat.state in (LOADING, READY, FAILING) for seat in self._seats):
            self._batcher.open()
        else:
            self._batcher.shut(self._refusal)


async def _all(*waited_for: Awaitable[None]) -> None:
    await asyncio.gather(*waited_for)
