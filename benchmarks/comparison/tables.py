"""Rows as tables of Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .engines import OURS
from .rows import RATIOS, Ratio, Row


def times(rows: Iterable[Row], engines: Sequence[str]) -> str:
    """Milliseconds of every engine; of ours the shares of the machine's limits, and how long it took to be ready."""
    mine = [engine for engine in OURS if engine in engines]
    heads = [
        *engines,
        *(f"{e}: arithmetic" for e in mine),
        *(f"{e}: bandwidth" for e in mine),
        *(f"{e}: ready s" for e in mine),
    ]
    return _table(["ms", *heads], ([_subject(row), *_times(row, engines, mine)] for row in rows))


def _times(row: Row, engines: Sequence[str], mine: Sequence[str]) -> list[str]:
    return [
        *(digits(1e3 * row.seconds[e]) if e in row.seconds else "" for e in engines),
        *(f"{row.share_of_arithmetic(e):.0%}" for e in mine),
        *(f"{row.share_of_bandwidth(e):.0%}" for e in mine),
        *(", ".join(f"{seconds:.2g}" for seconds in row.ready(e)) for e in mine),
    ]


def digits(value: float) -> str:
    """Three digits of a number, or all those before the point."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def ratios(rows: Iterable[Row], engines: Sequence[str]) -> str:
    """Latencies of ours over others', with what they must be and aim at, and errors."""
    kinds = [(ours, rival) for ours, rival in RATIOS if ours in engines and (rival in engines or rival == "torch")]
    mine = [engine for engine in OURS if engine in engines]
    heads = [*(f"{ours}/{rival}" for ours, rival in kinds), *(f"{e}: error" for e in mine)]
    return _table(["(must/aim)", *heads], ([_subject(row), *_ratios(row, kinds, mine)] for row in rows))


def _ratios(row: Row, kinds: Iterable[tuple[str, str]], mine: Iterable[str]) -> list[str]:
    found = {(ratio.ours, ratio.rival): _cell(ratio) for ratio in row.ratios()}
    return [*(found.get(kind, "") for kind in kinds), *(f"{row.errors[e]:.0e}" for e in mine)]


def _cell(ratio: Ratio) -> str:
    value = f"**{ratio.value:.2f}**" if ratio.missed else f"{ratio.value:.2f}"
    return f"{value} ({ratio.target.must:.2f}/{ratio.target.aim:.2f})" if ratio.target else value


def _subject(row: Row) -> str:
    return f"{row.model}, batch {row.batch}"


def _table(heads: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rule = "|".join(["---", *["---:"] * (len(heads) - 1)])
    return "\n".join([f"| {' | '.join(heads)} |", f"|{rule}|", *(f"| {' | '.join(line)} |" for line in lines)])
