"""Every metric of the server, defined once; methods are named for what has happened."""

from __future__ import annotations

import asyncio
import platform
import socket
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, TypeVar

import psutil
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

from ... import __version__
from ..memory import measured
from ..messages import Emitted
from .config import FRONTEND, MODEL_METRICS, MetricsChoice, read_metrics_config
from .counting import Counter, Family, Gauge, Histogram, counters, gauges, histograms
from .exposition import CONTENT_TYPE, Foreign, Shown, render
from .frontend import FrontendMetrics
from .handlers import HandlerMetrics
from .log import MetricsLog
from .models import ModelMetrics
from .watched import MODEL, WatchedModels

if TYPE_CHECKING:
    from ..settings import Settings

__all__ = ["CONTENT_TYPE", "UNKNOWN_MODEL", "WORKER_STATES", "Metrics", "ModelMetrics", "choice_of"]

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
MEBIBYTE, GIBIBYTE = 1 << 20, 1 << 30
ANSWER = ("protocol", "code")
SLICE = 0.001
"""Seconds after which a scrape lets others have their turn."""
WORKER_STATES = ("loading", "ready", "failing", "failed", "stopping")
UNKNOWN_MODEL = "_unknown"
"""The one label that stands for every model name nobody has registered."""


def choice_of(settings: Settings) -> MetricsChoice:
    """Which of TorchServe's metrics the settings ask for. Raises: InvalidConfiguration for a bad metrics_config."""
    file, detect = settings.metrics_config, settings.model_metrics_auto_detect
    frontend, model = read_metrics_config(file) if file else (FRONTEND, MODEL_METRICS)
    return MetricsChoice(
        settings.metrics_mode, frontend, model, file is None if detect is None else detect, settings.log_format
    )


S = TypeVar("S", bound=Shown)


