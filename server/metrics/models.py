"""What is counted for one version of a model; the label values are looked up once, not per request.

Histograms begin with their first value: a model that is never asked has none, so that a scrape of many stays short.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING

from ..errors import ModelLoadFailed, ResponseTimeout, ServingError, WorkerDied
from ..messages import BatchReport, LoadReport
from .counting import Histogram

if TYPE_CHECKING:
    from .metrics import Metrics

ASKED_OF = ("ts_inference_requests_total", "ts_inference_latency_microseconds", "ts_queue_latency_microseconds")
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


class ModelMetrics:
    """Told by the model, its queue and its pool what has happened."""

    def __init__(self, metrics: Metrics, name: str, version: str) -> None:
        """Fill in the labels."""
        self._metrics = metrics
        self._name = name
        self._states: tuple[str, ...] = ()
        self._gauges: tuple[str, ...] = ()
        self._labels = {"model_name": name, "model_version": version}
        asked = [(name, version if given else "default", metrics.hostname) for given in (False, True)]
        self._accepted, self._latency, self._waited = (
            [metrics.theirs.sink(metric, *labels) for labels in asked] for metric in ASKED_OF
        )
        self._restarts = {cause: metrics.restarts.labels(**self._labels, cause=cause) for cause in CAUSES}

    def accepted(self, version_given: bool) -> None:
        """A request for this model has come, whatever becomes of it."""
        self._accepted[version_given](1)

    def rejected(self, reason: str) -> None:
        """A request for this model reached no handler."""
        self._metrics.request_rejected(reason, self._name)

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
        self._metrics.emit(report.emitted)

    def answered(self, seconds: float, waited: float, version_given: bool) -> None:
        """A handler's answer is on its way to the client, `seconds` after the request was queued."""
        self._latency[version_given](seconds * 1e6)
        self._waited[version_given](waited * 1e6)
        self._request_seconds.observe(seconds)

    def first_piece(self, seconds: float) -> None:
        """The first piece of an answer in pieces is on its way, `seconds` after the request was queued."""
        self._metrics.first_seconds.labels(**self._labels).observe(seconds)

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
        self._metrics.scalings.labels(**self._labels, direction=direction).inc()

    def watch(
        self,
        gauges: Mapping[str, Callable[[], float]],
        workers: Mapping[str, Callable[[], float]],
        processes: Callable[[], Mapping[str, int]],
    ) -> None:
        """Ask these at each scrape.

        `gauges` are those of OF_MODEL; `workers` tells how many there are in each state.
        """
        self._metrics.processes[tuple(self._labels.values())] = processes
        self._gauges, self._states = tuple(gauges), tuple(workers)
        for name, value in gauges.items():
            self._metrics.of_model[name].labels(**self._labels).set_function(value)
        for state, count in workers.items():
            self._metrics.workers.labels(**self._labels, state=state).set_function(count)

    def removed(self) -> None:
        """The model is gone: its gauges end, its counters stay."""
        labels = tuple(self._labels.values())
        self._metrics.processes.pop(labels, None)
        with suppress(KeyError):
            for name in self._gauges:
                self._metrics.of_model[name].remove(*labels)
            for state in self._states:
                self._metrics.workers.remove(*labels, state)

    @cached_property
    def _request_seconds(self) -> Histogram:
        return self._metrics.request_seconds.labels(**self._labels)

    @cached_property
    def _queue_seconds(self) -> Histogram:
        return self._metrics.queue_seconds.labels(**self._labels)

    @cached_property
    def _batch_seconds(self) -> Histogram:
        return self._metrics.batch_seconds.labels(**self._labels)

    @cached_property
    def _batch_size(self) -> Histogram:
        return self._metrics.batch_size.labels(**self._labels)

    @cached_property
    def _load_seconds(self) -> Histogram:
        return self._metrics.load_seconds.labels(**self._labels)
