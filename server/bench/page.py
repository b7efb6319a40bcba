"""A bench as a page of HTML that needs nothing else: facts, the points, throughput against latency, distributions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from .chart import Axis, Line, chart, linear, logarithmic, shares
from .point import Point
from .report import Report
from .style import STYLE
from .table import failures, milliseconds, notes, plain

COLUMNS = (
    "load", "requests/s", "mean ms", "p50 ms", "p90 ms", "p99 ms", "p99.9 ms", "max ms",
    "queue ms", "handler ms", "batch", "CPU µs", "generator", "not 2xx",
)  # fmt: skip
TABLE = """Latency counts from when a request was meant to be sent to the last byte of its answer, of answers 2xx alone.
Queue, handler and batch are the server's own means; CPU is what all its processes took for a request. Generator is the
share of a core that made the load: above 90 % it was the limit."""
CURVE = """Each mark is a point of load. Where more load brings no more answers, a line only goes up: there the server
is full."""
DISTRIBUTION = """The latency that a share of the answers did not exceed; each nine has the same room, so that the rare
slow ones show."""


def as_html(report: Report) -> str:
    """The page; it has no scripts and asks nobody for anything."""
    measured = [point for point in report.points if point.answered]
    drawings: list[str] = []
    if measured:
        drawings = [
            "<h2>Throughput and latency</h2>",
            f"<p>{CURVE}</p>",
            f'<div class="wide">{curve_svg(measured)}</div>',
            "<h2>Distribution of latencies</h2>",
            f"<p>{DISTRIBUTION}</p>",
            f'<div class="wide">{distribution_svg(measured)}</div>',
        ]
    return "\n".join([
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(report.title)}: bench</title><style>{STYLE}</style></head><body>",
        f"<h1>{escape(report.title)}</h1>",
        f"<p>{escape(_setting(report))}</p>",
        *(f'<p class="warning">{escape(note)}</p>' for note in notes(report.points)),
        f'<div class="facts">{"".join(_facts(measured))}</div>',
        "<h2>Points of load</h2>",
        f"<p>{TABLE}</p>",
        '<div class="wide"><table><thead><tr>',
        *(f'<th scope="col">{name}</th>' for name in COLUMNS),
        "</tr></thead><tbody>",
        *map(_row, report.points),
        "</tbody></table></div>",
        *drawings,
        "<h2>How it was measured</h2>",
        f"<p><code>{escape(report.command)}</code></p>",
        f"<p>{escape(_versions(report))}</p>",
        "</body></html>\n",
    ])  # fmt: skip


def curve_svg(points: Sequence[Point]) -> str:
    """Latency over throughput, a line for each percentile; closed and open loop have lines of their own."""
    lines = []
    for loop in ("closed", "open"):
        mine = sorted((point for point in points if point.loop == loop), key=lambda point: point.level)
        for name in ("p50", "p90", "p99"):
            places = [(point.throughput, 1000 * (point.latency[name] or 0)) for point in mine]
            told = [
                f"{point.name}: {point.throughput:.1f} requests/s, {name} {milliseconds(point.latency[name])} ms"
                for point in mine
            ]
            lines.append(Line(f"{name}, {loop}", places, told))
    lines = [line for line in lines if line.points]
    x = linear("answers a second", [point.throughput for point in points])
    return chart("latency over throughput", x, _latencies(lines), lines)


def distribution_svg(points: Sequence[Point]) -> str:
    """Latency over the share of answers that it covers, a line for each point of load; of many, the first six."""
    lines = [
        Line(
            point.name,
            [(share, 1000 * seconds) for share, seconds in point.curve],
            [f"{point.name}: {share:.5g} within {milliseconds(seconds)} ms" for share, seconds in point.curve],
        )
        for point in points[:6]
    ]  # fmt: skip
    greatest = max(1 - 1 / max(point.answered, 2) for point in points)
    return chart("latency by share of answers", shares("share of the answers", greatest), _latencies(lines), lines)


def _latencies(lines: Sequence[Line]) -> Axis:
    return logarithmic("latency, ms", [y for line in lines for _, y in line.points])


def _setting(report: Report) -> str:
    sizes = sorted(set(report.body_bytes))
    size = f"{sizes[0]:,}" if len(sizes) == 1 else f"{sizes[0]:,} to {sizes[-1]:,}"
    machine = f"{report.machine['cpu']}, {report.machine['cores']} cores"
    return f"{report.address}, bodies of {size} bytes; {machine}; {report.made}"


def _facts(points: Sequence[Point]) -> Iterator[str]:
    if not points:
        return
    fastest = max(points, key=lambda point: point.throughput)
    quickest = min(points, key=lambda point: point.latency["p50"] or 0)
    facts = [
        (f"{fastest.throughput:.0f}", f"requests/s at most, at {fastest.name}"),
        (f"{milliseconds(fastest.latency['p99'])} ms", "p99 there"),
        (f"{milliseconds(quickest.latency['p50'])} ms", f"p50 at least, at {quickest.name}"),
        (f"{sum(point.answered for point in points):,}", "answers"),
    ]
    for value, name in facts:
        yield f"<div><b>{escape(value)}</b><span>{escape(name)}</span></div>"


def _row(point: Point) -> str:
    server = point.server
    cells = [
        point.name,
        f"{point.throughput:.1f}",
        *(milliseconds(point.latency[name]) for name in ("mean", "p50", "p90", "p99", "p99.9", "max")),
        milliseconds(server["queue"]),
        milliseconds(server["inference"]),
        plain(server["batch"], 1),
        plain(server["cpu"], 1e6),
        f"{point.generator['cpu']:.0%}",
        failures(point),
    ]
    return "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>"


def _versions(report: Report) -> str:
    return "; ".join(
        [*(f"{name} {version}" for name, version in report.versions.items()), str(report.machine["system"])]
    )
