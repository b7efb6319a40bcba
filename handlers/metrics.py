"""context.metrics: what a handler may measure, in TorchServe's words (contract/metrics.md, section 6).

Nothing is added up here: every call is one Emitted record, which the worker's runtime drains after each batch.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from numbers import Real
from typing import Any

from .errors import HandlerError

logger = logging.getLogger(__name__)

TIME_UNITS = ("ms", "s")
SIZE_UNITS = ("MB", "kB", "GB", "B")


class MetricsCacheError(HandlerError):
    """A metric is made or asked for wrongly."""


class MetricsCacheValueError(MetricsCacheError):
    """A value, mostly a unit, is not one of those allowed."""


class MetricsCacheTypeError(MetricsCacheError):
    """An argument has the wrong type."""


class MetricsCacheKeyError(MetricsCacheError):
    """No metric of that name and type is known."""


class MetricTypes(Enum):
    """How a metric's values come together."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Dimension:
    """A label of a metric, with its value."""

    name: str
    value: str

    def __str__(self) -> str:
        return f"{self.name}:{self.value}"


@dataclass(slots=True)
class Emitted:
    """One value of one metric, on its way to the server; `request` are the ids of the requests it is about."""

    name: str
    kind: str
    value: float
    unit: str
    labels: dict[str, str]
    request: str = ""


class CachingMetric:
    """A metric by name, type, unit and label names; its values go straight to `sink`."""

    def __init__(
        self, sink: list[Emitted], metric_name: str, unit: str, dimension_names: Sequence[str], metric_type: MetricTypes
    ) -> None:
        self.metric_name = metric_name
        self.unit = unit
        self.dimension_names = list(dimension_names)
        self.metric_type = metric_type
        self._sink = sink

    def add_or_update(self, value: float, dimension_values: Sequence[Any] = (), request_id: str = "") -> None:
        """Emit a value; a wrong one, or the wrong number of labels, is logged and dropped."""
        problem = self._problem(value, dimension_values)
        if problem:
            logger.error("metric %s: %s; the value is dropped", self.metric_name, problem)
            return
        labels = {name: str(label) for name, label in zip(self.dimension_names, dimension_values, strict=True)}
        self._sink.append(
            Emitted(self.metric_name, self.metric_type.value, float(value), self.unit, labels, request_id)
        )

    def update(self, value: float, request_id: str = "", dimensions: Sequence[Dimension] = ()) -> None:
        """Emit a value with these labels, which replace the metric's label names: the older form of add_or_update."""
        self.dimension_names = [dimension.name for dimension in dimensions]
        self.add_or_update(value, [dimension.value for dimension in dimensions], request_id)

    def _problem(self, value: object, dimension_values: Sequence[Any]) -> str | None:
        if not isinstance(value, Real):
            return f"the value {value!r} is not a number"
        if self.metric_type is MetricTypes.COUNTER and value < 0:
            return f"a counter cannot take the negative value {value}"
        if len(dimension_values) != len(self.dimension_names):
            return f"{len(dimension_values)} label values {list(dimension_values)} for labels {self.dimension_names}"
        return None


