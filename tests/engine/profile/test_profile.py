"""Profiles: what a report says of a plan, as numbers, as text and as a page."""

import html.parser
import re
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from numserve import engine
from numserve.engine import nn, profile
from numserve.engine.compiled import compile_module
from numserve.engine.profile import Limits, Line, Report, as_html, as_text
from numserve.engine.profile.graph_svg import graph_svg
from numserve.engine.profile.report import KINDS, kind_of
from numserve.engine.profile.roofline_svg import roofline_svg
from numserve.engine.profile.style import COLOURS


class Block(nn.Module):
    """A residual block between a strided convolution and a product: what reads what is known."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2)
        self.inner = nn.Conv2d(8, 8, 3, padding=1)
        self.apart = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.head = nn.Linear(8, 4)

    def forward(self, x: Any) -> Any:
        x = self.stem(x).relu()
        x = self.apart(x + self.inner(x))
        return self.head(x.mean((2, 3)))


@pytest.fixture
def small(monkeypatch) -> None:
    """The machine is not measured but known."""
    monkeypatch.setattr("numserve.engine.profile.report.measure", lambda *_: Limits(100.0, 20.0))


def report(batch: int = 1, threads: int = 1, executor: str = "numpy", exact: bool = False) -> Report:
    x = engine.tensor(np.random.default_rng(0).normal(size=(batch, 3, 17, 17)).astype(np.float32))
    compiled = compile_module(Block().eval(), x, executor=executor, threads=threads, exact=exact)
    return profile.profile(compiled, "block", batch, rounds=2)


@pytest.mark.usefixtures("small")
def test_every_step_says_what_it_does_and_where() -> None:
    lines = report().lines

    assert [(line.layer, line.what, line.kind) for line in lines] == [
        ("stem", "conv 3x3/2 relu", "convolution"),
        ("inner", "conv 3x3 +residual", "convolution"),
        ("apart", "conv 3x3 depthwise", "convolution"),
        (lines[3].layer, "mean", "pool"),
        ("head", "gemm", "product"),
    ]
    assert [line.shapes for line in lines[:2]] == ["1x17x17x3 → 1x8x8x8", "1x8x8x8 → 1x8x8x8"]
    assert all(line.seconds > 0 and line.algorithm for line in lines)
    assert lines[4].flops == 2 * 8 * 4


@pytest.mark.usefixtures("small")
def test_every_step_says_from_which_it_reads() -> None:
    assert [line.sources for line in report().lines] == [(-1,), (0,), (1,), (2,), (3,)]


def test_reading_goes_through_joins_that_take_no_step() -> None:
    class Joined(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 1), nn.Conv2d(8, 2, 1)

        def forward(self, x: Any) -> Any:
            return self.c(engine.cat([self.a(x), self.b(x)], 1))

    plan = compile_module(Joined().eval(), engine.randn(1, 3, 5, 5), executor="numpy").program(1).plan
    sources = profile.report.sources_of(plan)

    assert sources[[step.name for step in plan.steps].index("c")] == (0, 1)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(("batch", "threads", "parts"), [(1, 1, 1), (4, 2, 2)])
def test_a_run_as_a_whole(batch, threads, parts, monkeypatch) -> None:
    monkeypatch.setattr("numserve.engine.programs.WORTH_A_THREAD", 0)

    found = report(batch, threads)

    assert (found.batch, found.threads, found.parts, found.executor) == (batch, threads, parts, "numpy")
    assert found.seconds > 0
    assert found.flops == batch * report().flops
    assert sum(found.by_kind().values()) == pytest.approx(found.steps_seconds)
    assert found.weights_bytes > 0


def line(seconds: float = 1e-3, flops: int = 50_000_000, moved: int = 1_000_000, **changes: Any) -> Line:
    given: dict[str, Any] = {
        "layer": "layer1.0.conv", "op": "conv_nhwc", "kind": "convolution", "what": "conv 3x3 relu",
        "inputs": ((1, 8, 8, 4),), "output": (1, 8, 8, 16), "algorithm": "winograd 4", "seconds": seconds,
        "flops": flops, "bytes": moved, "sources": (-1,),
    }  # fmt: skip
    return Line(**given | changes)


def made(*lines: Line, **changes: Any) -> Report:
    given: dict[str, Any] = {
        "title": "net", "batch": 1, "executor": "native", "threads": 1, "exact": False, "cpu": "a CPU",
        "limits": Limits(100.0, 20.0), "lines": lines, "seconds": 2e-3, "parts": 1, "arena_bytes": 4_000_000,
        "scratch_bytes": 0, "weights_bytes": 12_300,
    }  # fmt: skip
    return Report(**given | changes)


@pytest.mark.parametrize(
    ("flops", "moved", "share"), [(50_000_000, 0, 0.5), (0, 10_000_000, 0.5), (50_000_000, 20_000_000, 1.0)]
)
def test_the_share_of_the_roofline(flops, moved, share) -> None:
    one = line(1e-3, flops, moved)

    assert made(one).share(one) == pytest.approx(share)
    assert made(one, one).share_of_all == pytest.approx(share)


def test_the_table() -> None:
    lines = as_text(made(line(), line(3e-3, layer="x" * 50, what="max_pool 2x2", kind="pool", flops=0))).splitlines()

    assert lines[:3] == [
        "net, batch 1: native executor, 1 thread, a CPU",
        "a run: 2.00 ms, 50.00 MFLOP, 25 GFLOP/s; 2 steps: 4.00 ms, 14% of the roofline",
        "at best: 100 GFLOP/s, 20 GB/s; memory: weights 12.3 kB, between the steps 4.0 MB, scratch 0.0 kB",
    ]
    assert " ".join(lines[4].split()) == "# layer operation shapes algorithm ms % GFLOP/s GB/s roofline"
    assert " ".join(lines[5].split()) == (
        "0 layer1.0.conv conv 3x3 relu 1x8x8x4 → 1x8x8x16 winograd 4 1.000 25.0 50 1.0 50%"
    )
    assert lines[6].split()[1] == "…" + 39 * "x"
    assert lines[-1] == "pool 75%, convolution 25%"


def test_parts_and_exactness_are_told() -> None:
    text = as_text(made(line(), parts=2, threads=2, exact=True))

    assert "native executor, exact, 2 threads, a CPU; 2 parts of the batch at the same time" in text


class Elements(html.parser.HTMLParser):
    """Checks that elements are closed in order, and keeps their names and what they load."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.names: set[str] = set()
        self.loads: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.loads += [f"{name}={value}" for name, value in attrs if name in ("src", "href", "srcset", "data")]
        if tag not in ("meta", "link"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_needs_nothing_else() -> None:
    page = as_html(made(line(), line(sources=(0,))))
    elements = Elements(page)

    assert elements.open == []
    assert not elements.loads
    assert not elements.names & {"script", "link", "img", "iframe", "object"}
    assert not re.search(r"@import|url\(|https?:", page)
    assert "prefers-color-scheme: dark" in page


def test_names_of_layers_cannot_break_the_page() -> None:
    page = as_html(made(line(layer='<u a="1">&', algorithm="</svg>", what="<u>"), title="<script>"))

    assert Elements(page).names.isdisjoint({"u", "script"})
    ElementTree.fromstring(graph_svg(made(line(layer='<u a="1">&', algorithm="</svg>"))))


def test_every_kind_has_a_colour() -> None:
    assert COLOURS.keys() == {*KINDS, "elementwise"}


@pytest.mark.parametrize("drawn", [graph_svg, roofline_svg])
@pytest.mark.parametrize("count", [1, 70])
def test_the_drawings_hold_every_step(drawn, count) -> None:
    """The last step reads all others, as in a dense block, so that there are more lines than lanes."""
    lines = [line(1e-3 * (n + 1), sources=(n - 1,), layer=f"l{n}") for n in range(count)]
    lines.append(line(flops=0, moved=0, sources=tuple(range(count)), layer="last", what="cat", kind="move"))
    drawing = ElementTree.fromstring(drawn(made(*lines)))
    titles = [title.text or "" for title in drawing.iter("title")]

    assert len(titles) == count + (drawn is graph_svg)
    assert all(any(f"l{n}" in title for title in titles) for n in range(count))
    places = [float(c.attrib[axis]) for c in drawing.iter("circle") for axis in ("cx", "cy")]
    assert min(places) >= 0 and max(places) <= max(float(drawing.attrib[side]) for side in ("width", "height"))


def test_lines_lead_to_all_that_read() -> None:
    lines = [line(sources=(-1,)), line(sources=(0,)), line(sources=(0, 1)), line(sources=(0, 2))]
    drawing = ElementTree.fromstring(graph_svg(made(*lines)))
    edges = [path.attrib["d"] for path in drawing.iter("path") if path.attrib["class"] == "edge"]

    assert [edge.count("M") for edge in edges] == [1, 4, 1, 1]  # the second: straight on, away, and to two others


def test_what_is_no_known_operation_is_elementwise() -> None:
    step = compile_module(nn.Sigmoid().eval(), engine.randn(1, 5), executor="numpy").program(1).plan.steps[0]

    assert kind_of(step) == "elementwise"


@pytest.mark.parametrize(
    ("inputs", "shapes"),
    [
        (((1, 4),), "1x4 → 2x2"),
        (((1, 4), (1, 4)), "2 of 1x4 → 2x2"),
        (((1, 4), ()), "1x4 number → 2x2"),
        ((), "→ 2x2"),
    ],
)
def test_shapes_in_words(inputs, shapes) -> None:
    assert line(inputs=inputs, output=(2, 2)).shapes == shapes


@pytest.mark.usefixtures("small")
def test_whole_numbers_stay_what_the_example_has() -> None:
    """What the steps leave in memory is no input: an index made of it would be out of bounds."""
    model = nn.Sequential(nn.Embedding(5, 8), nn.Linear(8, 8)).eval()
    compiled = compile_module(model, engine.tensor([[1, 4]]), executor="numpy")

    assert profile.profile(compiled, "net", 3, rounds=2).batch == 3


def test_a_model_that_runs_eager_has_no_profile() -> None:
    class Moody(nn.Module):
        def forward(self, x: Any) -> Any:
            return x if x.sum().item() > 0 else -x

    with pytest.raises(engine.EngineError, match="Moody runs eager"):
        profile.profile(compile_module(Moody().eval(), engine.randn(1, 5)), "moody")


@pytest.mark.parametrize("executor", ["numpy", "auto"])
def test_the_machine_is_measured(monkeypatch, executor) -> None:
    monkeypatch.setattr("numserve.engine.profile.limits.READ_BYTES", 1 << 22)
    monkeypatch.setattr("numserve.engine.profile.limits.PRODUCTS", ((64, 64, 64),))
    limits = profile.measure(executor, 2)

    assert limits.gflops > 0.1 and limits.gbytes > 0.1
    assert limits.seconds(int(limits.gflops * 1e9), 0) == pytest.approx(1)
