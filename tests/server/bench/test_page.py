"""The page: whole, without a network, and with the figures of the JSON."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import orjson
import pytest
from numserve.server.bench.chart import Line, chart, linear, logarithmic, shares
from numserve.server.bench.page import as_html, curve_svg, distribution_svg
from numserve.server.bench.point import Record, Spent, summarize
from numserve.server.bench.report import Report, machine, versions
from numserve.server.bench.table import milliseconds

VOID = {"meta", "br", "link"}


def point(loop, level, scale, errors=0):
    record = Record()
    for number in range(1, 2001):
        record.answered(200, scale * number)
    for _ in range(errors):
        record.answered(503, 1.0)
    return summarize(loop, level, "poisson" if loop == "open" else None, record, 3.0, 0.5, Spent(1, 2000, 1, 1000, 2))


@pytest.fixture
def report():
    points = [point("closed", 1, 1e-6), point("closed", 64, 3e-5), point("open", 500, 2e-6, errors=3)]
    return Report('<m> & "n"', "http://h/p", [5, 9], "numserve bench '<x>'", machine(), versions(), points)


class Checker(HTMLParser):
    """Holds tags to be closed in order, and finds what is fetched."""

    def __init__(self):
        super().__init__()
        self.opened, self.fetched = [], []

    def handle_starttag(self, tag, attributes):
        self.fetched += [value for name, value in attributes if name in ("src", "href")]
        if tag not in VOID:
            self.opened.append(tag)

    def handle_endtag(self, tag):
        assert self.opened.pop() == tag


def test_the_page_is_whole_and_fetches_nothing(report):
    page, checker = as_html(report), Checker()
    checker.feed(page)
    assert (checker.opened, checker.fetched) == ([], [])
    assert "<script" not in page and "url(" not in page
    assert "prefers-color-scheme: dark" in page
    assert "<h1>&lt;m&gt; &amp; &quot;n&quot;</h1>" in page and "&#x27;&lt;x&gt;&#x27;" in page


def test_the_table_has_the_figures_of_the_json(report):
    told = orjson.loads(orjson.dumps(report.as_dict()))
    rows = [re.findall("<td>(.*?)</td>", row) for row in re.findall("<tr><td>.*?</tr>", as_html(report))]
    assert len(rows) == len(told["points"]) == 3
    for row, point in zip(rows, told["points"], strict=True):
        assert row[1] == f"{point['throughput']:.1f}"
        assert row[2:8] == [milliseconds(point["latency"][n]) for n in ("mean", "p50", "p90", "p99", "p99.9", "max")]
        assert row[-1] == str(sum(point["errors"].values()) or "-")


def marks(drawing):
    """The titles of the marks, of well-formed SVG."""
    return [each.text for each in ElementTree.fromstring(drawing).iter("{http://www.w3.org/2000/svg}title")]


def test_the_drawings_have_the_figures_of_the_points(report):
    curve, distribution = marks(curve_svg(report.points)), marks(distribution_svg(report.points))
    assert len(curve) == 3 * len(report.points)
    assert len(distribution) == sum(len(point.curve) for point in report.points)
    first = report.points[0]
    assert curve[0] == f"c=1: {first.throughput:.1f} requests/s, p50 {milliseconds(first.latency['p50'])} ms"


def test_a_point_without_answers_is_a_row_and_no_mark(report):
    empty = summarize("closed", 2, None, Record(), 1.0, 0.1, Spent())
    page = as_html(Report("m", "a", [1], "c", machine(), versions(), [empty]))
    assert "<svg" not in page and "<td>c=2</td>" in page


def test_marks_stand_inside_the_drawing():
    lines = [Line("a", [(0.0, 0.001), (1234.5, 99999.0)], ["", ""]), Line("b", [(1234.5, 99999.0)], [""])]
    drawing = chart("x", linear("x", [1234.5]), logarithmic("y", [0.001, 99999]), lines)
    width, height = (float(size) for size in re.search(r'viewBox="0 0 (\d+) (\d+)"', drawing).groups())
    places = [(float(x), float(y)) for x, y in re.findall(r"translate\(([\d.]+) ([\d.]+)\)", drawing)]
    assert len(places) == 5
    assert all(0 < x < width and 0 < y < height for x, y in places)


@pytest.mark.parametrize("numbers", [[0.0], [5.0], [1e-9, 1e9], [1.0, 1.0], [0.3, 7.2]])
def test_axes_hold_their_numbers(numbers):
    for axis in (linear("x", numbers), logarithmic("x", numbers)):
        assert all(-1e-9 <= axis.place(number) <= 1 + 1e-9 for number in numbers)
        assert len(axis.ticks) <= 23


def test_each_nine_has_the_same_room():
    axis = shares("x", 0.999)
    assert [round(3 * axis.place(share), 6) for share in (0, 0.9, 0.99, 0.999, 1)] == [0, 1, 2, 3, 3]
