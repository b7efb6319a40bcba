"""When requests of an open loop are meant to be sent."""

from __future__ import annotations

from itertools import islice, pairwise
from statistics import mean, stdev

import pytest
from numserve.server.bench.arrivals import constant, poisson


def test_constant_arrivals_are_even():
    assert list(islice(constant(4), 5)) == [0, 0.25, 0.5, 0.75, 1]


def test_poisson_arrivals_have_their_rate_and_spread():
    times = list(islice(poisson(50, seed=1), 20_001))
    gaps = [after - before for before, after in pairwise(times)]
    assert mean(gaps) == pytest.approx(1 / 50, rel=0.03)
    assert stdev(gaps) == pytest.approx(1 / 50, rel=0.05)
    assert min(gaps) >= 0


def test_a_seed_is_a_sequence():
    first, again, other = (list(islice(poisson(9, seed), 5)) for seed in (3, 3, 4))
    assert first == again != other
