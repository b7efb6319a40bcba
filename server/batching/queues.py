"""RequestQueue: what a model needs of a batcher, and which kind of one its YAML asks for."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from math import inf
from typing import Any, Protocol

from ..messages import InferenceRequest, InferenceResponse, Outcome, SequenceHeaders
from ..settings import ModelConfig, Settings
from ..status import BatchingStatus
from .batch import Sender, Watch
from .batcher import Batcher
from .continuous import ContinuousBatcher
from .sequences import ContinuousLane, Lane, Rules, SequenceBatcher
from .size import MOST, AdaptiveSize

logger = logging.getLogger(__name__)


class RequestQueue(Protocol):
    """What a model and its pool need of a batcher, of whatever kind."""

    @property
    def limit(self) -> int:
        """How many requests may wait."""

    @property
    def flying(self) -> int:
        """How many requests are in the hands of workers."""

    @property
    def oldest_wait(self) -> float:
        """Seconds that the oldest request waits for its first worker; 0 where none does."""

    @property
    def expected_wait(self) -> float:
        """Seconds that a request would wait that came now, at the pace of late."""

    @property
    def batching(self) -> BatchingStatus:
        """How batches are made."""

    def __len__(self) -> int: ...

    def submit(
        self, request: InferenceRequest, *, alone: bool = False, version_given: bool = False
    ) -> asyncio.Future[InferenceResponse]:
        """Queue a request and return its answer-to-be."""

    def idle(self, worker: Sender, took: float = inf) -> None:
        """Take note of a worker that has loaded its model, or has answered a batch, and how many seconds that took."""

    def learn(self, worker: Sender, engine: Mapping[str, Any] | None) -> None:
        """Take note of what a worker says of how it runs the model."""

    def is_idle(self, worker: Sender) -> bool:
        """Whether a worker has nothing to do."""

    def finishes(self, worker: Sender) -> bool:
        """Whether a worker that is to leave has still something to finish."""

    def forget(self, worker: Sender) -> None:
        """Give a worker nothing more."""

    def open(self) -> None:
        """Let requests wait."""

    def shut(self, reason: str) -> None:
        """Refuse all who wait, and all who come until `open()`."""

    async def drained(self) -> None:
        """Return when nobody waits and no batch is under way."""

    def close(self) -> None:
        """Refuse everything and stop the timer."""


def make_queue(
    model: str, config: ModelConfig, settings: Settings, watch: Watch, workers: Callable[[], int]
) -> RequestQueue:
    """The queue of one version of a model; `workers` tells how many workers it is to have."""
    loop = asyncio.get_running_loop()
    if config.stateful:
        return _sequences(loop, config, settings, watch, workers)
    if config.sequence_batching:
        logger.warning("model %s has no sequences: sequenceBatching needs a sequenceMaxIdleMSec above 0", model)
    kind = ContinuousBatcher if config.continuous_batching else Batcher
    return kind(
        loop,
        watch,
        batch_size=config.batch_size,
        max_delay=config.max_batch_delay,
        sizing=_adaptive(model, config, settings) if config.adaptive else None,
        fixed_delay=_delays(config, settings),
        limit=config.job_queue_size,
        client_timeout=config.client_timeout,
        max_wait=config.max_queue_wait,
        idle_only=config.use_job_ticket,
        isolate=config.isolate_failures,
        ahead=kind is Batcher,
        priorities=config.priorities,
        overload_status=_overload_status(settings),
        stream_limit=settings.max_response_size,
    )


def _adaptive(model: str, config: ModelConfig, settings: Settings) -> AdaptiveSize:
    """Batches that grow as is worth it: to `batchSize` at most, where both are given."""
    return AdaptiveSize(
        model,
        config.batch_size if "batch_size" in config.model_fields_set else MOST,
        config.latency_target,
        longest=config.response_timeout / 4,
        answer_limit=settings.max_response_size,
        asked=config.batching is not None,
    )


def _delays(config: ModelConfig, settings: Settings) -> bool:
    """Whether a lone request waits for others while a worker is idle; with adaptive batches none does."""
    if config.adaptive:
        return False
    return settings.fixed_delay if config.fixed_delay is None else config.fixed_delay


def _overload_status(settings: Settings) -> int | None:
    """The status of who is refused, where it is not that of everything that is not available."""
    return None if settings.overload_status == 503 else settings.overload_status


def sequence_headers(settings: Settings) -> SequenceHeaders:
    """What the headers of sequences are called."""
    return SequenceHeaders(
        settings.ts_header_key_sequence_id, settings.ts_header_key_sequence_start, settings.ts_header_key_sequence_end
    )


def _sequences(
    loop: asyncio.AbstractEventLoop, config: ModelConfig, settings: Settings, watch: Watch, workers: Callable[[], int]
) -> SequenceBatcher:
    """Lanes make batches without waiting for more sequences than a worker can have.

    Where answers are continuous, a sequence may have a second request beside the one that is being answered: so the
    places of a round are twice `batch_size` (contract: workers, section 9).
    """
    continuous = config.continuous_batching
    rules = Rules(
        most=config.max_num_sequence,
        waiting=config.max_sequence_job_queue_size,
        max_idle=config.sequence_max_idle,
        max_age=config.sequence_timeout,
        side_by_side=2 if continuous else 1,
    )

    def make_lane(answered: Callable[[Lane, Sequence[Outcome]], None]) -> Lane:
        return (ContinuousLane if continuous else Lane)(
            loop,
            watch,
            batch_size=2 * config.batch_size if continuous else min(config.batch_size, rules.share(workers())),
            max_delay=config.max_batch_delay,
            fixed_delay=_delays(config, settings),
            limit=config.job_queue_size,
            stream_limit=settings.max_response_size,
            answered=answered,
        )

    return SequenceBatcher(
        loop,
        watch,
        rules,
        sequence_headers(settings),
        make_lane,
        workers=workers,
        client_timeout=config.client_timeout,
        overload_status=_overload_status(settings),
    )
