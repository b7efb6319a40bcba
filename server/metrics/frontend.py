"""What the server measures under TorchServe's names: as samples, as lines of a log, or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import TypeAlias

from .config import MetricsChoice
from .counting import Child, Counter, Gauge, family_of
from .exposition import Shown
from .log import MetricsLog

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


Sink: TypeAlias = Callable[[float], None]
"""What takes the values of a metric with its labels: counters add them up, gauges show the last."""


class FrontendMetrics:
    """The families that are wanted, each of the type that it is declared with."""

    def __init__(self, choice: MetricsChoice, log: MetricsLog) -> None:
        """Make those that are to be scraped at once, so that the first scrape shows them all."""
        self._log = log
        self._declared = {metric.name: metric for metric in choice.frontend}
        self._families = {
            name: family_of(metric.kind, name, f"{MEANINGS[name]} (unit: {metric.unit})", metric.labels)
            for name, metric in self._declared.items()
            if not choice.logged(name)
        }

    def sink(self, name: str, *values: str) -> Sink:
        """What takes the values of `name`, whose labels have these values, in their order."""
        metric = self._declared.get(name)
        if metric is None:
            return _ignore
        if family := self._families.get(name):
            return _sink_of(family.labels(*values))
        return partial(self._log.note, metric, dict(zip(metric.labels, values, strict=True)))

    def remove(self, name: str, *values: str) -> None:
        """End a series, where there is one."""
        if family := self._families.get(name):
            with suppress(KeyError):
                family.remove(*values)

    def families(self) -> Iterator[Shown]:
        """The families that are scraped."""
        return iter(self._families.values())


def _sink_of(child: Child) -> Sink:
    if isinstance(child, Counter):
        return child.inc
    return child.set if isinstance(child, Gauge) else child.observe


def _ignore(value: float) -> None:
    """Take a value that nobody wants."""
