"""Seat: a worker's place in its pool, and what is known of it."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Any

from .errors import ServingError
from .status import WorkerStatus
from .workers.base import Load, Worker

LOADING, READY, FAILING, FAILED, STOPPING = "loading", "ready", "failing", "failed", "stopping"


class Seat:
    """A worker's place: it keeps its number while the processes in it come and go."""

    def __init__(self, number: int, load: Load) -> None:
        """Be empty."""
        self.number = number
        self.load = load
        self.worker: Worker | None = None
        self.state = LOADING
        self.asked_at = time.monotonic()
        self.started_at = datetime.now(UTC)
        self.memory_bytes = 0
        self.served = 0
        self.replaced = False
        self.engine: dict[str, Any] | None = None
        self.error: ServingError | None = None
        self.failing_since: float | None = None
        self.ready_since: float | None = None
        self.attempts = 0
        self.loop: str | None = None
        """What there is to say of the crash loop that it was given up for."""
        self.outcome = new_outcome()
        """Done when the worker here has loaded the model, or failed to; a worker that dies begins a new one."""
        self.keeper: asyncio.Task[None] | None = None

    def loaded(self) -> None:
        """Tell who waits that the model is there."""
        if self.outcome.done():
            self.outcome = new_outcome()
        self.outcome.set_result(None)

    def failed(self, error: ServingError) -> None:
        """Tell who waits that it could not be loaded."""
        if self.outcome.done():
            self.outcome = new_outcome()
        self.outcome.set_exception(error)

    def status(self) -> WorkerStatus:
        """What there is to tell."""
        pid = self.worker.pid if self.worker and self.state in (LOADING, READY, STOPPING) else None
        error = self.error.explained() if self.error else None
        engine = self.engine if self.state in (READY, STOPPING) else None
        return WorkerStatus(str(self.number), pid, self.state, self.started_at, self.memory_bytes, error, engine)


def new_outcome() -> asyncio.Future[None]:
    """What somebody may wait for, or not."""
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    future.add_done_callback(_seen)
    return future


def _seen(future: asyncio.Future[None]) -> None:
    """Take note of an exception nobody may be waiting for."""
    if not future.cancelled():
        future.exception()