class Metrics:
    """The server's counters, gauges and histograms: TorchServe's by their names, ours as `numserve_…`."""

    def __init__(self, hostname: str | None = None, choice: MetricsChoice | None = None) -> None:
        """Register every family at once, so that the first scrape shows them all."""
        self.hostname = hostname or socket.gethostname()
        self.choice = choice or MetricsChoice()
        self._shown: list[Shown] = []
        self._log = MetricsLog(self.choice.style, self.hostname)
        self.theirs = FrontendMetrics(self.choice, self._log)
        self._handlers = HandlerMetrics(self.hostname, self.choice, self._log)
        self._answers = {each: self.theirs.sink(f"Requests{each}", *self._host) for each in ("2XX", "4XX", "5XX")}
        self.queue_time = self.theirs.sink("QueueTime", *self._host)
        self.thread_time = self.theirs.sink("WorkerThreadTime", *self._host)
        self._predictions = self._counter(
            "numserve_requests_total", "Requests for predictions, by how they were answered", (*MODEL, *ANSWER)
        )
        self.request_seconds = self._histogram("numserve_request_duration_seconds", "From queued to answered", SECONDS)
        self.queue_seconds = self._histogram("numserve_queue_duration_seconds", "From queued to a batch", SECONDS)
        self.batch_seconds = self._histogram("numserve_inference_duration_seconds", "A batch in the handler", SECONDS)
        self.first_seconds = self._histogram(
            "numserve_time_to_first_chunk_seconds", "From queued to the first piece of an answer in pieces", SECONDS
        )
        self.load_seconds = self._histogram(
            "numserve_model_load_duration_seconds", "A model being loaded in a worker", SECONDS
        )
        self.batch_size = self._histogram("numserve_batch_size", "Requests a batch holds", SIZES)
        self.watched = self._keep(WatchedModels())
        self.memory = self._gauge(
            "numserve_worker_memory_bytes", "Memory of a worker, shared pages in parts (PSS)", (*MODEL, "worker")
        )
        self.processes: dict[tuple[str, str], Callable[[], Mapping[str, int]]] = {}
        """Name and version of each model that has had workers → what tells the process of each of them."""
        self.restarts = self._counter(
            "numserve_worker_restarts_total", "Workers started again after a death", (*MODEL, "cause")
        )
        self.scalings = self._counter(
            "numserve_worker_scalings_total",
            "Changes of a model's number of workers by its load",
            (*MODEL, "direction"),
        )
        self._rejected = self._counter(
            "numserve_requests_rejected_total", "Requests that reached no handler", ("model_name", "reason")
        )
        self._dropped = self._counter(
            "numserve_log_lines_dropped_total", "Lines of logs that could not be written", ()
        ).labels()
        self._workflows = self._histogram(
            "numserve_workflow_duration_seconds",
            "A workflow from request to answer, by outcome",
            SECONDS,
            ("workflow_name", "outcome"),
        )
        build = self._gauge("numserve_build_info", "The server's version, always 1", ("version", "python"))
        build.labels(__version__, platform.python_version()).set(1)
        for of_process in (
            ProcessCollector(registry=None),
            PlatformCollector(registry=None),
            GCCollector(CollectorRegistry()),
        ):
            self._keep(Foreign(of_process))
        self._reject = lru_cache(1024)(lambda model, reason: self._rejected.labels(model_name=model, reason=reason))
        self._predicted = lru_cache(1024)(lambda *labels: self._predictions.labels(*labels).inc)

    @property
    def _host(self) -> tuple[str, str]:
        """The last two labels of what is measured for the whole machine."""
        return "Host", self.hostname

    def request_answered(self, status: int) -> None:
        """An HTTP response has gone out, on any listener."""
        self._answers["2XX" if 200 <= status < 300 else "4XX" if 400 <= status < 500 else "5XX"](1)

    def prediction_answered(self, model: str, version: str, code: object, protocol: str = "http") -> None:
        """A request for a prediction was answered; `code` is the protocol's own."""
        self._predicted(model, version, protocol, code)()

    def workflow_done(self, workflow: str, outcome: str, seconds: float) -> None:
        """A workflow has answered a request, or failed to, or was called off."""
        self._workflows.labels(workflow, outcome).observe(seconds)

    def request_rejected(self, reason: str, model: str = UNKNOWN_MODEL) -> None:
        """A request reached no handler; leave `model` out unless such a model is registered."""
        self._reject(model, reason).inc()

    def lines_dropped(self, lines: int) -> None:
        """Lines of logs could not be written."""
        self._dropped.inc(lines)

    def worker_loaded(self, worker: str, seconds: float) -> None:
        """A worker has loaded its model, `seconds` after it was asked for."""
        self.theirs.sink("WorkerLoadTime", worker, *self._host)(round(seconds * 1000))

    def worker_removed(self, worker: str) -> None:
        """A worker will not come back: its series ends."""
        self.theirs.remove("WorkerLoadTime", worker, *self._host)

    def model(self, name: str, version: str) -> ModelMetrics:
        """What is counted for one version of a model."""
        return ModelMetrics(self, name, version)

    def emit(self, values: Sequence[Emitted]) -> None:
        """A handler has measured something of its own."""
        for value in values:
            self._handlers.emit(value)

    def flush(self) -> None:
        """Write the lines that are kept, where metrics are lines."""
        self._log.flush()

    def sample_system(self) -> None:
        """Measure CPU, memory and disk; the first CPU figure covers the time since the process began."""
        memory, disk = psutil.virtual_memory(), psutil.disk_usage("/")
        for name, value in (
            ("CPUUtilization", psutil.cpu_percent()),
            ("MemoryUsed", memory.used / MEBIBYTE),
            ("MemoryAvailable", memory.available / MEBIBYTE),
            ("MemoryUtilization", memory.percent),
            ("DiskUsage", disk.used / GIBIBYTE),
            ("DiskAvailable", disk.free / GIBIBYTE),
            ("DiskUtilization", disk.percent),
        ):
            self.theirs.sink(name, *self._host)(value)

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
        return render(self._families(), names)

    async def exposed(self, names: Collection[str] = ()) -> bytes:
        """The same, a slice at a time: with many models it takes a while, and requests pass in between."""
        pieces, until = [], time.perf_counter() + SLICE
        for each in self._families():
            for piece in each.pieces(names):
                pieces.append(piece)
                if time.perf_counter() > until:
                    await asyncio.sleep(0)
                    until = time.perf_counter() + SLICE
        return "".join(pieces).encode()

    def _families(self) -> list[Shown]:
        return [*self.theirs.families(), *self._handlers.families(), *self._shown]

    def _counter(self, name: str, text: str, labels: Sequence[str]) -> Family[Counter]:
        return self._keep(counters(name, text, labels))

    def _gauge(self, name: str, text: str, labels: Sequence[str]) -> Family[Gauge]:
        return self._keep(gauges(name, text, labels))

    def _histogram(
        self, name: str, text: str, buckets: Sequence[float], labels: Sequence[str] = MODEL
    ) -> Family[Histogram]:
        return self._keep(histograms(name, text, labels, buckets))

    def _keep(self, shown: S) -> S:
        self._shown.append(shown)
        return shown
