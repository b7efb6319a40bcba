"""Points as rows for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .point import Point

HEAD = (
    "     load  requests/s   p50 ms   p90 ms   p99 ms p99.9 ms   max ms  queue ms  handler ms  batch  cpu µs  not 2xx"
)


def row(point: Point) -> str:
    """One line, under HEAD."""
    latency = [milliseconds(point.latency[name]) for name in ("p50", "p90", "p99", "p99.9", "max")]
    server = point.server
    cells = [f"{point.name:>9}", f"{point.throughput:>11.1f}", *(f"{cell:>8}" for cell in latency)]
    cells += [f"{milliseconds(server['queue']):>9}", f"{milliseconds(server['inference']):>11}"]
    cells += [f"{plain(server['batch'], 1):>6}", f"{plain(server['cpu'], 1e6):>7}", f"{failures(point):>8}"]
    return " ".join(cells) + ("  generator saturated" if point.saturated else "")


def notes(points: Sequence[Point]) -> Iterator[str]:
    """What must be known to read the rows right."""
    for point in points:
        if point.saturated:
            yield f"{point.name}: the generator took {point.generator['cpu']:.0%} of a core: it was the limit"
        if point.loop == "open" and point.throughput < 0.95 * point.level and point.arrivals == "constant":
            yield f"{point.name}: only {point.throughput:.0f} a second were answered"
        if point.resent:
            yield f"{point.name}: {point.resent} requests were sent again, as idle connections had been closed"
        for reason, count in point.errors.items():
            yield f"{point.name}: {count} times {f'status {reason}' if reason.isdigit() else reason}"


def failures(point: Point) -> str:
    """How many were not answered 2xx."""
    return str(point.failed or "-")


def milliseconds(seconds: float | None) -> str:
    """Three digits that count."""
    return plain(seconds, 1000)


def plain(number: float | None, times: float) -> str:
    """Three digits that count, without an exponent."""
    if number is None:
        return "-"
    number *= times
    return f"{number:.0f}" if number >= 100 else f"{number:.1f}" if number >= 10 else f"{number:.2f}"
