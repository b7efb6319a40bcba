"""What a model tells about itself: whether it serves, why not, and how its workers are."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal


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
class ModelStatus:
    """One version of a model; `reason` says why it, or one of its workers, is not ready."""

    state: Literal["loading", "ready", "failing", "unloaded"]
    reason: str | None
    workers: list[WorkerStatus]
    queue: QueueStatus
