"""Worker: the contract of a place that runs one model, and what it is given to begin with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from ..batching.batch import Batch
from ..messages import ModelSpec, Report

LEAST_SECONDS = 0.001
"""What a time-out of 0 becomes: no time at all."""


@dataclass(frozen=True, slots=True)
class Load:
    """What a worker is asked to run, and how long it may take.

    `name` is what the log calls it, `python` the interpreter of an environment of the model's own; every `heartbeat`
    seconds it is seen to whether it still runs (0: never).
    """

    spec: ModelSpec
    name: str
    startup_timeout: float = 120
    response_timeout: float = 120
    hidden_variables: str | None = None
    python: str | None = None
    heartbeat: float = 0


class Worker(Protocol):
    """A place that runs one model: made, then run once until it is cancelled or dies."""

    pid: int | None

    @property
    def available(self) -> bool:
        """Whether it can take a batch; False from the moment it is known to have ended."""
        ...

    async def run(self, load: Load, idle: Idle) -> None:
        """Live: load the model, call `idle` with a LoadReport, and again with a BatchReport after each batch.

        Cancelling ends it; a batch in hand is failed, and nothing is left behind, not even after a second cancel.
        Raises: ModelLoadFailed, or WorkerDied with the reason in its detail.
        """

    def send(self, batch: Batch) -> None:
        """Own an idle worker's next batch, and settle it; never raises."""


Idle: TypeAlias = Callable[["Worker", Report], None]
"""Told that a worker has nothing to do, with what it has to report."""
