"""Metrics as text: the Prometheus format 0.0.4, with counters under the very name they were given.

Prometheus' own Python client writes `Requests2XX_total` where TorchServe's dashboards ask for `Requests2XX`.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator
from typing import TypeAlias

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class PlainCounter(Collector):
    """A counter that keeps its name: no `_total` is added, and no `_created` series."""

    def __init__(self, name: str, documentation: str, labels: Iterable[str] = ()) -> None:
        """Belong to no registry; whoever makes it lists it."""
        self._name = name
        self._documentation = documentation
        self._counter = Counter(name, documentation, tuple(labels), registry=None)

    def labels(self, *values: str, **named: str) -> Counter:
        """The child with these label values."""
        return self._counter.labels(*values, **named)

    def remove(self, *values: str) -> None:
        """End a series."""
        self._counter.remove(*values)

    def collect(self) -> Iterator[Metric]:
        """The one family, under its given name."""
        family = Metric(self._name, self._documentation, "counter")
        for counted in self._counter.collect():
            family.samples += [s._replace(name=self._name) for s in counted.samples if not s.name.endswith("_created")]
        yield family


Family: TypeAlias = PlainCounter | Gauge | Histogram
Child: TypeAlias = Counter | Gauge | Histogram


def family_of(kind: str, name: str, documentation: str, labels: Iterable[str]) -> Family:
    """A counter, gauge or histogram that belongs to no registry; histograms have the client's default buckets."""
    if kind == "counter":
        return PlainCounter(name, documentation, labels)
    return (Gauge if kind == "gauge" else Histogram)(name, documentation, tuple(labels), registry=None)


def render(collectors: Iterable[Collector], names: Collection[str] = ()) -> bytes:
    """All families as text, or only the samples whose full name is among `names`."""
    families = (family for collector in collectors for family in collector.collect())
    return "".join(_family(family, frozenset(names)) for family in families).encode()


def _family(family: Metric, names: frozenset[str]) -> str:
    samples = [sample for sample in family.samples if not sample.name.endswith("_created")]
    if names:
        samples = [sample for sample in samples if sample.name in names]
        if not samples:
            return ""
    name = samples[0].name if samples and family.type == "counter" else family.name
    head = f"# HELP {name} {_escape(family.documentation)}\n# TYPE {name} {family.type}\n"
    return head + "".join(map(_line, samples))


def _line(sample: Sample) -> str:
    labels = ",".join(f'{name}="{_quote(value)}"' for name, value in sample.labels.items())
    return f"{sample.name}{f'{{{labels}}}' if labels else ''} {_number(sample.value)}\n"


def _number(value: float) -> str:
    return repr(float(value)) if math.isfinite(value) else {math.inf: "+Inf", -math.inf: "-Inf"}.get(value, "NaN")


def _escape(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n")


def _quote(text: str) -> str:
    return _escape(text).replace('"', r"\"")
