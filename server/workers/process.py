"""ProcessWorker: our end of a worker that is a process; the other end is child.py."""

from __future__ import annotations

import asyncio
import os
import socket
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import ClassVar

from ..batching.batch import TURN, AheadBatch, Batch
from ..errors import InvalidRequest, ModelLoadFailed, ResponseTimeout, ServingError, WorkerDied, WorkerOutOfMemory
from ..heap import HEAP
from ..messages import BatchReport, Failure, LoadFailure
from .base import LEAST_SECONDS, Idle, Load
from .claims import NUMBERS, Claims
from .deaths import OUT_OF_MEMORY, UNRESPONSIVE, Death
from .environment import environment_of
from .heartbeat import Heartbeat, state_of
from .memory import Buffer, Memory
from .output import WorkerOutput
from .spawn import Child, finish
from .wire import (
    Frame,
    FrameReader,
    Kind,
    WireError,
    pack,
    pack_batch,
    pack_load,
    pack_ping,
    pack_release,
    pack_stop,
    through,
    unpack_answers,
    unpack_loaded,
    unpack_pieces,
)
from .zygote import FORKS, Forks, Zygote

DIED = "Worker died."
META_ALLOWANCE = 1 << 20
HANG_UP_WAIT = 1.0
"""Seconds a worker that has hung up gets to end, so that we learn how."""
LOOK_SECONDS = 0.1
"""Seconds between two looks at a batch that is under way."""
AHEAD_WAIT = 0.01
"""Seconds that a batch may take for those behind it to stay with this worker."""
KEEP_SECONDS = 5.0
"""Seconds for which memory that large bodies went through is kept for the next."""
OUTPUT_WAIT = 0.5
"""Seconds the last output of a worker that has ended may take to arrive."""


