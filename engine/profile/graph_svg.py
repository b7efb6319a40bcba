"""The graph of a report as SVG: a row for each step in running order, lines for what it reads, bars for its time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from .report import Line, Report
from .table import duration, operations, unit_of

ROW, TOP = 24, 40
LANES = 26
"""Lanes for lines that pass steps by; where more are needed they share."""
RAIL = 130
"""The room that all lanes have; a few are a little apart."""
BAR = 190
COLUMNS = (("operation", 10), ("layer", 210), ("shapes", 390), ("algorithm", 610))
"""Where the texts begin, from the right of the lines."""
LETTERS = {"operation": 27, "layer": -25, "shapes": 34, "algorithm": 30}
"""Letters for which there is room; a negative number cuts in front, as the ends of layers' names tell them apart."""


def graph_svg(report: Report) -> str:
    """The drawing; colours come from the page's style sheet, by the kinds of steps."""
    trunks = list(_trunks(report.lines))
    lanes = _lanes(trunks)
    count = min(LANES, max(lanes, default=-1) + 1)
    apart = min(8.0, RAIL / max(1, count))
    rail = 24 + round(apart * count)
    bars = rail + 830
    width, height = bars + BAR + 190, TOP + ROW * (len(report.lines) + 1) + 10
    head = [f'<text x="{rail + x}" y="22" class="head">{name}</text>' for name, x in COLUMNS]
    head += [
        f'<text x="{bars}" y="22" class="head">time, {unit_of(report)[0]}</text>',
        f'<text x="{bars + BAR + 110}" y="22" class="head end">GFLOP/s</text>',
        f'<text x="{bars + BAR + 180}" y="22" class="head end">roofline</text>',
    ]
    longest = max(line.seconds for line in report.lines)
    return "\n".join([
        f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" aria-label="the steps">',
        *head,
        *(_stripe(number, width) for number in range(0, len(report.lines), 2)),
        *(_trunk(trunk, lane, rail, apart) for trunk, lane in zip(trunks, lanes, strict=True)),
        f'<circle cx="{rail - 8}" cy="{_y(-1)}" r="4" class="input"/>',
        f'<text x="{rail + 10}" y="{_y(-1) + 4}" class="dim">inputs</text>',
        *(_row(report, number, line, rail, bars, longest) for number, line in enumerate(report.lines)),
        "</svg>",
    ])  # fmt: skip


def _y(number: int) -> int:
    """The middle of a step's row; the inputs' is above the first."""
    return TOP + ROW * (number + 1) + ROW // 2 - 4


def _trunks(lines: Sequence[Line]) -> Iterator[tuple[int, list[int]]]:
    """Each step that is read by others, and by which, in order."""
    readers: dict[int, list[int]] = {}
    for number, line in enumerate(lines):
        for source in line.sources:
            readers.setdefault(source, []).append(number)
    yield from sorted(readers.items())


def _lanes(trunks: Sequence[tuple[int, list[int]]]) -> list[int]:
    """A lane for each, so that none runs over another; -1 where only the next step reads it."""
    ends: list[int] = []
    lanes = []
    for source, readers in trunks:
        if readers[-1] == source + 1:
            lanes.append(-1)
            continue
        free = next((lane for lane, end in enumerate(ends) if end <= source), len(ends))
        ends[free:] = [readers[-1], *ends[free + 1 :]]
        lanes.append(free)
    return lanes


def _trunk(trunk: tuple[int, list[int]], lane: int, rail: int, apart: float) -> str:
    """The line from a step to all that read it: straight to the next one, round by a lane to the others."""
    source, readers = trunk
    x, start = rail - 8, _y(source)
    parts = [f"M{x} {start}V{_y(source + 1)}"] if readers[0] == source + 1 else []
    if lane >= 0:
        side = x - 9 - round(apart * (lane % LANES), 1)
        far = [reader for reader in readers if reader > source + 1]
        parts.append(f"M{x} {start}Q{side} {start} {side} {start + 9}V{_y(far[-1]) - 9}")
        parts += [f"M{side} {_y(reader) - 9}Q{side} {_y(reader)} {x} {_y(reader)}" for reader in far]
    return f'<path d="{"".join(parts)}" class="edge"/>'


def _stripe(number: int, width: int) -> str:
    return f'<rect x="0" y="{_y(number) - ROW // 2}" width="{width}" height="{ROW}" class="stripe"/>'


def _row(report: Report, number: int, line: Line, rail: int, bars: int, longest: float) -> str:
    y = _y(number)
    long = max(1.0, BAR * line.seconds / longest)
    share = report.share(line)
    texts = dict(zip(LETTERS, (line.what, line.layer, line.shapes, line.algorithm), strict=True))
    cells = "".join(
        f'<text x="{rail + x}" y="{y + 4}" class="{name}">{escape(_cut(texts[name], LETTERS[name]))}</text>'
        for name, x in COLUMNS
    )
    told = (
        f"step {number}: {line.what} ({line.op}), layer {line.layer}\n{line.shapes}\n{line.algorithm}\n"
        f"{duration(line.seconds)}, {line.seconds / report.steps_seconds:.1%} of all; {operations(line.flops)},"
        f" {line.bytes / 1e6:.2f} MB\n{line.gflops:.0f} GFLOP/s, {line.gbytes:.1f} GB/s, {share:.0%} of the roofline"
    )
    return (
        f'<g class="{line.kind}"><title>{escape(told)}</title>'
        f'<rect x="0" y="{y - ROW // 2}" width="{rail + 1210}" height="{ROW}" class="hit"/>'
        f'<circle cx="{rail - 8}" cy="{y}" r="4"/>{cells}'
        f'<rect x="{bars}" y="{y - 7}" width="{long:.1f}" height="14" rx="2" class="taken"/>'
        f'<rect x="{bars}" y="{y - 7}" width="{long * min(1.0, share):.1f}" height="14" rx="2"/>'
        f'<text x="{bars + long + 6:.0f}" y="{y + 4}" class="number">{unit_of(report)[1] * line.seconds:.3f}</text>'
        f'<text x="{bars + BAR + 110}" y="{y + 4}" class="number end">{_rate(line)}</text>'
        f'<text x="{bars + BAR + 180}" y="{y + 4}" class="number end">{share:.0%}</text></g>'
    )


def _rate(line: Line) -> str:
    return f"{line.gflops:.0f}" if line.flops else "–"


def _cut(text: str, letters: int) -> str:
    if len(text) <= abs(letters):
        return text
    return text[: letters - 1] + "…" if letters > 0 else "…" + text[letters + 1 :]
