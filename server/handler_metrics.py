"""What handlers measure themselves: families that come into being with their first value."""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from collections.abc import Iterator
from typing import TypeAlias

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.registry import Collector

from .exposition import PlainCounter
from .messages import Emitted

logger = logging.getLogger(__name__)

MAX_FAMILIES = 500
MAX_SERIES = 1000
"""Label values of one family, at most: a handler that labels by request must not fill the memory."""

RESERVED = re.compile(r"numserve_|ts_inference_|ts_queue_|Requests[245]XX$|(CPU|Memory|Disk)[A-Z]|QueueTime$|Worker")
"""Names that are the server's own."""

Family: TypeAlias = PlainCounter | Gauge | Histogram
Child: TypeAlias = Counter | Gauge | Histogram
Key: TypeAlias = tuple[str, str, tuple[tuple[str, str], ...]]


class HandlerMetrics:
    """Counters are incremented by the value, gauges set to it, histograms observe it."""

    def __init__(self, hostname: str) -> None:
        """Declare the two that every model has."""
        self._hostname = hostname
        self._families: dict[str, tuple[Emitted, Family]] = {}
        self._children: dict[Key, Child] = {}
        self._series: defaultdict[str, int] = defaultdict(int)
        self._refused: set[str] = set()
        for name in ("HandlerTime", "PredictionTime"):
            self._declare(Emitted(name, "gauge", 0, "ms", {"ModelName": "", "Level": "Model"}))

    def emit(self, value: Emitted) -> None:
        """Take one value in; what cannot be is logged once by name and dropped."""
        key = (value.name, value.kind, tuple(value.labels.items()))
        child = self._children.get(key)
        if child is None:
            problem = self._admit(value)
            if problem:
                self._refuse(value.name, problem)
                return
            self._series[value.name] += 1
            child = self._children[key] = self._families[value.name][1].labels(
                **{_label(name): text for name, text in value.labels.items()}, Hostname=self._hostname
            )
        if isinstance(child, Counter):
            child.inc(max(0.0, value.value))
        elif isinstance(child, Gauge):
            child.set(value.value)
        else:
            child.observe(value.value)

    def collectors(self) -> Iterator[Collector]:
        """The families there are."""
        return (family for _, family in self._families.values())

    def _admit(self, value: Emitted) -> str | None:
        """Make room for a new series, or say why there is none."""
        if value.name not in self._families:
            if problem := self._problem(value):
                return problem
            self._declare(value)
        first, _ = self._families[value.name]
        if first.kind != value.kind:
            return f"it was a {first.kind} first and is a {value.kind} now"
        if first.labels.keys() != value.labels.keys():
            return f"it had the labels {sorted(first.labels)} first and has {sorted(value.labels)} now"
        if self._series[value.name] >= MAX_SERIES:
            return f"it has {MAX_SERIES} different label values already"
        return None

    def _problem(self, value: Emitted) -> str | None:
        """Why there can be no family of this name and these labels, if there cannot."""
        labels = [*map(_label, value.labels), "Hostname"]
        if RESERVED.match(_name(value.name)):
            return "the name is the server's own"
        if _name(value.name) in map(_name, self._families):
            return "another metric has that name in Prometheus' alphabet"
        if len(set(labels)) < len(labels) or any(label == "le" or label.startswith("__") for label in labels):
            return f"its labels {labels} are not distinct, or are Prometheus' own"
        if len(self._families) >= MAX_FAMILIES:
            return f"there are {MAX_FAMILIES} metrics of handlers already"
        return None

    def _declare(self, value: Emitted) -> None:
        name = _name(value.name)
        text, labels = f"Measured by a handler, in {value.unit}", (*map(_label, value.labels), "Hostname")
        family: Family
        if value.kind == "counter":
            family = PlainCounter(name, text, labels)
        elif value.kind == "gauge":
            family = Gauge(name, text, labels, registry=None)
        else:
            family = Histogram(name, text, labels, registry=None)
        self._families[value.name] = value, family

    def _refuse(self, name: str, problem: str) -> None:
        if name not in self._refused and len(self._refused) < MAX_FAMILIES:
            self._refused.add(name)
            logger.warning("metric %s of a handler is dropped: %s", name, problem)


def _name(name: str) -> str:
    return re.sub(r"[^a-zA-Z0-9_:]|^(?=\d)|^$", "_", name)


def _label(name: str) -> str:
    return re.sub(r"[^a-zA-Z0-9_]|^(?=\d)|^$", "_", name)
