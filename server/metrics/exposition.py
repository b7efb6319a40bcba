"""Metrics as text, piece by piece: the Prometheus format 0.0.4."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator
from itertools import islice
from typing import Protocol

from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PIECE = 256
"""Lines of a piece: a part of a millisecond."""


class Shown(Protocol):
    """What has something to show at a scrape."""

    def pieces(self, names: Collection[str] = ()) -> Iterator[str]:
        """Whole families as text, or of them the samples whose full name is among `names`, in pieces."""


class Foreign:
    """What a collector of Prometheus' own client shows, without the time at which each series began."""

    def __init__(self, collector: Collector) -> None:
        """Ask it at each scrape."""
        self._collector = collector

    def pieces(self, names: Collection[str] = ()) -> Iterator[str]:
        """See Shown."""
        for family in self._collector.collect():
            yield from _family(family, names)


def render(shown: Iterable[Shown], names: Collection[str] = ()) -> bytes:
    """All families as text, or only the samples whose full name is among `names`."""
    return "".join(piece for each in shown for piece in each.pieces(names)).encode()


def in_pieces(head: str, lines: Iterator[str], names: Collection[str]) -> Iterator[str]:
    """The lines of a family behind its head, which stands alone only where no samples are asked for by name."""
    while piece := "".join(islice(lines, PIECE)):
        yield head + piece
        head = ""
    if head and not names:
        yield head


def head_of(name: str, documentation: str, kind: str) -> str:
    """What stands above a family."""
    return f"# HELP {name} {_escape(documentation)}\n# TYPE {name} {kind}\n"


def line_of(name: str, labels: str, value: float) -> str:
    """A sample."""
    return f"{name}{{{labels}}} {_number(value)}\n" if labels else f"{name} {_number(value)}\n"


def labels_of(names: Iterable[str], values: Iterable[str]) -> str:
    """Labels as they stand in a sample's braces."""
    return ",".join([f'{name}="{_quote(value)}"' for name, value in zip(names, values, strict=True)])


def _family(family: Metric, names: Collection[str]) -> Iterator[str]:
    samples = [sample for sample in family.samples if not sample.name.endswith("_created")]
    if names:
        samples = [sample for sample in samples if sample.name in names]
    name = samples[0].name if samples and family.type == "counter" else family.name
    return in_pieces(head_of(name, family.documentation, family.type), map(_line, samples), names)


def _line(sample: Sample) -> str:
    return line_of(sample.name, labels_of(sample.labels.keys(), sample.labels.values()), sample.value)


def _number(value: float) -> str:
    return repr(float(value)) if math.isfinite(value) else {math.inf: "+Inf", -math.inf: "-Inf"}.get(value, "NaN")


def _escape(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n")


def _quote(text: str) -> str:
    return _escape(text).replace('"', r"\"")
