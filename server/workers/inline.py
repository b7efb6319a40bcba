"""InlineWorker: runs a model in a thread of the server itself, for tests and for trying things out.

A handler that crashes takes the server with it, one that hangs cannot be ended, and the working directory is the
server's. Anything else is as in a process.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import TypeVar

from ..batching.batch import Batch
from ..errors import ModelLoadFailed, WorkerDied
from ..messages import InferenceResponse, LoadFailure, LoadReport, Outcome, Report
from .base import Idle, Load
from .runtime import Runtime

Answered = TypeVar("Answered", bound=Outcome)
LOADING = threading.Lock()
"""Held while a model is loaded: the import system has room for one model directory at a time."""


class InlineWorker:
    """Runs a model in this process."""

    def __init__(self) -> None:
        """Be ready to run."""
        self.pid: int | None = os.getpid()
        self.available = True
        self._batch: Batch | None = None

    async def run(self, load: Load, idle: Idle) -> None:
        """Load the model, answer batches, until cancelled or asked to leave: see Worker.run."""
        self._sent = asyncio.Event()
        runtime = Runtime(load.spec)
        thread = ThreadPoolExecutor(1, thread_name_prefix=load.name)
        try:
            outcome = await asyncio.get_running_loop().run_in_executor(thread, _load, runtime)
            if isinstance(outcome, LoadFailure):
                raise ModelLoadFailed(load.spec.name, load.spec.version, outcome)
            report: Report = outcome
            while not runtime.leaving:
                idle(self, report)
                report = await self._answer(runtime, thread)
            raise WorkerDied("Worker died.", "the handler has ended its worker")
        finally:
            thread.shutdown(wait=False, cancel_futures=True)
            batch, self._batch = self._batch, None
            if batch:
                batch.fail(WorkerDied("Worker died.", "the worker was stopped"))

    def send(self, batch: Batch) -> None:
        """Give the thread a batch."""
        self._batch = batch
        self._sent.set()

    async def _answer(self, runtime: Runtime, thread: ThreadPoolExecutor) -> Report:
        await self._sent.wait()
        self._sent.clear()
        batch = self._batch
        assert batch is not None, "send() sets the batch first"
        loop = asyncio.get_running_loop()
        runtime.send_pieces = partial(_in_loop, loop, batch)
        runtime.nobody_waits = lambda: batch.abandoned
        outcome, report = await loop.run_in_executor(thread, runtime.infer, batch.requests)
        self._batch = None
        batch.settle(_own(outcome) if isinstance(outcome, list) else [outcome] * len(batch.requests), report)
        return report


def _in_loop(loop: asyncio.AbstractEventLoop, batch: Batch, pieces: Sequence[InferenceResponse]) -> None:
    loop.call_soon_threadsafe(batch.advance, _own(pieces))


def _own(outcomes: Sequence[Answered]) -> list[Answered]:
    """The same with bodies that the handler cannot change any more."""
    return [replace(each, body=bytes(each.body)) if isinstance(each, InferenceResponse) else each for each in outcomes]


def _load(runtime: Runtime) -> LoadReport | LoadFailure:
    with LOADING:
        return runtime.load()
