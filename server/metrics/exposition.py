"""Metrics as text: the Prometheus format 0.0.4."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable

from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


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
