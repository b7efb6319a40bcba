"""Percentiles, and what becomes of a record."""

from __future__ import annotations

import math

import pytest
from numserve.server.bench.point import Record, Spent, quantile, summarize


@pytest.mark.parametrize(
    ("share", "expected"), [(0, 1), (0.5, 50), (0.505, 51), (0.9, 90), (0.99, 99), (0.999, 100), (1, 100)]
)
def test_quantiles_are_nearest_rank(share, expected):
    assert quantile(range(1, 101), share) == expected


def test_quantiles_of_one_and_of_none():
    assert [quantile([7.0], share) for share in (0, 0.5, 1)] == [7, 7, 7]
    assert math.isnan(quantile([], 0.5))


def record(latencies, **errors):
    made = Record()
    for seconds in latencies:
        made.answered(200, seconds)
    made.errors.update(errors)
    return made


def test_a_point_tells_its_record():
    spent = Spent(queue=2.0, queued=100, inference=1.0, batches=50, cpu=0.11)
    point = summarize("closed", 8, None, record([n / 1000 for n in range(100, 0, -1)], lost=10), 4.0, 3.8, spent)
    assert (point.name, point.answered, point.failed, point.throughput) == ("c=8", 100, 10, 25)
    assert point.latency == pytest.approx(
        {"mean": 0.0505, "p50": 0.05, "p90": 0.09, "p99": 0.099, "p99.9": 0.1, "max": 0.1}
    )
    assert point.server == {"queue": 0.02, "inference": 0.02, "batch": 2, "cpu": 0.001}
    assert point.saturated


def test_the_curve_goes_no_further_than_there_are_answers():
    point = summarize("open", 5, "poisson", record([0.1] * 150), 1.0, 0.1, Spent())
    assert [share for share, _ in point.curve][-3:] == [0.975, 0.99, 1.0]
    assert not point.saturated
    assert point.server == {"queue": None, "inference": None, "batch": None, "cpu": None}


def test_nothing_was_answered():
    point = summarize("open", 5, "poisson", record([], lost=3), 1.0, 0.1, Spent())
    assert (point.answered, point.failed, point.curve) == (0, 3, [])
    assert set(point.latency.values()) == {None}