class MetricsCache:
    """The metrics of one worker; add_* emits at once, add_metric_to_cache and get_metric give a metric to keep.

    `request_ids` are those of the batch, by their places in it, where values are to name the requests they are about.
    """

    def __init__(self, model_name: str) -> None:
        self.model_name = model_name
        self.request_ids: Mapping[int, str] = {}
        self.cache: dict[MetricTypes, dict[str, CachingMetric]] = {kind: {} for kind in MetricTypes}
        self._emitted: list[Emitted] = []
        for name in ("HandlerTime", "PredictionTime"):
            self.add_metric_to_cache(name, "ms", ["ModelName", "Level"], MetricTypes.GAUGE)

    def drain(self) -> list[Emitted]:
        """Return what was emitted since the last call, and forget it."""
        drained = self._emitted[:]
        self._emitted.clear()
        return drained

    def add_counter(
        self, name: str, value: float, idx: int | None = None, dimensions: Sequence[Dimension] = ()
    ) -> None:
        """Count `value` more of something."""
        self._emit(name, value, "count", dimensions, MetricTypes.COUNTER, idx)

    def add_time(
        self,
        name: str,
        value: float,
        idx: int | None = None,
        unit: str = "ms",
        dimensions: Sequence[Dimension] = (),
        metric_type: MetricTypes = MetricTypes.GAUGE,
    ) -> None:
        """Record a duration in "ms" or "s"."""
        self._check_unit(name, unit, TIME_UNITS)
        self._emit(name, value, unit, dimensions, metric_type, idx)

    def add_size(
        self,
        name: str,
        value: float,
        idx: int | None = None,
        unit: str = "MB",
        dimensions: Sequence[Dimension] = (),
        metric_type: MetricTypes = MetricTypes.GAUGE,
    ) -> None:
        """Record a size in "MB", "kB", "GB" or "B"."""
        self._check_unit(name, unit, SIZE_UNITS)
        self._emit(name, value, unit, dimensions, metric_type, idx)

    def add_percent(
        self,
        name: str,
        value: float,
        idx: int | None = None,
        dimensions: Sequence[Dimension] = (),
        metric_type: MetricTypes = MetricTypes.GAUGE,
    ) -> None:
        """Record a percentage."""
        self._emit(name, value, "percent", dimensions, metric_type, idx)

    def add_error(self, name: str, value: float, dimensions: Sequence[Dimension] = ()) -> None:
        """Count errors; of the usual labels these carry Level=Error alone."""
        self._emit(name, value, "unit", dimensions, MetricTypes.COUNTER, defaults={"Level": "Error"})

    def add_metric(
        self,
        name: str,
        value: float,
        unit: str,
        idx: int | None = None,
        dimensions: Sequence[Dimension] = (),
        metric_type: MetricTypes = MetricTypes.COUNTER,
    ) -> None:
        """Record a value of any unit and type."""
        self._emit(name, value, unit, dimensions, metric_type, idx)

    def add_metric_to_cache(
        self,
        metric_name: str,
        unit: str,
        dimension_names: Sequence[str] = (),
        metric_type: MetricTypes = MetricTypes.COUNTER,
    ) -> CachingMetric:
        """Define a metric, or define it anew, without emitting a value; it has just the labels named here."""
        _check_type("metric_name", metric_name, str)
        _check_type("unit", unit, str)
        _check_type("metric_type", metric_type, MetricTypes)
        _check_type("dimension_names", dimension_names, (list, tuple))
        metric = CachingMetric(self._emitted, metric_name, unit, dimension_names, metric_type)
        self.cache[metric_type][metric_name] = metric
        return metric

    def get_metric(self, metric_name: str, metric_type: MetricTypes = MetricTypes.COUNTER) -> CachingMetric:
        """Return a metric defined before; its type is part of its name.

        Raises: MetricsCacheKeyError where there is none.
        """
        _check_type("metric_name", metric_name, str)
        _check_type("metric_type", metric_type, MetricTypes)
        if metric_name not in self.cache[metric_type]:
            known = ", ".join(sorted(self.cache[metric_type])) or "none"
            raise MetricsCacheKeyError(f"no {metric_type.value} is called {metric_name!r}; there are: {known}")
        return self.cache[metric_type][metric_name]

    def _emit(
        self,
        name: str,
        value: float,
        unit: str,
        dimensions: Sequence[Dimension],
        kind: MetricTypes,
        idx: int | None = None,
        defaults: Mapping[str, str] | None = None,
    ) -> None:
        labels = {dimension.name: dimension.value for dimension in dimensions}
        for label, text in (defaults or {"ModelName": self.model_name, "Level": "Model"}).items():
            labels.setdefault(label, text)
        _check_type("metric_type", kind, MetricTypes)
        metric = self.cache[kind].get(name) or self.add_metric_to_cache(name, unit, list(labels), kind)
        metric.add_or_update(value, list(labels.values()), self._request_of(idx))

    def _request_of(self, idx: int | None) -> str:
        """The id of a request of the batch, or of all with commas."""
        if not self.request_ids:
            return ""
        return ",".join(self.request_ids.values()) if idx is None else self.request_ids.get(idx, "")

    def _check_unit(self, name: str, unit: str, allowed: Sequence[str]) -> None:
        if unit not in allowed:
            raise MetricsCacheValueError(f"metric {name}: the unit {unit!r} is not one of {', '.join(allowed)}")


def _check_type(argument: str, value: object, expected: type | tuple[type, ...]) -> None:
    if not isinstance(value, expected):
        names = " or ".join(kind.__name__ for kind in (expected if isinstance(expected, tuple) else (expected,)))
        raise MetricsCacheTypeError(f"{argument} must be {names}, not {type(value).__name__}")
