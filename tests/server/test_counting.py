"""Counters, gauges and histograms: shown as Prometheus' own client shows its."""

import math

import prometheus_client as theirs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numserve.server.metrics.counting import BUCKETS, counters, family_of, gauges, histograms
from numserve.server.metrics.exposition import Foreign, render

VALUES = st.lists(st.floats(allow_infinity=True, allow_nan=True, width=32), max_size=8)


def lines(*collectors):
    return [line for line in render(collectors).splitlines() if not line.startswith(b"#")]


@pytest.mark.parametrize(
    ("mine", "other", "take"), [(histograms, theirs.Histogram, "observe"), (gauges, theirs.Gauge, "set")]
)
@given(values=VALUES)
def test_values_are_shown_as_theirs(mine, other, take, values):
    families = mine("f", "x", ["a"]), other("f", "x", ["a"], registry=None)
    for family in families:
        for value in values:
            getattr(family.labels("1"), take)(value)
    assert lines(families[0]) == lines(Foreign(families[1]))


def test_the_buckets_are_theirs():
    assert (*BUCKETS, math.inf) == theirs.Histogram.DEFAULT_BUCKETS


def test_a_counter_keeps_its_name():
    family = counters("Requests2XX", "x", ["Level"])
    family.labels("Host").inc()
    family.labels(Level="Host").inc(2)
    assert lines(family) == [b'Requests2XX{Level="Host"} 3.0']


def test_series_end():
    family = gauges("g", "x", ["a"])
    for value in "123":
        family.labels(value).set(1)
    family.remove("2")
    assert lines(family) == [b'g{a="1"} 1.0', b'g{a="3"} 1.0']
    with pytest.raises(KeyError):
        family.remove("2")
    family.clear()
    assert lines(family) == []


@pytest.mark.parametrize("kind", ["counter", "gauge", "histogram"])
def test_a_child_has_the_labels_of_its_family(kind):
    family = family_of(kind, "f", "x", ["a", "b"])
    assert family.labels("1", "2") is family.labels(b="2", a="1")
    for values, named in ((("1",), {}), (("1", "2", "3"), {}), ((), {"a": "1"}), ((), {"a": "1", "c": "2"})):
        with pytest.raises(ValueError, match="expected the labels"):
            family.labels(*values, **named)
