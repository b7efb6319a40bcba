"""A report as text for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from .report import Line, Report

HEAD = ("#", "layer", "operation", "shapes", "algorithm", "time", "%", "GFLOP/s", "GB/s", "roofline")
LEFT = frozenset({"layer", "operation", "shapes", "algorithm"})
WIDEST = 40
"""Letters of a text in the table."""


def as_text(report: Report) -> str:
    """The facts, a row for each step, and what kinds of steps take the time."""
    unit, _ = unit_of(report)
    rows = [
        tuple(unit if name == "time" else name for name in HEAD),
        *(_row(report, number, line) for number, line in enumerate(report.lines)),
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    kinds = ", ".join(f"{kind} {seconds / report.steps_seconds:.0%}" for kind, seconds in report.by_kind().items())
    return "\n".join([*facts(report), "", *(_aligned(row, widths) for row in rows), "", kinds])


def facts(report: Report) -> list[str]:
    """What the report is of, what a run takes, what the machine could do."""
    memory = f"between the steps {size(report.arena_bytes)}, scratch {size(report.scratch_bytes)}"
    parts = f"; {report.parts} parts of the batch at the same time, steps of one are shown" if report.parts > 1 else ""
    rate = report.flops / report.seconds / 1e9
    return [
        f"{report.title}, batch {report.batch}: {report.executor} executor{', exact' if report.exact else ''},"
        f" {counted(report.threads, 'thread')}, {report.cpu}{parts}",
        f"a run: {duration(report.seconds)}, {operations(report.flops)}, {rate:.0f} GFLOP/s;"
        f" {counted(len(report.lines), 'step')}: {duration(report.steps_seconds)},"
        f" {report.share_of_all:.0%} of the roofline",
        f"at best: {report.limits}; memory: weights {size(report.weights_bytes)}, {memory}",
    ]


def unit_of(report: Report) -> tuple[str, float]:
    """The unit for the times of steps, and how many of it a second has."""
    return ("ms", 1e3) if report.steps_seconds >= 1e-3 else ("µs", 1e6)


def duration(seconds: float) -> str:
    """A time for people."""
    return f"{1e3 * seconds:.2f} ms" if seconds >= 1e-3 else f"{1e6 * seconds:.1f} µs"


def operations(count: int) -> str:
    """Operations on numbers for people."""
    return f"{count / 1e9:.2f} GFLOP" if count >= 1e8 else f"{count / 1e6:.2f} MFLOP"


def size(count: int) -> str:
    """Bytes for people."""
    return f"{count / 1e6:.1f} MB" if count >= 1e5 else f"{count / 1e3:.1f} kB"


def counted(number: int, thing: str) -> str:
    """3 steps, 1 step."""
    return f"{number} {thing}{'' if number == 1 else 's'}"


def _row(report: Report, number: int, line: Line) -> tuple[str, ...]:
    return (
        str(number), _end(line.layer), _start(line.what), _start(line.shapes), _start(line.algorithm),
        f"{unit_of(report)[1] * line.seconds:.3f}", f"{100 * line.seconds / report.steps_seconds:.1f}",
        f"{line.gflops:.0f}", f"{line.gbytes:.1f}", f"{report.share(line):.0%}",
    )  # fmt: skip


def _start(text: str) -> str:
    return text if len(text) <= WIDEST else text[: WIDEST - 1] + "…"


def _end(text: str) -> str:
    """Names of layers are told apart by their ends."""
    return text if len(text) <= WIDEST else "…" + text[1 - WIDEST :]


def _aligned(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [
        cell.ljust(width) if name in LEFT else cell.rjust(width)
        for cell, width, name in zip(row, widths, HEAD, strict=True)
    ]
    return "  ".join(cells).rstrip()