class ProcessWorker(asyncio.BufferedProtocol):
    """Runs a model in a process of its own, one batch at a time; it may have the next ones in hand already."""

    pid: int | None = None
    forks: ClassVar[Forks | None] = FORKS
    """Where all of them are forked from; None: each is started by itself."""

    def __init__(self) -> None:
        """Be ready to run."""
        self._loaded = False
        self._hand: deque[tuple[int, Batch]] = deque()
        """The batches it has, with their numbers; it is at the first."""
        self._number = 0
        self._transport: asyncio.Transport | None = None
        self._pipe: asyncio.ReadTransport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._heartbeat: Heartbeat | None = None
        self._began_at = self._due = self._look_at = 0.0
        self._told_to_stop = False
        self._memory_bytes = 0
        self._memory: Memory | None = None
        self._claims: Claims | None = None
        self._connection: socket.socket | None = None
        self._acting = self._ended = False
        self._out: list[Buffer] = []
        self._offers = bytearray()
        self._keeper: asyncio.TimerHandle | None = None
        self._large_at = 0.0
        self.heard_at: float | None = None
        """When the process last said anything, by the loop's clock; None before it has loaded its model."""

    @property
    def available(self) -> bool:
        """Whether the process lives, as far as is known."""
        return not self._ended

    @property
    def takes_ahead(self) -> bool:
        """Whether batches can be sent ahead, and taken back."""
        return self._claims is not None and not self._ended

    async def run(self, load: Load, idle: Idle) -> None:
        """Start the process, load the model, answer batches, until cancelled or dead: see Worker.run."""
        self._loop = asyncio.get_running_loop()
        self._load, self._idle = load, idle
        self._reader = FrameReader(load.spec.max_response_size + META_ALLOWANCE)
        self._end: asyncio.Future[ServingError] = self._loop.create_future()
        self._output = WorkerOutput(load.name)
        forks = None if load.python else self.forks  # another environment may have other versions of what is loaded
        seen = environment_of(os.environ, load.hidden_variables)
        zygote = await forks.ready(seen, load.spec.needs) if forks else None
        try:
            child = _child(load, zygote, lambda: forks and forks.start(seen, load.spec.needs))
        except OSError as error:
            raise self._load_failed(LoadFailure("start", type(error).__name__, str(error))) from error
        # No await stands between making the process and owning it
        try:
            self.pid = child.pid
            child.ended.add_done_callback(lambda ended: self._died(ended.result()))
            await finish(self._connect(child))  # uvloop closes a pipe twice when cancelled while it connects it
            reason = await self._end
        finally:
            self._let_go()
            await finish(self._clean_up(child))
        raise self._with_output(reason)

    def send(self, batch: Batch) -> None:
        """Give the process a batch; it has `response_timeout` seconds, anew for each piece of an answer."""
        if buffers := self._packed(batch):
            self._hand.append((self._number, batch))
            self._begin()
            if self._memory:
                self._memory.rewind()
            self._write(through(self._memory, buffers))

    def send_ahead(self, batch: AheadBatch) -> None:
        """Give the process a batch behind those it has; it is taken back where one of these takes its time."""
        if buffers := self._packed(batch, ahead=True):
            self._hand.append((self._number, batch))
            self._offers.append(self._number)
            if not self._out and not self._acting:
                self._loop.call_soon(self._flush)
            self._out += buffers
            if self._timer is None or self._look_at > self._loop.time() + AHEAD_WAIT:
                self._look_later()

    def ping(self) -> None:
        """Ask the process whether it is there: `heard_at` moves on when it answers, which a busy one need not do."""
        self._write(pack_ping())

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where to receive into."""
        return self._reader.space()

    def buffer_updated(self, nbytes: int) -> None:
        """Act on the frames that are complete."""
        self._acting = True
        try:
            with TURN:
                for frame in self._reader.received(nbytes):
                    self._act(frame)
                self._acting = False
                self._flush()
        except (WireError, LookupError, TypeError, ValueError) as error:
            self._finish(WorkerDied(DIED, f"sent what cannot be read: {error}"))
        finally:
            self._acting = False

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait a little for the process to end: how it ends says more than that it has hung up."""
        self._loop.call_later(HANG_UP_WAIT, lambda: self._finish(self._death(Death("hung up without ending"))))

    async def _connect(self, child: Child) -> None:
        self._pipe, _ = await self._loop.connect_read_pipe(lambda: self._output, child.hand_over_output())
        if connection := child.hand_over_connection():
            self._memory, self._claims = _share(connection)
            self._reader.memory = self._memory
            self._connection = connection
        self._transport, _ = await self._loop.create_unix_connection(lambda: self, sock=connection)
        self._timer = self._loop.call_later(self._load.startup_timeout, self._startup_late)
        if self._load.startup_timeout > LEAST_SECONDS:  # otherwise there is no time: some load in less than that
            self._write(pack_load(self._load.spec))

    def _act(self, frame: Frame) -> None:
        if frame.kind is Kind.PONG:
            self.heard_at = self._loop.time()
            return
        if not self._loaded and frame.kind in (Kind.LOADED, Kind.LOAD_FAILED):
            self._loaded_or_not(frame)
        elif self._hand and frame.kind in (Kind.ANSWERS, Kind.BATCH_FAILED):
            self._answered(frame)
        elif self._hand and frame.kind is Kind.PIECES:
            self._due = self._loop.time() + self._load.response_timeout
            batch = self._hand[0][1]
            batch.advance(unpack_pieces(frame, len(batch.requests)))
            self._stop_abandoned()
        else:
            raise WireError(f"{frame.kind.name} was not expected")
        self.heard_at = self._loop.time()

    def _loaded_or_not(self, frame: Frame) -> None:
        self._stop_timer()
        outcome = unpack_loaded(frame)
        if isinstance(outcome, LoadFailure):
            self._finish(ModelLoadFailed(self._load.spec.name, self._load.spec.version, outcome))
            return
        self._loaded = True
        self._begin_to_beat()
        self._idle(self, outcome)

    def _begin_to_beat(self) -> None:
        pid = self.pid
        if pid is None or not self._load.heartbeat:
            return
        self._heartbeat = Heartbeat(
            self._loop,
            self._load.heartbeat,
            lambda: state_of(pid),
            busy=lambda: bool(self._hand),
            ping=self.ping,
            heard_at=lambda: self.heard_at or 0.0,
            lost=lambda how: self._finish(self._death(Death(how, UNRESPONSIVE))),
        )

    def _answered(self, frame: Frame) -> None:
        batch = self._hand[0][1]
        outcomes, report = unpack_answers(frame, len(batch.requests))
        if self._memory and self._memory.used:
            self._keep_memory()
        self._hand.popleft()
        self._memory_bytes = report.memory_bytes
        batch.settle(outcomes, report)
        if _leaving(outcomes):
            return
        if self._hand:
            self._begin()
        self._idle(self, report)

    def _packed(self, batch: Batch, ahead: bool = False) -> list[Buffer]:
        """The frame of a batch, with the next number; nothing where it had to be refused."""
        number = (self._number + 1) % NUMBERS
        try:
            buffers = pack_batch(batch.requests, number, ahead)
        except WireError as error:
            if isinstance(batch, AheadBatch):
                batch.begin()
            batch.fail(InvalidRequest(f"the request cannot be handed on: {error}"))
            self._loop.call_soon(self._idle, self, BatchReport(0, self._memory_bytes))
            return []
        self._number = number
        return buffers

    def _begin(self) -> None:
        """The first batch in hand is the process's next: its time begins."""
        batch, self._told_to_stop = self._hand[0][1], False
        if isinstance(batch, AheadBatch):
            batch.begin()
        self._began_at = self._loop.time()
        self._due = self._began_at + self._load.response_timeout
        if self._timer is None or self._due < self._look_at:
            self._look_later()

    def _flush(self) -> None:
        """Send what is to go ahead: a process that finds a batch must find that it may have it."""
        if not self._out:
            return
        out, self._out = self._out, []
        offers, self._offers = bytes(self._offers), bytearray()
        if self._claims:
            self._claims.offer(offers)
            self._write([b"".join(out)])

    def _take_back(self) -> None:
        """Give back what the process has not begun."""
        self._flush()
        numbers = self._claims.take_back() if self._claims else b""
        if not numbers:
            return
        returned = [batch for number, batch in self._hand if number in numbers]
        self._hand = deque(each for each in self._hand if each[0] not in numbers)
        for batch in reversed(returned):
            if isinstance(batch, AheadBatch):
                batch.give_back()

    def _keep_memory(self) -> None:
        """Have the pages given back some time after they were last used."""
        HEAP.keep()
        self._large_at = self._loop.time()
        if not self._keeper:
            self._keeper = self._loop.call_later(KEEP_SECONDS, self._release_memory)

    def _release_memory(self) -> None:
        self._keeper = None
        if self._hand or self._loop.time() < self._large_at + KEEP_SECONDS:
            self._keeper = self._loop.call_later(KEEP_SECONDS, self._release_memory)
        elif self._memory:
            self._memory.release()
            self._write(pack_release())
            HEAP.give_back()

    def _look_later(self) -> None:
        self._stop_timer()
        now = self._loop.time()
        self._look_at = min(now + (AHEAD_WAIT if len(self._hand) > 1 else LOOK_SECONDS), max(now, self._due))
        self._timer = self._loop.call_at(self._look_at, self._look)

    def _look(self) -> None:
        """See to a batch that takes its time: whether it has taken too much, and whether anybody still waits.

        One timer serves many quick batches: it rings for nothing then, and once more when there are none.
        """
        self._timer = None
        if not self._hand:
            return
        now = self._loop.time()
        if now >= self._due:
            self._response_late()
            return
        self._stop_abandoned()
        if len(self._hand) > 1 and now >= self._began_at + AHEAD_WAIT:
            self._see_to_those_behind()
        if self._hand:
            self._look_later()

    def _see_to_those_behind(self) -> None:
        """Take back what waits for a batch that takes its time, unless it was us who did not look."""
        self.look()
        if len(self._hand) > 1 and self._loop.time() >= self._began_at + AHEAD_WAIT:
            self._take_back()
            if not self._hand:  # it was between two batches
                self._idle(self, BatchReport(0, self._memory_bytes))

    def _stop_abandoned(self) -> None:
        """Tell the handler, once, when nobody waits any more."""
        number, batch = self._hand[0]
        if batch.abandoned and not self._told_to_stop:
            self._told_to_stop = True
            self._write(pack_stop(number))

    def _write(self, buffers: Sequence[Buffer]) -> None:
        if self._transport and not self._transport.is_closing():
            self._transport.writelines(buffers)

    def _response_late(self) -> None:
        limit = self._load.response_timeout
        waited = limit + self._loop.time() - self._due
        text = f"The worker gave no answer for {waited:.3f} seconds; responseTimeout allows {limit:g}"
        self._finish(ResponseTimeout(text, f"no answer within {limit:g} seconds"))

    def _startup_late(self) -> None:
        seconds = f"{self._load.startup_timeout:g} seconds"
        self._finish(
            self._load_failed(
                LoadFailure(
                    "load",
                    "StartupTimeout",
                    f"not loaded within {seconds}",
                    hint="raise startupTimeout",
                    timed_out=self._load.startup_timeout > LEAST_SECONDS,  # 0 is 500: contract, management, section 10
                )
            )
        )

    def _death(self, death: Death) -> ServingError:
        how, out_of_memory = f"the process {death.how}", death.cause == OUT_OF_MEMORY
        if self._loaded:
            return (WorkerOutOfMemory if out_of_memory else WorkerDied)(DIED, how, death.cause, how)
        return self._load_failed(LoadFailure("load", "WorkerDied", how, out_of_memory=out_of_memory))

    def _load_failed(self, failure: LoadFailure) -> ModelLoadFailed:
        return ModelLoadFailed(self._load.spec.name, self._load.spec.version, failure)

    def _finish(self, error: ServingError) -> None:
        """The worker's life is over for this reason, unless it is over already."""
        self._ended = True
        if not self._end.done():
            self._end.set_result(error)
            self._let_go(error)

    def _died(self, death: Death) -> None:
        """The process has ended, maybe with answers that were not read yet."""
        self._ended = True
        self.look()
        self._finish(self._death(death))

    def look(self) -> None:
        """Act on what has come, without waiting for the loop."""
        while self._connection and not self._acting and not self._end.done():
            try:
                count = self._connection.recv_into(self._reader.space(), 0, socket.MSG_DONTWAIT)
            except OSError:
                return
            if not count:
                return
            self.buffer_updated(count)

    def _let_go(self, error: ServingError | None = None) -> None:
        """Settle the batch that it is at, give back the others; a worker that is stopped has no error of its own."""
        self._ended = True
        self._stop_timer()
        if self._heartbeat:
            self._heartbeat.stop()
        self._take_back()
        hand, self._hand = self._hand, deque()
        for _, batch in hand:
            batch.fail(error or WorkerDied(DIED, "the worker was stopped"))

    def _with_output(self, error: ServingError) -> ServingError:
        """A process that died while loading could not say why; its last words may."""
        if isinstance(error, ModelLoadFailed) and error.failure.exception == "WorkerDied" and self._output.tail:
            last = " | ".join(self._output.tail)
            return self._load_failed(replace(error.failure, message=f"{error.failure.message}; it said: {last}"))
        return error

    async def _clean_up(self, child: Child) -> None:
        try:
            if self._transport:
                self._transport.abort()
            await child.stop()
            if self._pipe:
                await asyncio.wait([self._output.ended], timeout=OUTPUT_WAIT)
                self._pipe.close()
        finally:
            child.close()
            if self._keeper:
                self._keeper.cancel()
            for each in (self._memory, self._claims):
                if each:
                    each.close()

    def _stop_timer(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None


class SpawnedWorker(ProcessWorker):
    """The same with a Python of its own, which has imported nothing yet."""

    forks = None


def _child(load: Load, zygote: Zygote | None, renew: Callable[[], object]) -> Child:
    """A process that is forked, or started where that takes too long: for the next one the zygote is renewed.

    Raises: OSError
    """
    try:
        return Child(load, zygote=zygote)
    except TimeoutError:
        renew()
        return Child(load)


def _share(connection: socket.socket) -> tuple[Memory | None, Claims | None]:
    """What the other end of a connection has in common with us, which nothing has been sent by; None: nothing."""
    try:
        memory = Memory.create()
    except OSError:
        return None, None
    try:
        claims = Claims.create()
    except OSError:
        memory.close()
        return None, None
    socket.send_fds(connection, [b"".join(pack(Kind.MEMORY, None))], [memory.descriptor, claims.reading])
    return memory, claims


def _leaving(outcomes: Sequence[object]) -> bool:
    """Whether the handler has asked its process to end."""
    return any(isinstance(outcome, Failure) and outcome.kind == WorkerDied.__name__ for outcome in outcomes)
