"""Figures by name and peer, the best of their rounds, and the tables of Markdown that show them."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from numserve.server.bench import Point

from .measures import Overload, Recovery
from .targets import TARGETS, Target

MORE_IS_BETTER = ("requests/s", "goodput")
OURS = "numserve"


class Figures:
    """What was measured; a figure has a value for each round."""

    def __init__(self) -> None:
        self.values: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        self.remarks: list[str] = []
        self.failures: list[str] = []
        """Servers that did not start, and wrong answers."""
        self.generator = 0.0
        """The largest share of a core that the load generator took."""

    def add(self, name: str, peer: str, value: float) -> None:
        self.values[name][peer].append(value)

    def point(self, workload: str, peer: str, clients: int, point: Point) -> None:
        """Keep a point of load, in the units of the tables."""
        at = f"c={clients}"
        self.add(f"{workload}: requests/s, {at}", peer, point.throughput)
        for share in ("p50", "p99"):
            self.add(f"{workload}: {share} ms, {at}", peer, 1e3 * (point.latency[share] or math.inf))
        self.add(f"{workload}: CPU µs, {at}", peer, 1e6 * (point.server["cpu"] or math.nan))
        self.generator = max(self.generator, float(point.generator["cpu"] or 0))
        if point.failed:
            told = ", ".join(f"{count} × {reason}" for reason, count in point.errors.items())
            self.remarks.append(f"{workload}, {at}, {peer}: besides {point.answered} answers, {told}.")

    def recovery(self, peer: str, seen: Recovery) -> None:
        self.add("kill -9: back after s", peer, seen.back)
        self.add("kill -9: errors", peer, seen.errors)

    def overload(self, peer: str, seen: Overload) -> None:
        self.add("512 clients: goodput", peer, seen.goodput)
        self.add("512 clients: refused", peer, seen.refused)
        if seen.refused:
            self.add("512 clients: 503 after ms", peer, 1e3 * seen.refusal)
        self.add("512 clients: left without answer", peer, seen.left)
        self.add("512 clients gone: next answer after ms", peer, 1e3 * seen.fresh)

    def best(self, name: str, peer: str) -> float | None:
        """The best of the rounds; None where it was not measured."""
        values = self.values.get(name, {}).get(peer)
        if not values:
            return None
        return max(values) if any(word in name for word in MORE_IS_BETTER) else min(values)

    def judged(self) -> Iterator[tuple[Target, float, float | None, float]]:
        """Each target that can be judged, with our figure, the peer's, and what is compared with the must."""
        for target in TARGETS:
            ours = self.best(target.figure, OURS)
            theirs = self.best(target.figure, target.peer) if target.peer else None
            if ours is not None and (theirs is not None or not target.peer):
                yield target, ours, theirs, ours / theirs if theirs else ours

    def missed(self) -> list[Target]:
        return [target for target, _, _, value in self.judged() if not target.met(value)]


def of_load(figures: Figures, workload: str, peers: Sequence[str], levels: Sequence[int]) -> str:
    """Throughput, latency and CPU time of one workload, a line a peer."""
    kinds = ("requests/s", "p50 ms", "p99 ms", "CPU µs")
    heads = [f"{kind}, c={level}" if at == 0 else f"c={level}" for kind in kinds for at, level in enumerate(levels)]
    names = [f"{workload}: {kind}, c={level}" for kind in kinds for level in levels]
    return _table([workload, *heads], ([peer, *_cells(figures, names, peer)] for peer in peers))


def of_life(figures: Figures, peers: Sequence[str]) -> str:
    """Start, memory, a worker's death, and too many clients; a line a figure."""
    kinds = ("echo: cold start s", "echo: idle PSS MB", "kill -9", "512 clients")
    names = [name for name in figures.values if name.startswith(kinds)]
    return _table(["", *peers], ([name, *(_cell(figures.best(name, peer)) for peer in peers)] for name in names))


def of_targets(figures: Figures) -> str:
    """Our figures beside what they must be; what is missed is bold."""
    lines = []
    for target, ours, theirs, value in figures.judged():
        met = digits(value) if target.met(value) else f"**{digits(value)}**"
        against = target.peer or "alone"
        lines.append([target.figure, against, digits(ours), _cell(theirs), met, f"{target.kind} {target.must:g}"])
    return _table(["figure", "against", OURS, "peer", "ratio or figure", "must"], lines)


def digits(value: float) -> str:
    """Three digits that count, or all those before the point."""
    return "never" if math.isinf(value) else f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _cells(figures: Figures, names: Iterable[str], peer: str) -> list[str]:
    return [_cell(figures.best(name, peer)) for name in names]


def _cell(value: float | None) -> str:
    return "" if value is None else digits(value)


def _table(heads: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """Empty where there are no lines."""
    rule = "|".join(["---", *["---:"] * (len(heads) - 1)])
    rows = [f"| {' | '.join(line)} |" for line in lines]
    return "\n".join([f"| {' | '.join(heads)} |", f"|{rule}|", *rows]) if rows else ""
