"""What handlers measure themselves: families that come into being with their first value."""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from collections.abc import Iterator
from typing import TypeAlias

from ..messages import DeclaredMetric, Emitted
from ..properties import InvalidConfiguration
from .config import MetricsChoice
from .counting import Child, Counter, Family, Gauge, Histogram, family_of
from .exposition import Shown
from .log import MetricsLog

logger = logging.getLogger(__name__)

MAX_FAMILIES = 500
MAX_SERIES = 1000
"""Label values of one family, at most: a handler that labels by request must not fill the memory."""

RESERVED = re.compile(
    r"numserve_|process_|python_|ts_inference_|ts_queue_|Requests[245]XX$|(CPU|GPU|Memory|Disk)[A-Z]|QueueTime$|Worker"
)
"""Names that are the server's own."""

UNITS = {
    "ms": "Milliseconds", "s": "Seconds", "percent": "Percent", "count": "Count", "MB": "Megabytes", "GB": "Gigabytes",
    "kB": "Kilobytes", "B": "Bytes", "": "unit",
}  # fmt: skip
"""How a unit that no file declares is called (contract: metrics, section 6)."""

AnyFamily: TypeAlias = Family[Counter] | Family[Gauge] | Family[Histogram]
Key: TypeAlias = tuple[str, str, tuple[tuple[str, str], ...]]


class HandlerMetrics:
    """Counters are incremented by the value, gauges set to it, histograms observe it; or each value is a line."""

    def __init__(self, hostname: str, choice: MetricsChoice, log: MetricsLog) -> None:
        """Begin with those that are declared. Raises: InvalidConfiguration where one of them cannot be."""
        self._hostname = hostname
        self._log = log if choice.logged("") else None
        self._detect = True
        self._declared: dict[str, DeclaredMetric] = {}
        self._families: dict[str, AnyFamily] = {}
        self._children: dict[Key, Child] = {}
        self._series: defaultdict[str, int] = defaultdict(int)
        self._refused: set[str] = set()
        for metric in choice.model:
            if problem := self._admit(metric):
                raise InvalidConfiguration(f"Invalid configuration: metrics_config: {metric.name}: {problem}")
        self._detect = choice.detect

    def emit(self, value: Emitted) -> None:
        """Take one value in; what cannot be is logged once by name and dropped."""
        if self._log:
            self._emit_line(self._log, value)
            return
        key = (value.name, value.kind, tuple(value.labels.items()))
        child = self._children.get(key)
        if child is None:
            problem = self._admit(_seen(value)) or self._crowded(value.name)
            if problem:
                self._refuse(value.name, problem)
                return
            self._series[value.name] += 1
            child = self._children[key] = self._families[value.name].labels(
                **{_label(name): text for name, text in value.labels.items()}, Hostname=self._hostname
            )
        if isinstance(child, Counter):
            child.inc(max(0.0, value.value))
        elif isinstance(child, Gauge):
            child.set(value.value)
        else:
            child.observe(value.value)

    def families(self) -> Iterator[Shown]:
        """The families there are to be scraped."""
        return iter(() if self._log else self._families.values())

    def _emit_line(self, log: MetricsLog, value: Emitted) -> None:
        if problem := self._admit(_seen(value)):
            self._refuse(value.name, problem)
        else:
            log.note_model(self._declared[value.name], value.value, value.labels, value.request)

    def _admit(self, met: DeclaredMetric) -> str | None:
        """Know a metric from now on, or say why it cannot be taken."""
        first = self._declared.get(met.name)
        if first is None:
            if problem := self._problem(met):
                return problem
            self._declared[met.name], self._families[met.name] = met, _family(met)
        elif first.kind != met.kind:
            return f"it was a {first.kind} first and is a {met.kind} now"
        elif set(first.labels) != set(met.labels):
            return f"it had the labels {sorted(first.labels)} first and has {sorted(met.labels)} now"
        return None

    def _problem(self, met: DeclaredMetric) -> str | None:
        """Why there can be no family of this name and these labels, if there cannot."""
        labels = [*map(_label, met.labels), "Hostname"]
        if not self._detect:
            return "metrics_config does not declare it, and model_metrics_auto_detect is off"
        if RESERVED.match(_name(met.name)):
            return "the name is the server's own"
        if _name(met.name) in map(_name, self._declared):
            return "another metric has that name in Prometheus' alphabet"
        if len(set(labels)) < len(labels) or any(label == "le" or label.startswith("__") for label in labels):
            return f"its labels {labels} are not distinct, or are Prometheus' own"
        if len(self._declared) >= MAX_FAMILIES:
            return f"there are {MAX_FAMILIES} metrics of handlers already"
        return None

    def _crowded(self, name: str) -> str | None:
        full = self._series[name] >= MAX_SERIES
        return f"it has {MAX_SERIES} different label values already" if full else None

    def _refuse(self, name: str, problem: str) -> None:
        if name not in self._refused and len(self._refused) < MAX_FAMILIES:
            self._refused.add(name)
            logger.warning("metric %s of a handler is dropped: %s", name, problem)


def _seen(value: Emitted) -> DeclaredMetric:
    """The metric that a value is one of."""
    return DeclaredMetric(value.name, value.kind, UNITS.get(value.unit, value.unit), tuple(value.labels))


def _family(metric: DeclaredMetric) -> AnyFamily:
    name, text = _name(metric.name), f"Measured by a handler (unit: {metric.unit})"
    labels = (*map(_label, metric.labels), "Hostname")
    return family_of(metric.kind, name, text, labels)


def _name(name: str) -> str:
    return re.sub(r"[^a-zA-Z0-9_:]|^(?=\d)|^$", "_", name)


def _label(name: str) -> str:
    return re.sub(r"[^a-zA-Z0-9_]|^(?=\d)|^$", "_", name)
