"""Lines over two axes, as SVG: told apart by colour, mark and name, so that no one needs all three."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 720, 360, 64, 120, 14, 46
MARKS = (
    "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0 -8 0",
    "M-4 -4H4V4H-4Z",
    "M0 -5L5 4H-5Z",
    "M0 -6L6 0L0 6L-6 0Z",
    "M-5 -4H5L0 5Z",
    "M-5 -1.5H-1.5V-5H1.5V-1.5H5V1.5H1.5V5H-1.5V1.5H-5Z",
)
COLOURS = 6


@dataclass(frozen=True, slots=True)
class Line:
    """A named line; `told` is what its points say when they are pointed at."""

    name: str
    points: Sequence[tuple[float, float]]
    told: Sequence[str]


@dataclass(frozen=True, slots=True)
class Axis:
    """From a number to a share of the axis, and where numbers stand beside it."""

    title: str
    place: Callable[[float], float]
    ticks: Sequence[tuple[float, str]]


def logarithmic(title: str, numbers: Sequence[float]) -> Axis:
    """From the power of ten, or 2 or 5 times it, below the least to that above the greatest."""
    positive = [number for number in numbers if number > 0] or [1.0]
    steps = [base * 10.0**power for power in range(-9, 13) for base in (1, 2, 5)]
    low = max(step for step in steps if step <= min(positive) * (1 + 1e-9))
    high = min(step for step in steps if step >= max(positive) * (1 - 1e-9) and step > low)
    span = math.log(high / low)
    within = [step for step in steps if low <= step <= high]
    if len(within) > 10:
        within = [step for step in within if math.log10(step) % 1 < 1e-6 or math.log10(step) % 1 > 1 - 1e-6]
    return Axis(title, lambda number: math.log(max(number, low) / low) / span, [(x, short(x)) for x in within])


def linear(title: str, numbers: Sequence[float]) -> Axis:
    """From nothing to a round number above the greatest."""
    highest = max(numbers, default=0) or 1.0
    power = 10.0 ** math.floor(math.log10(highest))
    step = power * next(base for base in (0.1, 0.2, 0.25, 0.5, 1, 2) if highest / (power * base) <= 10)
    count = math.ceil(highest / step - 1e-9)
    return Axis(title, lambda number: number / (step * count), [(i * step, short(i * step)) for i in range(count + 1)])


def shares(title: str, greatest: float) -> Axis:
    """Shares of all, the nearer to one the wider apart: each nine has the same room."""
    nines = max(1.0, -math.log10(max(1 - greatest, 1e-9)))

    def place(share: float) -> float:
        return min(1.0, -math.log10(max(1 - share, 1e-12)) / nines)

    known = ((0, "0"), (0.5, "50 %"), (0.9, "90 %"), (0.99, "99 %"), (0.999, "99.9 %"), (0.9999, "99.99 %"))
    return Axis(title, place, [(share, name) for share, name in known if place(share) < 1] + [(1.0, "max")])


def short(number: float) -> str:
    """A number beside an axis."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:g}{letter}"
    return f"{number:g}"


def chart(label: str, x: Axis, y: Axis, lines: Sequence[Line]) -> str:
    """The drawing; colours come from the page's style sheet."""
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        f'role="img" aria-label="{escape(label)}">',
        *_grid(x, y),
        *(_line(number, line, x, y) for number, line in enumerate(lines)),
        *_names(x, y, lines),
        "</svg>",
    ])  # fmt: skip


def _x(axis: Axis, number: float) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * axis.place(number)


def _y(axis: Axis, number: float) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * axis.place(number)


def _grid(x: Axis, y: Axis) -> Iterator[str]:
    for number, name in x.ticks:
        at = _x(x, number)
        yield f'<path d="M{at:.1f} {TOP}V{HEIGHT - BOTTOM}" class="grid"/>'
        yield f'<text x="{at:.1f}" y="{HEIGHT - BOTTOM + 17}" class="dim mid">{escape(name)}</text>'
    for number, name in y.ticks:
        at = _y(y, number)
        yield f'<path d="M{LEFT} {at:.1f}H{WIDTH - RIGHT}" class="grid"/>'
        yield f'<text x="{LEFT - 7}" y="{at + 4:.1f}" class="dim end">{escape(name)}</text>'
    middle = (TOP + HEIGHT - BOTTOM) // 2
    yield f'<text x="{(LEFT + WIDTH - RIGHT) // 2}" y="{HEIGHT - 8}" class="dim mid">{escape(x.title)}</text>'
    yield f'<text x="15" y="{middle}" class="dim mid" transform="rotate(-90 15 {middle})">{escape(y.title)}</text>'


def _line(number: int, line: Line, x: Axis, y: Axis) -> str:
    places = [(_x(x, a), _y(y, b)) for a, b in line.points]
    path = "M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in places) if places else "M0 0"
    mark = MARKS[number % len(MARKS)]
    marks = "".join(
        f'<path d="{mark}" transform="translate({a:.1f} {b:.1f})" class="mark"><title>{escape(told)}</title></path>'
        for (a, b), told in zip(places, line.told, strict=True)
    )
    return f'<g class="c{number % COLOURS}"><path d="{path}" class="line"/>{marks}</g>'


def _names(x: Axis, y: Axis, lines: Sequence[Line]) -> Iterator[str]:
    """Each line's name, at the height where it ends; names that would touch move apart."""
    ends = sorted((_y(y, line.points[-1][1]), number) for number, line in enumerate(lines) if line.points)
    low = -math.inf
    heights = []
    for height, _ in ends:
        low = max(height, low + 17)
        heights.append(low)
    over = max(0.0, low - (HEIGHT - BOTTOM)) if heights else 0.0
    for height, (_, number) in zip(heights, ends, strict=True):
        at, mark = height - over, MARKS[number % len(MARKS)]
        yield (
            f'<g class="c{number % COLOURS}"><path d="{mark}" transform="translate({WIDTH - RIGHT + 16} {at:.1f})" '
            f'class="mark"/><text x="{WIDTH - RIGHT + 27}" y="{at + 4:.1f}">{escape(lines[number].name)}</text></g>'
        )
