"""The roofline of a report as SVG: what each step reaches, over how much it computes for each byte that it moves."""

from __future__ import annotations

import math
from collections.abc import Iterator
from html import escape

from .report import Line, Report
from .table import duration

WIDTH, HEIGHT, LEFT, RIGHT, BOTTOM = 660, 340, 52, 24, 40
SMALLEST = 3.0
LARGEST = 13.0


def roofline_svg(report: Report) -> str:
    """The drawing; both axes are logarithmic, the area of a dot stands for the time of its step."""
    lines = [line for line in report.lines if line.flops]
    axes = _Axes(report, lines)
    longest = max((line.seconds for line in lines), default=1.0)
    return "\n".join([
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img" aria-label="the roofline">',
        *axes.ticks(),
        f'<path d="{axes.roof()}" class="roof"/>',
        f'<text x="{WIDTH - RIGHT - 4}" y="{HEIGHT - BOTTOM - 10}" class="dim end">'
        f"at best {escape(str(report.limits))}</text>",
        *(_dot(report, axes, line, longest) for line in sorted(lines, key=lambda line: -line.seconds)),
        f'<text x="{(LEFT + WIDTH - RIGHT) // 2}" y="{HEIGHT - 6}" class="dim mid">FLOP for each byte</text>',
        f'<text x="14" y="{(HEIGHT - BOTTOM) // 2}" class="dim mid" '
        f'transform="rotate(-90 14 {(HEIGHT - BOTTOM) // 2})">GFLOP/s</text>',
        "</svg>",
    ])  # fmt: skip


class _Axes:
    """From numbers to places."""

    def __init__(self, report: Report, lines: list[Line]) -> None:
        self._limits = report.limits
        intensities = [line.flops / max(1, line.bytes) for line in lines] or [1.0]
        rates = [line.gflops for line in lines] or [1.0]
        ridge = report.limits.gflops / report.limits.gbytes
        self._x = _decades([*intensities, ridge * 4, ridge / 4])
        self._y = _decades([*rates, report.limits.gflops * 1.5])

    def x(self, intensity: float) -> float:
        """The place of an intensity."""
        low, high = self._x
        return LEFT + (WIDTH - LEFT - RIGHT) * (math.log10(intensity) - low) / (high - low)

    def y(self, gflops: float) -> float:
        """The place of a rate."""
        low, high = self._y
        return 10 + (HEIGHT - BOTTOM - 10) * (high - math.log10(max(gflops, 10**low))) / (high - low)

    def roof(self) -> str:
        """Up along the bandwidth, then on at the arithmetic's limit."""
        left, right = 10 ** self._x[0], 10 ** self._x[1]
        bottom = 10 ** self._y[0]
        start = max(left, bottom / self._limits.gbytes)
        ridge = self._limits.gflops / self._limits.gbytes
        points = [(start, start * self._limits.gbytes), (ridge, self._limits.gflops), (right, self._limits.gflops)]
        return "M" + "L".join(f"{self.x(i):.1f} {self.y(g):.1f}" for i, g in points)

    def ticks(self) -> Iterator[str]:
        """A thin line and a number for each power of ten."""
        for power in range(self._x[0], self._x[1] + 1):
            x = self.x(10**power)
            yield f'<path d="M{x:.1f} 10V{HEIGHT - BOTTOM}" class="grid"/>'
            yield f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 16}" class="dim mid">{10.0**power:g}</text>'
        for power in range(self._y[0], self._y[1] + 1):
            y = self.y(10**power)
            yield f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" class="grid"/>'
            yield f'<text x="{LEFT - 6}" y="{y + 4:.1f}" class="dim end">{10.0**power:g}</text>'


def _decades(numbers: list[float]) -> tuple[int, int]:
    """The powers of ten around some numbers; of the lowest, no more than four below the highest."""
    high = math.ceil(math.log10(max(numbers)))
    return max(math.floor(math.log10(max(min(numbers), 1e-9))), high - 4), high


def _dot(report: Report, axes: _Axes, line: Line, longest: float) -> str:
    radius = max(SMALLEST, LARGEST * math.sqrt(line.seconds / longest))
    told = (
        f"{line.layer}: {line.what}\n{line.algorithm}\n{duration(line.seconds)}, {line.gflops:.0f} GFLOP/s,"
        f" {report.share(line):.0%} of the roofline"
    )
    x = max(axes.x(max(line.flops / max(1, line.bytes), 1e-9)), LEFT)
    return (
        f'<circle cx="{x:.1f}" cy="{axes.y(line.gflops):.1f}" r="{radius:.1f}" class="{line.kind} dot">'
        f"<title>{escape(told)}</title></circle>"
    )
