"""What is counted for one version of a model; the label values are looked up once, not per request.

Counters begin with the first worker, or with what they count, histograms with their first value: a model that nobody
asks has neither, so that many cost little memory and a scrape of them stays short.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from ..errors import ModelLoadFailed, ResponseTimeout, ServingError, WorkerDied
from ..messages import BatchReport, LoadReport
from .counting import Counter, Histogram
from .frontend import Sink
from .watched import Watched

if TYPE_CHECKING:
    from .metrics import Metrics

RECYCLED = "recycled"
CAUSES = (
    "died",
    "killed",
    "crashed",
    "exited",
    "out_of_memory",
    "unresponsive",
    "response_timeout",
    "load_failed",
    RECYCLED,
)
"""Why a worker has ended; `died` where nothing more is known."""


def cause_of(error: ServingError) -> str:
    """Why a worker has ended: one of CAUSES."""
    if isinstance(error, ModelLoadFailed):
        return "out_of_memory" if error.failure.out_of_memory else "load_failed"
    if isinstance(error, ResponseTimeout):
        return "response_timeout"
    return error.cause if isinstance(error, WorkerDied) else "died"


def _own(family: str) -> cached_property[Histogram]:
    """The model's histogram of a family of Metrics', which begins when it is first needed."""
    return cached_property(lambda model: getattr(model._metrics, family).labels(*model._key))


class ModelMetrics:
    """Told by the model, its queue and its pool what has happened."""

    def __init__(self, metrics: Metrics, name: str, version: str) -> None:
        """Have counted nothing."""
        self._metrics = metrics
        self._key = name, version
        self._processes: Callable[[], Mapping[str, int]] | None = None
        self._watched: Watched | None = None

    def begin(self, processes: Callable[[], Mapping[str, int]]) -> None:
        """There is a first worker: show what is counted of it at 0; `processes` tells those of all there will be."""
        self._metrics.processes[self._key] = self._processes = processes
        _ = self._accepted, self._latency, self._waited, self._restarts

    @property
    def begun(self) -> bool:
        """Whether there has been a worker."""
        return self._processes is not None

    def accepted(self, version_given: bool) -> None:
        """A request for this model has come, whatever becomes of it."""
        self._accepted[version_given](1)

    def rejected(self, reason: str) -> None:
        """A request for this model reached no handler."""
        self._metrics.request_rejected(reason, self._key[0])

    def batch_sent(self, waits: Sequence[float], again: int = 0) -> None:
        """A batch has gone to a worker; `waits` are the seconds its requests have waited.

        `again` more requests are in it, whose answers the worker goes on with.
        """
        self._batch_size.observe(len(waits) + again)
        for seconds in waits:
            self._queue_seconds.observe(seconds)
            self._metrics.queue_time(round(seconds * 1000))

    def batch_done(self, report: BatchReport, seconds: float) -> None:
        """A worker has answered a batch that it was given `seconds` ago."""
        self._batch_seconds.observe(report.seconds)
        self._metrics.thread_time(max(0, round((seconds - report.seconds) * 1000)))
        if report.emitted:
            self._metrics.emit(report.emitted)

    def answered(self, seconds: float, waited: float, version_given: bool) -> None:
        """A handler's answer is on its way to the client, `seconds` after the request was queued."""
        self._latency[version_given](seconds * 1e6)
        self._waited[version_given](waited * 1e6)
        self._request_seconds.observe(seconds)

    def first_piece(self, seconds: float) -> None:
        """The first piece of an answer in pieces is on its way, `seconds` after the request was queued."""
        self._first_seconds.observe(seconds)

    def worker_loaded(self, report: LoadReport) -> None:
        """A worker has loaded the model."""
        self._load_seconds.observe(report.seconds)
        self._metrics.emit(report.emitted)

    def worker_restarted(self, error: ServingError) -> None:
        """A worker that has ended by this error is started again."""
        self._restarts[cause_of(error)].inc()

    def worker_recycled(self) -> None:
        """A worker that has served long enough has made room for another one."""
        self._restarts[RECYCLED].inc()

    def workers_scaled(self, direction: str) -> None:
        """The number of workers follows the load: up, down, to_zero or from_zero; or it is held, for want of room."""
        self._metrics.scalings.labels(*self._key, direction).inc()

    def watch(self, model: Watched) -> None:
        """Ask the model at each scrape."""
        self._watched = model
        self._metrics.watched.add(*self._key, model)

    def removed(self) -> None:
        """The model is gone: its gauges end, unless another has come in its place already; its counters stay."""
        if self._processes and self._metrics.processes.get(self._key) == self._processes:
            del self._metrics.processes[self._key]
        if self._watched:
            self._metrics.watched.remove(*self._key, self._watched)

    def _asked(self, metric: str) -> tuple[Sink, Sink]:
        """What takes the values of requests that name no version, and of those that do."""
        name, version = self._key
        sink, host = self._metrics.theirs.sink, self._metrics.hostname
        return sink(metric, name, "default", host), sink(metric, name, version, host)

    @cached_property
    def _accepted(self) -> tuple[Sink, Sink]:
        return self._asked("ts_inference_requests_total")

    @cached_property
    def _latency(self) -> tuple[Sink, Sink]:
        return self._asked("ts_inference_latency_microseconds")

    @cached_property
    def _waited(self) -> tuple[Sink, Sink]:
        return self._asked("ts_queue_latency_microseconds")

    @cached_property
    def _restarts(self) -> dict[str, Counter]:
        return {cause: self._metrics.restarts.labels(*self._key, cause) for cause in CAUSES}

    _request_seconds = _own("request_seconds")
    _queue_seconds = _own("queue_seconds")
    _first_seconds = _own("first_seconds")
    _batch_seconds = _own("batch_seconds")
    _batch_size = _own("batch_size")
    _load_seconds = _own("load_seconds")
