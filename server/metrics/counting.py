"""Counters, gauges and histograms for one thread, which need no locks: a request passes a dozen of them.

They are shown as Prometheus' own Python client shows its, but for counters, which keep the very name they were given:
that client writes `Requests2XX_total` where TorchServe's dashboards ask for `Requests2XX`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import lru_cache, partial
from itertools import accumulate
from math import inf
from typing import Generic, TypeAlias, TypeVar

from .exposition import head_of, in_pieces, labels_of, line_of

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
"""Those of Prometheus' own Python client."""

Samples: TypeAlias = Iterable[tuple[str, str, float]]
"""Those of one series: what follows the family's name, a further label, the value."""


class Counter:
    """What only grows."""

    __slots__ = ("value",)
    kind = "counter"

    def __init__(self) -> None:
        """Begin at 0."""
        self.value = 0.0

    def inc(self, amount: float = 1) -> None:
        """Count so many more."""
        self.value += amount

    def shown(self) -> Samples:
        """The total."""
        return [("", "", self.value)]


class Gauge:
    """What goes up and down."""

    __slots__ = ("_value",)
    kind = "gauge"

    def __init__(self) -> None:
        """Begin at 0."""
        self._value = 0.0

    def set(self, value: float) -> None:
        """Be this from now on."""
        self._value = value

    def shown(self) -> Samples:
        """The value."""
        return [("", "", self._value)]


class Histogram:
    """How many values there were, up to each of some bounds, and their sum."""

    __slots__ = ("_bounds", "_counts", "_sum")
    kind = "histogram"

    def __init__(self, bounds: Sequence[float] = BUCKETS) -> None:
        """Count by these bounds, which ascend, and what is above them all."""
        self._bounds = (*bounds, inf)
        self._counts = [0] * len(self._bounds)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Count a value."""
        self._sum += value
        if value == value:  # not a NaN, which is in no bucket
            self._counts[bisect_left(self._bounds, value)] += 1

    def shown(self) -> Samples:
        """The buckets, each with those before it, then how many there were and their sum."""
        up_to = list(accumulate(self._counts))
        buckets = zip(_up_to(self._bounds), up_to, strict=True)
        return [
            *[("_bucket", bound, count) for bound, count in buckets],
            ("_count", "", up_to[-1]),
            ("_sum", "", self._sum),
        ]


@lru_cache
def _up_to(bounds: tuple[float, ...]) -> list[str]:
    """The label of each bucket."""
    return [f'le="{"+Inf" if bound == inf else float(bound)}"' for bound in bounds]


Child: TypeAlias = Counter | Gauge | Histogram
C = TypeVar("C", bound=Child)


class Family(Generic[C]):
    """All series of one name: a child for each combination of label values."""

    def __init__(
        self, make: Callable[[], C], kind: str, name: str, documentation: str, labels: Iterable[str] = ()
    ) -> None:
        """Be empty, and belong to no registry; whoever makes it lists it."""
        self._make = make
        self._kind = kind
        self._name = name
        self._documentation = documentation
        self._labels = tuple(labels)
        self._children: dict[tuple[str, ...], C] = {}

    def labels(self, *values: str, **named: str) -> C:
        """The child with these label values. Raises: ValueError where they are not those of the family."""
        if set(named) != set(() if values else self._labels) or len(values or self._labels) != len(self._labels):
            raise ValueError(f"{self._name}: met {values or named}; expected the labels {self._labels}")
        key = tuple(map(str, values or (named[label] for label in self._labels)))
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = self._make()
        return child

    def remove(self, *values: str) -> None:
        """End a series. Raises: KeyError where there is none."""
        del self._children[values]

    def clear(self) -> None:
        """End all series."""
        self._children.clear()

    def pieces(self, names: Collection[str] = ()) -> Iterator[str]:
        """The text of the family, or of the samples among `names`; see exposition.Shown."""
        return in_pieces(head_of(self._name, self._documentation, self._kind), self._lines(names), names)

    def _lines(self, names: Collection[str]) -> Iterator[str]:
        for values, child in [*self._children.items()]:
            labels = labels_of(self._labels, values)
            for suffix, further, value in child.shown():
                name = self._name + suffix
                if not names or name in names:
                    yield line_of(name, f"{labels},{further}" if labels and further else labels + further, value)


def counters(name: str, documentation: str, labels: Iterable[str] = ()) -> Family[Counter]:
    """A family of counters."""
    return Family(Counter, Counter.kind, name, documentation, labels)


def gauges(name: str, documentation: str, labels: Iterable[str] = ()) -> Family[Gauge]:
    """A family of gauges."""
    return Family(Gauge, Gauge.kind, name, documentation, labels)


def histograms(
    name: str, documentation: str, labels: Iterable[str] = (), buckets: Sequence[float] = BUCKETS
) -> Family[Histogram]:
    """A family of histograms."""
    return Family(partial(Histogram, buckets), Histogram.kind, name, documentation, labels)


def family_of(
    kind: str, name: str, documentation: str, labels: Iterable[str]
) -> Family[Counter] | Family[Gauge] | Family[Histogram]:
    """A family of counters, gauges or histograms."""
    if kind == Counter.kind:
        return counters(name, documentation, labels)
    return (gauges if kind == Gauge.kind else histograms)(name, documentation, labels)
