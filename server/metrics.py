"""Every metric of the server, defined once; methods are named for what has happened."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import TypeVar

import psutil
from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.registry import Collector

from .exposition import CONTENT_TYPE, PlainCounter, render
from .handler_metrics import HandlerMetrics
from .memory import measured
from .messages import BatchReport, Emitted

__all__ = ["CONTENT_TYPE", "UNKNOWN_MODEL", "WORKER_STATES", "Metrics", "ModelMetrics"]

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
MEBIBYTE, GIBIBYTE = 1 << 20, 1 << 30
HOST = ("Level", "Hostname")
MODEL = ("model_name", "model_version")
WORKER_STATES = ("loading", "ready", "failing", "stopping")
UNKNOWN_MODEL = "_unknown"
"""The one label that stands for every model name nobody has registered."""

SYSTEM = {
    "CPUUtilization": "Processor time in use, in percent",
    "MemoryUsed": "Memory in use, in megabytes",
    "MemoryAvailable": "Memory available, in megabytes",
    "MemoryUtilization": "Memory in use, in percent",
    "DiskUsage": "Root file system in use, in gigabytes",
    "DiskAvailable": "Root file system available, in gigabytes",
    "DiskUtilization": "Root file system in use, in percent",
}

C = TypeVar("C", bound=Collector)


class Metrics:
    """The server's counters, gauges and histograms: TorchServe's by their names, ours as `numserve_…`."""

    def __init__(self, hostname: str | None = None) -> None:
        """Register every family at once, so that the first scrape shows them all."""
        self.hostname = hostname or socket.gethostname()
        self._collectors: list[Collector] = []
        answers = {f: self._counter(f"Requests{f}", f"Responses of class {f}", HOST) for f in ("2XX", "4XX", "5XX")}
        theirs = (*MODEL, "hostname")
        self.accepted = self._counter("ts_inference_requests_total", "Inference requests, the refused included", theirs)
        self.latency = self._counter(
            "ts_inference_latency_microseconds", "Time from receipt to answer, summed, in microseconds", theirs
        )
        self.waited = self._counter(
            "ts_queue_latency_microseconds", "Time from receipt to a batch, summed, in microseconds", theirs
        )
        queue_time = self._gauge("QueueTime", "Last time in the queue, in milliseconds", HOST)
        thread_time = self._gauge("WorkerThreadTime", "Last batch's time outside the handler, in milliseconds", HOST)
        self._load_time = self._gauge("WorkerLoadTime", "Time to load a model, in milliseconds", ("WorkerName", *HOST))
        system = {name: self._gauge(name, text, HOST) for name, text in SYSTEM.items()}
        self.request_seconds = self._histogram("numserve_request_duration_seconds", "From queued to answered", SECONDS)
        self.queue_seconds = self._histogram("numserve_queue_duration_seconds", "From queued to a batch", SECONDS)
        self.batch_seconds = self._histogram("numserve_inference_duration_seconds", "A batch in the handler", SECONDS)
        self.batch_size = self._histogram("numserve_batch_size", "Requests a batch holds", SIZES)
        self.depth = self._gauge("numserve_queue_depth", "Requests waiting for a worker", MODEL)
        self.workers = self._gauge("numserve_workers", "Workers by state", (*MODEL, "state"))
        self.memory = self._gauge(
            "numserve_worker_memory_bytes", "Memory of a worker, shared pages in parts (PSS)", (*MODEL, "worker")
        )
        self.processes: dict[tuple[str, ...], Callable[[], Mapping[str, int]]] = {}
        """A model's labels → what tells the process of each of its workers."""
        self.restarts = self._counter("numserve_worker_restarts_total", "Workers started again after a death", MODEL)
        self._rejected = self._counter(
            "numserve_requests_rejected_total", "Requests that reached no handler", ("model_name", "reason")
        )
        self._handlers = HandlerMetrics(self.hostname)
        host = {"Level": "Host", "Hostname": self.hostname}
        self._answers = {name: counter.labels(**host) for name, counter in answers.items()}
        self._system = {name: gauge.labels(**host) for name, gauge in system.items()}
        self.queue_time, self.thread_time = queue_time.labels(**host), thread_time.labels(**host)
        self._reject = lru_cache(1024)(lambda model, reason: self._rejected.labels(model_name=model, reason=reason))

    def request_answered(self, status: int) -> None:
        """An HTTP response has gone out, on any listener."""
        self._answers["2XX" if 200 <= status < 300 else "4XX" if 400 <= status < 500 else "5XX"].inc()

    def request_rejected(self, reason: str, model: str = UNKNOWN_MODEL) -> None:
        """A request reached no handler; leave `model` out unless such a model is registered."""
        self._reject(model, reason).inc()

    def worker_loaded(self, worker: str, seconds: float) -> None:
        """A worker has loaded its model, `seconds` after it was asked for."""
        self._load_time.labels(WorkerName=worker, Level="Host", Hostname=self.hostname).set(round(seconds * 1000))

    def worker_removed(self, worker: str) -> None:
        """A worker will not come back: its series ends."""
        with suppress(KeyError):
            self._load_time.remove(worker, "Host", self.hostname)

    def model(self, name: str, version: str) -> ModelMetrics:
        """What is counted for one version of a model."""
        return ModelMetrics(self, name, version)

    def emit(self, values: Sequence[Emitted]) -> None:
        """A handler has measured something of its own."""
        for value in values:
            self._handlers.emit(value)

    def sample_system(self) -> None:
        """Measure CPU, memory and disk; the first CPU figure covers the time since the process began."""
        memory, disk = psutil.virtual_memory(), psutil.disk_usage("/")
        self._system["CPUUtilization"].set(psutil.cpu_percent())
        self._system["MemoryUsed"].set(memory.used / MEBIBYTE)
        self._system["MemoryAvailable"].set(memory.available / MEBIBYTE)
        self._system["MemoryUtilization"].set(memory.percent)
        self._system["DiskUsage"].set(disk.used / GIBIBYTE)
        self._system["DiskAvailable"].set(disk.free / GIBIBYTE)
        self._system["DiskUtilization"].set(disk.percent)

    async def measure_workers(self) -> None:
        """Measure the memory of every worker there is."""
        workers = {(*labels, worker): pid for labels, ask in self.processes.items() for worker, pid in ask().items()}
        held = await measured(workers.values())
        self.memory.clear()
        for labels, pid in workers.items():
            if pid in held:
                self.memory.labels(*labels).set(held[pid])

    async def watch_system(self, interval: float) -> None:
        """Measure the system every `interval` seconds until cancelled."""
        while True:
            self.sample_system()
            await asyncio.sleep(interval)

    def exposition(self, names: Collection[str] = ()) -> bytes:
        """All metrics in the text format 0.0.4, or only the samples named."""
        return render([*self._collectors, *self._handlers.collectors()], names)

    def _counter(self, name: str, text: str, labels: Sequence[str]) -> PlainCounter:
        return self._keep(PlainCounter(name, text, labels))

    def _gauge(self, name: str, text: str, labels: Sequence[str]) -> Gauge:
        return self._keep(Gauge(name, text, labels, registry=None))

    def _histogram(self, name: str, text: str, buckets: Sequence[float]) -> Histogram:
        return self._keep(Histogram(name, text, MODEL, buckets=buckets, registry=None))

    def _keep(self, collector: C) -> C:
        self._collectors.append(collector)
        return collector


