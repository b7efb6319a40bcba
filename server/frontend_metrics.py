"""What the server measures under TorchServe's names: as samples, as lines of a log, or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Protocol, TypeAlias

from prometheus_client import Gauge
from prometheus_client.registry import Collector

from .exposition import PlainCounter
from .metrics_config import MetricsChoice
from .metrics_log import Line, MetricsLog

Family: TypeAlias = PlainCounter | Gauge

MEANINGS = {
    "Requests2XX": "Responses of class 2XX",
    "Requests4XX": "Responses of class 4XX",
    "Requests5XX": "All other responses",
    "ts_inference_requests_total": "Inference requests, the refused included",
    "ts_inference_latency_microseconds": "Time from receipt to answer, summed",
    "ts_queue_latency_microseconds": "Time from receipt to a batch, summed",
    "QueueTime": "Last time in the queue",
    "WorkerThreadTime": "Last batch's time outside the handler",
    "WorkerLoadTime": "Time from asking for a worker to its model being loaded",
    "CPUUtilization": "Processor time in use",
    "MemoryUsed": "Memory in use",
    "MemoryAvailable": "Memory available",
    "MemoryUtilization": "Memory in use",
    "DiskUsage": "Root file system in use",
    "DiskAvailable": "Root file system available",
    "DiskUtilization": "Root file system in use",
    "GPUMemoryUtilization": "Memory of a GPU in use; models run on the CPU here",
    "GPUMemoryUsed": "Memory of a GPU in use; models run on the CPU here",
    "GPUUtilization": "Time of a GPU in use; models run on the CPU here",
}


class Counts(Protocol):
    """A counter with all its labels."""

    def inc(self, amount: float = 1) -> None:
        """Add to it."""


class Shows(Protocol):
    """A gauge with all its labels."""

    def set(self, value: float) -> None:
        """Show this from now on."""


class Nothing:
    """A metric that nobody wants."""

    def inc(self, amount: float = 1) -> None:
        """Do nothing."""

    set = inc


class FrontendMetrics:
    """The families that are wanted; a child is asked for by the values of its labels, in their order."""

    def __init__(self, choice: MetricsChoice, log: MetricsLog) -> None:
        """Make those that are to be scraped at once, so that the first scrape shows them all."""
        self._log = log
        self._declared = {metric.name: metric for metric in choice.frontend}
        self._families: dict[str, Family] = {}
        for name, metric in self._declared.items():
            if not choice.logged(name):
                text = f"{MEANINGS[name]} (unit: {metric.unit})"
                self._families[name] = (
                    PlainCounter(name, text, metric.labels)
                    if metric.kind == "counter"
                    else Gauge(name, text, metric.labels, registry=None)
                )

    def counter(self, name: str, *values: str) -> Counts:
        """What counts `name` with these labels."""
        family = self._families.get(name)
        return family.labels(*values) if isinstance(family, PlainCounter) else self._line(name, values)

    def gauge(self, name: str, *values: str) -> Shows:
        """What shows `name` with these labels."""
        family = self._families.get(name)
        return family.labels(*values) if isinstance(family, Gauge) else self._line(name, values)

    def remove(self, name: str, *values: str) -> None:
        """End a gauge's series, where there is one."""
        family = self._families.get(name)
        if isinstance(family, Gauge):
            with suppress(KeyError):
                family.remove(*values)

    def collectors(self) -> Iterator[Collector]:
        """The families that are scraped."""
        return iter(self._families.values())

    def _line(self, name: str, values: tuple[str, ...]) -> Line | Nothing:
        metric = self._declared.get(name)
        return Line(self._log, metric, dict(zip(metric.labels, values, strict=True))) if metric else Nothing()
