"""What a model tells about itself: whether it serves, why not, and how its workers are."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from .scaling import Decision


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """One worker: `state` is loading, ready, failing (will be tried again), failed (given up) or stopping.

    `engine` is how the engine runs the model, None where it does not, or where that is not known yet.
    """

    id: str
    pid: int | None
    state: str
    started_at: datetime
    memory_bytes: int
    last_error: str | None
    engine: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class QueueStatus:
    """How many requests wait, and how many may."""

    pending: int
    capacity: int


@dataclass(frozen=True, slots=True)
class BatchingStatus:
    """How batches are made: of `size` requests at most now, `size_under_load` where many wait.

    A batch of n takes `start` + `each` · n seconds, as far as is known. An adaptive one is to answer within `target`
    seconds; `reason` says why it makes none.
    """

    mode: Literal["adaptive", "fixed"]
    size: int
    size_under_load: int
    start: float
    each: float
    target: float | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ScalingStatus:
    """After how many seconds the number of workers changes, and the last time that it did, or should have."""

    up_wait: float
    down_after: float
    rest_after: float
    at: datetime | None
    last: Decision | None


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """One version of a model; `reason` says why it, or one of its workers, is not ready.

    `asleep` is one whose workers have gone for want of requests, `crash-loop` one whose workers are not tried any more.
    """

    state: Literal["loading", "ready", "asleep", "failing", "crash-loop", "unloaded"]
    reason: str | None
    workers: list[WorkerStatus]
    queue: QueueStatus

    @property
    def ready(self) -> bool:
        """Whether a request would be answered: by a worker, or by one that it wakes."""
        return self.state in ("ready", "asleep")