class ModelMetrics:
    """What is counted for one version of a model; the label values are looked up once, not per request."""

    def __init__(self, metrics: Metrics, name: str, version: str) -> None:
        """Fill in the labels."""
        self._metrics = metrics
        self._name = name
        self._states: tuple[str, ...] = ()
        self._labels = {"model_name": name, "model_version": version}
        self._asked = {given: self._theirs(version if given else "default") for given in (True, False)}
        self._request_seconds = metrics.request_seconds.labels(**self._labels)
        self._queue_seconds = metrics.queue_seconds.labels(**self._labels)
        self._batch_seconds = metrics.batch_seconds.labels(**self._labels)
        self._batch_size = metrics.batch_size.labels(**self._labels)
        self._restarts = metrics.restarts.labels(**self._labels)

    def accepted(self, version_given: bool) -> None:
        """A request for this model has come, whatever becomes of it."""
        self._asked[version_given][0].inc()

    def rejected(self, reason: str) -> None:
        """A request for this model reached no handler."""
        self._metrics.request_rejected(reason, self._name)

    def batch_sent(self, waits: Sequence[float]) -> None:
        """A batch has gone to a worker; `waits` are the seconds its requests have waited."""
        self._batch_size.observe(len(waits))
        for seconds in waits:
            self._queue_seconds.observe(seconds)
        self._metrics.queue_time.set(round(waits[-1] * 1000))

    def batch_done(self, report: BatchReport, seconds: float) -> None:
        """A worker has answered a batch that it was given `seconds` ago."""
        self._batch_seconds.observe(report.seconds)
        self._metrics.thread_time.set(max(0, round((seconds - report.seconds) * 1000)))
        self._metrics.emit(report.emitted)

    def answered(self, seconds: float, waited: float, version_given: bool) -> None:
        """A handler's answer is on its way to the client, `seconds` after the request was queued."""
        _, latency, queued = self._asked[version_given]
        latency.inc(seconds * 1e6)
        queued.inc(waited * 1e6)
        self._request_seconds.observe(seconds)

    def worker_restarted(self) -> None:
        """A worker that died is started again."""
        self._restarts.inc()

    def watch(
        self,
        depth: Callable[[], float],
        workers: Mapping[str, Callable[[], float]],
        processes: Callable[[], Mapping[str, int]],
    ) -> None:
        """Ask these at each scrape: how many requests wait, how many workers are in each state, and their processes."""
        self._metrics.processes[tuple(self._labels.values())] = processes
        self._metrics.depth.labels(**self._labels).set_function(depth)
        self._states = tuple(workers)
        for state, count in workers.items():
            self._metrics.workers.labels(**self._labels, state=state).set_function(count)

    def removed(self) -> None:
        """The model is gone: its gauges end, its counters stay."""
        labels = tuple(self._labels.values())
        self._metrics.processes.pop(labels, None)
        with suppress(KeyError):
            self._metrics.depth.remove(*labels)
            for state in self._states:
                self._metrics.workers.remove(*labels, state)

    def _theirs(self, version: str) -> tuple[Counter, Counter, Counter]:
        """TorchServe's three counters, whose version label is `default` unless the client named one."""
        metrics = self._metrics
        labels = self._labels | {"model_version": version, "hostname": metrics.hostname}
        return metrics.accepted.labels(**labels), metrics.latency.labels(**labels), metrics.waited.labels(**labels)
