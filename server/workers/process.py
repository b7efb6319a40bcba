"""ProcessWorker: our end of a worker that is a process; the other end is child.py."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

from ..batching.batch import TURN, Batch
from ..errors import InvalidRequest, ModelLoadFailed, ResponseTimeout, ServingError, WorkerDied, WorkerOutOfMemory
from ..heap import HEAP
from ..messages import BatchReport, Failure, LoadFailure
from .base import LEAST_SECONDS, Idle, Load
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
from .zygote import FORKS, Forks

DIED = "Worker died."
META_ALLOWANCE = 1 << 20
HANG_UP_WAIT = 1.0
"""Seconds a worker that has hung up gets to end, so that we learn how."""
LOOK_SECONDS = 0.1
"""Seconds between two looks at a batch that is under way."""
KEEP_SECONDS = 5.0
"""Seconds for which memory that large bodies went through is kept for the next."""
OUTPUT_WAIT = 0.5
"""Seconds the last output of a worker that has ended may take to arrive."""


class ProcessWorker(asyncio.BufferedProtocol):
    """Runs a model in a process of its own, one batch at a time."""

    pid: int | None = None
    forks: ClassVar[Forks | None] = FORKS
    """Where all of them are forked from; None: each is started by itself."""

    def __init__(self) -> None:
        """Be ready to run."""
        self._loaded = False
        self._batch: Batch | None = None
        self._transport: asyncio.Transport | None = None
        self._pipe: asyncio.ReadTransport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._heartbeat: Heartbeat | None = None
        self._due = self._look_at = 0.0
        self._told_to_stop = False
        self._memory_bytes = 0
        self._memory: Memory | None = None
        self._keeper: asyncio.TimerHandle | None = None
        self._large_at = 0.0
        self.heard_at: float | None = None
        """When the process last said anything, by the loop's clock; None before it has loaded its model."""

    @property
    def available(self) -> bool:
        """Whether the process lives, as far as is known."""
        return not self._end.done()

    async def run(self, load: Load, idle: Idle) -> None:
        """Start the process, load the model, answer batches, until cancelled or dead: see Worker.run."""
        self._loop = asyncio.get_running_loop()
        self._load, self._idle = load, idle
        self._reader = FrameReader(load.spec.max_response_size + META_ALLOWANCE)
        self._end: asyncio.Future[ServingError] = self._loop.create_future()
        self._output = WorkerOutput(load.name)
        forks = None if load.python else self.forks  # another environment may have other versions of what is loaded
        seen = environment_of(os.environ, load.hidden_variables)
        zygote = await forks.ready(seen, load.spec.plain) if forks else None
        try:
            child = Child(load, zygote=zygote)
        except OSError as error:
            raise self._load_failed(LoadFailure("start", type(error).__name__, str(error))) from error
        # No await stands between making the process and owning it
        try:
            self.pid = child.pid
            child.ended.add_done_callback(lambda ended: self._finish(self._death(ended.result())))
            await finish(self._connect(child))  # uvloop closes a pipe twice when cancelled while it connects it
            reason = await self._end
        finally:
            self._let_go()
            await finish(self._clean_up(child))
        raise self._with_output(reason)

    def send(self, batch: Batch) -> None:
        """Give the process a batch; it has `response_timeout` seconds, anew for each piece of an answer."""
        try:
            buffers = pack_batch(batch.requests)
        except WireError as error:
            batch.fail(InvalidRequest(f"the request cannot be handed on: {error}"))
            self._loop.call_soon(self._idle, self, BatchReport(0, self._memory_bytes))
            return
        self._batch, self._told_to_stop = batch, False
        self._due = self._loop.time() + self._load.response_timeout
        if self._timer is None or self._due < self._look_at:
            self._look_later()
        if self._memory:
            self._memory.rewind()
        self._write(through(self._memory, buffers))

    def ping(self) -> None:
        """Ask the process whether it is there: `heard_at` moves on when it answers, which a busy one need not do."""
        self._write(pack_ping())

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where to receive into."""
        return self._reader.space()

    def buffer_updated(self, nbytes: int) -> None:
        """Act on the frames that are complete."""
        try:
            for frame in self._reader.received(nbytes):
                self._act(frame)
        except (WireError, LookupError, TypeError, ValueError) as error:
            self._finish(WorkerDied(DIED, f"sent what cannot be read: {error}"))

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait a little for the process to end: how it ends says more than that it has hung up."""
        self._loop.call_later(HANG_UP_WAIT, lambda: self._finish(self._death(Death("hung up without ending"))))

    async def _connect(self, child: Child) -> None:
        self._pipe, _ = await self._loop.connect_read_pipe(lambda: self._output, child.hand_over_output())
        if connection := child.hand_over_connection():
            self._reader.memory = self._memory = _share(connection)
        self._transport, _ = await self._loop.create_unix_connection(lambda: self, sock=connection)
        self._timer = self._loop.call_later(self._load.startup_timeout, self._startup_late)
        self._write(pack_load(self._load.spec))

    def _act(self, frame: Frame) -> None:
        if frame.kind is Kind.PONG:
            self.heard_at = self._loop.time()
            return
        if not self._loaded and frame.kind in (Kind.LOADED, Kind.LOAD_FAILED):
            self._loaded_or_not(frame)
        elif self._batch and frame.kind in (Kind.ANSWERS, Kind.BATCH_FAILED):
            self._answered(self._batch, frame)
        elif self._batch and frame.kind is Kind.PIECES:
            self._due = self._loop.time() + self._load.response_timeout
            self._batch.advance(unpack_pieces(frame, len(self._batch.requests)))
            self._stop_abandoned(self._batch)
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
            busy=lambda: self._batch is not None,
            ping=self.ping,
            heard_at=lambda: self.heard_at or 0.0,
            lost=lambda how: self._finish(self._death(Death(how, UNRESPONSIVE))),
        )

    def _answered(self, batch: Batch, frame: Frame) -> None:
        outcomes, report = unpack_answers(frame, len(batch.requests))
        if self._memory and self._memory.used:
            self._keep_memory()
        self._batch, self._memory_bytes = None, report.memory_bytes
        with TURN:
            batch.settle(outcomes, report)
            if not _leaving(outcomes):
                self._idle(self, report)

    def _keep_memory(self) -> None:
        """Have the pages given back some time after they were last used."""
        HEAP.keep()
        self._large_at = self._loop.time()
        if not self._keeper:
            self._keeper = self._loop.call_later(KEEP_SECONDS, self._release_memory)

    def _release_memory(self) -> None:
        self._keeper = None
        if self._batch or self._loop.time() < self._large_at + KEEP_SECONDS:
            self._keeper = self._loop.call_later(KEEP_SECONDS, self._release_memory)
        elif self._memory:
            self._memory.release()
            self._write(pack_release())
            HEAP.give_back()

    def _look_later(self) -> None:
        self._stop_timer()
        now = self._loop.time()
        self._look_at = min(now + LOOK_SECONDS, max(now, self._due))
        self._timer = self._loop.call_at(self._look_at, self._look)

    def _look(self) -> None:
        """See to a batch that takes its time: whether it has taken too much, and whether anybody still waits.

        One timer serves many quick batches: it rings for nothing then, and once more when there are none.
        """
        self._timer = None
        if self._batch is None:
            return
        if self._loop.time() >= self._due:
            self._response_late()
        else:
            self._stop_abandoned(self._batch)
            self._look_later()

    def _stop_abandoned(self, batch: Batch) -> None:
        """Tell the handler, once, when nobody waits any more."""
        if batch.abandoned and not self._told_to_stop:
            self._told_to_stop = True
            self._write(pack_stop())

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
        if not self._end.done():
            self._end.set_result(error)
            self._let_go(error)

    def _let_go(self, error: ServingError | None = None) -> None:
        """Settle the batch in hand; a worker that is stopped has no error of its own."""
        self._stop_timer()
        if self._heartbeat:
            self._heartbeat.stop()
        batch, self._batch = self._batch, None
        if batch:
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
            if self._memory:
                self._memory.close()

    def _stop_timer(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None


class SpawnedWorker(ProcessWorker):
    """The same with a Python of its own, which has imported nothing yet."""

    forks = None


def _share(connection: socket.socket) -> Memory | None:
    """Memory to share with the other end of a connection, which nothing has been sent by; None where there is none."""
    try:
        memory = Memory.create()
    except OSError:
        return None
    socket.send_fds(connection, [b"".join(pack(Kind.MEMORY, None))], [memory.descriptor])
    return memory


def _leaving(outcomes: Sequence[object]) -> bool:
    """Whether the handler has asked its process to end."""
    return any(isinstance(outcome, Failure) and outcome.kind == WorkerDied.__name__ for outcome in outcomes)
