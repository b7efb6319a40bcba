"""A report as a page of HTML that needs nothing else: facts, where the time goes, the roofline, the graph."""

from __future__ import annotations

from html import escape

from .graph_svg import graph_svg
from .report import Report
from .roofline_svg import roofline_svg
from .style import STYLE
from .table import counted, duration, operations, size

ROOFLINE = """A dot is a step, its area the time it takes. The line is what the machine allows, as measured: reading
memory on the left, arithmetic on the right. Operations are counted for the direct algorithm, so that Winograd gets over
the line; so does what is found in a cache."""
GRAPH = """Steps in running order; lines on the left lead from a step to those that read its output. A bar is the time
of a step, its full part the least that the roofline allows. Point at a row for more."""


def as_html(report: Report) -> str:
    """The page; it has no scripts and asks nobody for anything."""
    return "\n".join([
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(report.title)}: profile</title><style>{STYLE}</style></head><body>",
        f"<h1>{escape(report.title)}</h1>",
        f"<p>{escape(_setting(report))}</p>",
        f'<div class="facts">{"".join(_fact(value, name) for value, name in _facts(report))}</div>',
        "<h2>Where the time goes</h2>",
        *_kinds(report),
        "<h2>Roofline</h2>",
        f"<p>{ROOFLINE}</p>",
        f'<div class="wide">{roofline_svg(report)}</div>',
        "<h2>Graph</h2>",
        f"<p>{GRAPH}</p>",
        f'<div class="wide">{graph_svg(report)}</div>',
        "</body></html>\n",
    ])  # fmt: skip


def _setting(report: Report) -> str:
    parts = f"; {report.parts} parts of the batch run at the same time, the steps of one are shown"
    return (
        f"batch {report.batch}, {report.executor} executor{', exact' if report.exact else ''},"
        f" {counted(report.threads, 'thread')}, {report.cpu}{parts if report.parts > 1 else ''}"
    )


def _facts(report: Report) -> list[tuple[str, str]]:
    facts = [
        (duration(report.seconds), "a run"),
        (operations(report.flops), "operations"),
        (f"{report.flops / report.seconds / 1e9:.0f}", "GFLOP/s"),
        (str(len(report.lines)), "steps"),
        (f"{report.share_of_all:.0%}", "of the roofline"),
        (f"{report.limits.gflops:.0f}", "GFLOP/s at best"),
        (f"{report.limits.gbytes:.0f}", "GB/s at best"),
        (size(report.weights_bytes), "weights"),
        (size(report.arena_bytes), "between the steps"),
    ]
    return facts + ([(size(report.scratch_bytes), "scratch")] if report.scratch_bytes else [])


def _fact(value: str, name: str) -> str:
    return f"<div><b>{escape(value)}</b><span>{escape(name)}</span></div>"


def _kinds(report: Report) -> list[str]:
    """A bar in parts for the kinds of steps, and what the colours mean."""
    shares = {kind: seconds / report.steps_seconds for kind, seconds in report.by_kind().items()}
    bar = "".join(f'<i class="{kind}" style="width:{share:.2%}"></i>' for kind, share in shares.items())
    legend = "".join(
        f'<li class="{kind}"><i></i>{kind} {share:.1%}, {duration(share * report.steps_seconds)}</li>'
        for kind, share in shares.items()
    )
    return [f'<div class="stack">{bar}</div>', f'<ul class="legend">{legend}</ul>']
