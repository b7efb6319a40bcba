"""Model: one version of a model, with its configuration, its queue and its workers."""

from __future__ import annotations

import asyncio
import os
import time
import uuid
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import replace
from typing import Any, Literal

import orjson

from ..archiver import Manifest
from ..plugins import resolve
from .autoscaler import Autoscaler, ModelScaler
from .batching.queues import make_queue, sequence_headers
from .errors import InvalidRequest, ServingError, too_late
from .messages import InferenceRequest, InferenceResponse, ModelSpec
from .metrics.metrics import WORKER_STATES, Metrics
from .needs import needs_of
from .pool import WorkerPool
from .scaling import Limits
from .settings import ModelConfig, Settings
from .status import BatchingStatus, ModelStatus, QueueStatus, ScalingStatus
from .wear import Wear
from .workers import BUILTIN
from .workers.base import Load, Worker

Role = Literal["model", "node", "function"]
"""What a model is there for: itself, or a node of a workflow, by an archive of its own or as a function."""

HAS_NO_WORKERS = 'Model "{}" has no worker to serve inference request. Please use scale workers API to add workers.'
COULD_NOT_BE_LOADED = 'Model "{0}" could not be loaded; its description, /models/{0} of the management API, says why.'

MOST_WORKERS = 1000
"""Workers that one version may have: more is a slip of the finger, and the end of the machine."""


