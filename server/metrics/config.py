"""Which of TorchServe's metrics there are: its own by default, or those that a `metrics.yaml` declares."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ..messages import DeclaredMetric
from ..properties import InvalidConfiguration
from ..yaml_files import read_named

logger = logging.getLogger(__name__)

KINDS = ("counter", "gauge", "histogram")
HOST = ("Level", "Hostname")
ASKED = ("model_name", "model_version", "hostname")

FRONTEND = (
    *(DeclaredMetric(f"Requests{status}", "counter", "Count", HOST) for status in ("2XX", "4XX", "5XX")),
    DeclaredMetric("ts_inference_requests_total", "counter", "Count", ASKED),
    DeclaredMetric("ts_inference_latency_microseconds", "counter", "Microseconds", ASKED),
    DeclaredMetric("ts_queue_latency_microseconds", "counter", "Microseconds", ASKED),
    DeclaredMetric("QueueTime", "gauge", "Milliseconds", HOST),
    DeclaredMetric("WorkerThreadTime", "gauge", "Milliseconds", HOST),
    DeclaredMetric("WorkerLoadTime", "gauge", "Milliseconds", ("WorkerName", *HOST)),
    DeclaredMetric("CPUUtilization", "gauge", "Percent", HOST),
    DeclaredMetric("MemoryUsed", "gauge", "Megabytes", HOST),
    DeclaredMetric("MemoryAvailable", "gauge", "Megabytes", HOST),
    DeclaredMetric("MemoryUtilization", "gauge", "Percent", HOST),
    DeclaredMetric("DiskUsage", "gauge", "Gigabytes", HOST),
    DeclaredMetric("DiskAvailable", "gauge", "Gigabytes", HOST),
    DeclaredMetric("DiskUtilization", "gauge", "Percent", HOST),
    DeclaredMetric("GPUMemoryUtilization", "gauge", "Percent", ("Level", "DeviceId", "Hostname")),
    DeclaredMetric("GPUMemoryUsed", "gauge", "Megabytes", ("Level", "DeviceId", "Hostname")),
    DeclaredMetric("GPUUtilization", "gauge", "Percent", ("Level", "DeviceId", "Hostname")),
)
"""What the server itself measures under TorchServe's names (contract: metrics, section 4)."""

MODEL_METRICS = tuple(
    DeclaredMetric(name, "gauge", "ms", ("ModelName", "Level")) for name in ("HandlerTime", "PredictionTime")
)
"""What every model measures; the endpoint adds the label Hostname."""


@dataclass(frozen=True, slots=True)
class MetricsChoice:
    """What is measured under TorchServe's names, and where it goes.

    `mode` is prometheus, log or legacy. With `detect`, a handler's metrics need not be declared.
    """

    mode: Literal["prometheus", "log", "legacy"] = "prometheus"
    frontend: tuple[DeclaredMetric, ...] = FRONTEND
    model: tuple[DeclaredMetric, ...] = MODEL_METRICS
    detect: bool = True
    style: str = "text"

    def logged(self, name: str) -> bool:
        """Whether a metric's values are lines of a log instead of samples."""
        return self.mode == "log" or (self.mode == "legacy" and not name.startswith("ts_"))


def read_metrics_config(path: Path) -> tuple[tuple[DeclaredMetric, ...], tuple[DeclaredMetric, ...]]:
    """The frontend's and the models' metrics that a file declares (contract: metrics, section 3).

    Raises: InvalidConfiguration naming the file, the metric and what was expected.
    """
    document = read_named("metrics_config", path)
    try:
        return tuple(_frontend(document.get("ts_metrics"))), tuple(_declared(document.get("model_metrics")))
    except ValueError as error:
        raise InvalidConfiguration(f"Invalid configuration: metrics_config {path}: {error}") from error


def _frontend(section: Any) -> Iterator[DeclaredMetric]:
    """Those of the declared metrics that the server measures, of any type; it gives label values by their place."""
    ours = {metric.name: metric for metric in FRONTEND}
    for metric in _declared(section):
        known = ours.get(metric.name)
        if known is None:
            logger.warning("metrics_config: ts_metrics: %s is nothing that the server measures", metric.name)
        elif len(metric.labels) != len(known.labels):
            raise ValueError(f"ts_metrics: {metric.name} has {list(metric.labels)}; expected {list(known.labels)}")
        else:
            yield metric


def _declared(section: Any) -> Iterator[DeclaredMetric]:
    if not isinstance(section or {}, dict):
        raise ValueError("expected a mapping of counter, gauge and histogram")
    for kind, entries in (section or {}).items():
        if kind not in KINDS:
            raise ValueError(f"{kind!r} is no type of metric; expected {', '.join(KINDS)}")
        for entry in entries or ():
            yield _one(kind, entry)


def _one(kind: str, entry: Any) -> DeclaredMetric:
    found = entry if isinstance(entry, dict) else {}
    name, unit, labels = found.get("name"), found.get("unit"), found.get("dimensions")
    if not all(isinstance(text, str) and text for text in (name, unit)) or not isinstance(labels, list):
        raise ValueError(f"{kind}: expected name, unit and a list of dimensions, met {entry!r}")
    return DeclaredMetric(str(name), kind, str(unit), tuple(map(str, labels)))