class Model:
    """What is served under one name and version."""

    def __init__(
        self,
        name: str,
        url: str,
        manifest: Manifest,
        config: ModelConfig,
        settings: Settings,
        metrics: Metrics,
        next_number: Callable[[], int],
        *,
        model_dir: str = "",
        handler: str = "",
        loaded_at_startup: bool = False,
        role: Role = "model",
        python: str | None = None,
        failure: str | None = None,
        autoscaler: Autoscaler | None = None,
        changed: Callable[[str], None] = lambda name: None,
    ) -> None:
        """Have no workers yet; an `autoscaler` may change their number later, and `changed` hears the name each time.

        With a `failure` it never will: there is nothing to load, and it says so when asked.
        """
        self.name = name
        self.version = manifest.model.version
        self.url = url
        self.manifest = manifest
        self.config = config
        self.loaded_at_startup = loaded_at_startup
        self.role = role
        self.failure = failure
        self._settings = settings
        self._model_dir, self._python = model_dir, python
        self.handler = handler
        self._next_number = next_number
        self._tasks: set[asyncio.Task[None]] = set()
        self._metrics = metrics
        self._counted = metrics.model(name, self.version)
        self._batcher = make_queue(name, config, settings, self._counted, lambda: self.config.min_workers)
        make: Callable[[], Worker] = resolve("workers", settings.worker_backend, BUILTIN)
        self._pool = WorkerPool(
            self._batcher,
            metrics,
            self._counted,
            make=make,
            seat=self._seat,
            recovery_window=config.recovery_window,
            refusal=(COULD_NOT_BE_LOADED if failure else HAS_NO_WORKERS).format(name),
            wear=Wear(config.max_requests_per_worker, config.max_worker_memory << 20),
            changed=lambda: changed(name),
        )
        self._autoscaler = None if config.stateful else autoscaler  # sequences would end with their workers
        self._scaler = ModelScaler(f"model {name} {self.version}", self._pool, self._counted, self._limits)
        self._counted.watch(self)

    def predict(self, request: InferenceRequest, version_given: bool = False) -> asyncio.Future[InferenceResponse]:
        """Queue a request and return its answer-to-be; cancelling that is how a client leaves.

        Explanations share no batch: a handler decides by its first request whether it explains.
        Counts the request, under its version where the client has given one.
        Raises: QueueFull, NoWorkers; the future raises InferenceFailed, WorkerDied, DeadlineExceeded, ResponseTimeout.
        """
        self._counted.accepted(version_given)
        if self._pool.resting:
            self._wake()
        answer = self._batcher.submit(
            request, alone=request.headers.get("explain") == "True", version_given=version_given
        )
        if request.timeout:
            timer = asyncio.get_running_loop().call_later(request.timeout, self._late, answer, time.monotonic())
            answer.add_done_callback(lambda _: timer.cancel())
        return answer

    def _late(self, answer: asyncio.Future[InferenceResponse], since: float) -> None:
        """The time is over that a client waits."""
        if not answer.done():
            self._counted.rejected("deadline")
            answer.set_exception(too_late(time.monotonic() - since, "x-request-timeout"))

    def _wake(self) -> None:
        """Have workers again, whose number follows the load."""
        self._scaler.wake()
        if self._autoscaler:
            self._autoscaler.watch(self._scaler)

    async def describe_by_handler(self) -> dict[str, Any] | None:
        """What the handler tells of itself, or None where that is no JSON object.

        Raises: what `predict` and its future raise.
        """
        request = InferenceRequest(str(uuid.uuid4()), (), {"describe": "True"})
        if self._pool.resting:
            self._wake()
        answer = await self._batcher.submit(request, alone=True)
        with suppress(orjson.JSONDecodeError):
            told = orjson.loads(answer.body)
            return told if isinstance(told, dict) else None
        return None

    async def scale(self, min_workers: int, max_workers: int | None = None, synchronous: bool = False) -> None:
        """Have at least `min_workers` and at most `max_workers`; with `synchronous`, wait until they are there.

        Raises: InvalidRequest; ModelLoadFailed, with `synchronous`
        """
        if min_workers > MOST_WORKERS:
            raise InvalidRequest(f"{min_workers} workers: a model may have {MOST_WORKERS} at most.")
        most = max(min_workers, max_workers or 0)
        self.config = self.config.model_copy(update={"min_workers": min_workers, "max_workers": most})
        self._scaler.begin()
        if self._autoscaler:
            (self._autoscaler.watch if self._limits().varies else self._autoscaler.leave)(self._scaler)
        task = self._spawn(self._pool.scale(min_workers, most))
        if synchronous:
            await asyncio.shield(task)

    async def renew(self) -> None:
        """Replace all workers, one after the other, without a request that fails or waits for it."""
        await self._pool.renew()

    def status(self) -> ModelStatus:
        """Whether it serves, and why not."""
        workers = self._pool.statuses()
        queue = QueueStatus(len(self._batcher), self._batcher.limit)
        if self.failure:
            return ModelStatus("failing", self.failure, workers, queue)
        error = self._pool.error()
        reason = error.explained() if error else None
        if self._pool.count("ready"):
            return ModelStatus("ready", reason, workers, queue)
        if self._pool.asleep:
            return ModelStatus("asleep", None, workers, queue)
        if loop := self._pool.crash_loop():
            return ModelStatus("crash-loop", loop, workers, queue)
        if reason:
            return ModelStatus("failing", reason, workers, queue)
        return ModelStatus("loading" if self._pool.count("loading") else "unloaded", None, workers, queue)

    def batching(self) -> BatchingStatus:
        """How its batches are made."""
        return self._batcher.batching

    def scaling(self) -> ScalingStatus | None:
        """How the number of its workers follows the load; None where it does not."""
        return self._scaler.status() if self._autoscaler and self._limits().varies else None

    def signature(self) -> dict[str, Any]:
        """The named tensors that it takes and gives, as far as a worker has told: `inputs` and `outputs`."""
        return {"inputs": [], "outputs": []} | (self._pool.signature or {})

    def gauges(self) -> dict[str, float]:
        """What a scrape shows of it: until it has had a worker, only that none is ready."""
        if not self._counted.begun:
            return {"numserve_model_ready": 0.0}
        return {
            "numserve_queue_depth": len(self._batcher),
            "numserve_queue_capacity": self._batcher.limit,
            "numserve_queue_expected_wait_seconds": self._batcher.expected_wait,
            "numserve_batch_size_limit": self._batcher.batching.size,
            "numserve_requests_in_flight": self._batcher.flying,
            "numserve_model_ready": float(self._pool.asleep or self._pool.count("ready") > 0),
        }

    def workers(self) -> dict[str, float]:
        """How many a scrape shows in each state; none for one with a failure, which should have some."""
        states = WORKER_STATES if self._counted.begun else () if self.failure else ("ready",)
        return {state: self._pool.count(state) for state in states}

    def healthy(self) -> bool:
        """Whether as many workers as it should have are there and not given up (contract: inference API, section 3)."""
        if self.failure:
            return False
        return self._pool.asleep or sum(seat.state != "failed" for seat in self._pool) >= self.config.min_workers

    def forget(self) -> None:
        """End what is shown of it; for one with a failure, which has nothing to close."""
        self._counted.removed()

    async def close(self, drain_timeout: float | None = None) -> None:
        """Let those who wait be served, for `drain_timeout` seconds where it is given, then end the workers.

        Without a worker that is ready, nobody is waited for.
        """
        try:
            if self._pool.count("ready"):
                async with asyncio.timeout(drain_timeout):
                    await self._batcher.drained()
        except TimeoutError:
            pass
        finally:
            if self._autoscaler:
                self._autoscaler.leave(self._scaler)
            self._batcher.close()
            self._counted.removed()
            stopping = self._spawn(self._pool.stop())
            await asyncio.shield(stopping)

    def _limits(self) -> Limits:
        config = self.config
        return Limits(
            config.min_workers,
            config.max_workers,
            up_wait=config.scale_up_wait,
            down_after=config.scale_down_after,
            rest_after=config.scale_to_zero_after,
        )

    def _seat(self) -> tuple[int, Load]:
        """A new worker's number, and what it is to load."""
        number, config, settings = self._next_number(), self.config, self._settings
        spec = ModelSpec(
            name=self.name,
            version=self.version,
            model_dir=self._model_dir,
            handler=self.handler,
            envelope=self.manifest.model.envelope or settings.service_envelope,
            manifest=dict(self.manifest.raw) or None,
            batch_size=config.most_rows,
            config=config.for_handler,
            limit_max_image_pixels=settings.limit_max_image_pixels,
            decode_input_request=settings.decode_input_request,
            threads=config.threads(len(os.sched_getaffinity(0))),
            max_response_size=settings.max_response_size,
            several=max(config.min_workers, config.max_workers) > 1,
            sequence_headers=tuple(sequence_headers(settings)) if config.stateful else None,
            metrics=self._metrics.choice.model,
            metric_ids=self._metrics.choice.logged(""),
        )
        name = f"W-{number}-{self.name}_{self.version}"
        limits = config.startup_timeout, config.response_timeout
        spec = replace(spec, needs=needs_of(spec))
        return number, Load(spec, name, *limits, settings.blacklist_env_vars, self._python, settings.worker_heartbeat)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run something to its end, whether or not anybody waits for it; the pool logs what goes wrong."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) and not isinstance(error, ServingError):
            raise error
