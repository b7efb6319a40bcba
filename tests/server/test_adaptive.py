"""Adaptive batches on a simulated clock: what they reach, and that nobody waits for nothing."""

import asyncio
import heapq
import itertools
import random
from statistics import mean

import pytest
from hypothesis import given
from hypothesis import strategies as st
from numserve.server.batching.batcher import Batcher
from numserve.server.batching.company import RARELY, Company
from numserve.server.batching.cost import BatchCost
from numserve.server.batching.size import MOST, AdaptiveSize, FixedSize
from numserve.server.errors import WorkerDied
from numserve.server.messages import BatchReport, InferenceRequest, InferenceResponse

from .silent import Silent

MS = 0.001
TURNAROUND = 0.05 * MS
"""How long after the one before a client reads its answer and asks again, in a closed loop."""


class Simulation:
    """A clock, workers that take `start` + `each` · n, and clients that ask again when they have been answered."""

    def __init__(self, start, each, *, workers=1, noise=0.0, first=0.0, **options):
        self.now, self.number, self.events = 0.0, itertools.count(), []
        self.start, self.each, self.noise, self.first, self.met = start, each, noise, first, set()
        self.random = random.Random(0)
        self.sizes, self.waits, self.latencies = [], [], []
        self.clients: dict[str, float] = {}
        self.batcher = Batcher(self, Silent(), limit=10_000, clock=lambda: self.now, **options)
        self.batcher.open()
        for _ in range(workers):
            self.batcher.idle(Hand(self))

    def create_future(self):
        return asyncio.Future(loop=self)

    def get_debug(self):
        return False

    def call_soon(self, callback, *arguments, context=None):
        return self.call_later(0, lambda: callback(*arguments))

    def call_later(self, delay, callback):
        entry = [self.now + delay, next(self.number), callback]
        heapq.heappush(self.events, entry)
        return Handle(entry)

    def ask(self, name):
        self.clients[name] = self.now
        self.batcher.submit(InferenceRequest(name, (), {}))

    def run(self, seconds):
        end = self.now + seconds
        while self.events and self.events[0][0] <= end:
            self.now, _, callback = heapq.heappop(self.events)
            callback()
        self.now = end
        return self

    def closed(self, clients):
        """So many clients, for long enough to learn; gives the rate of what follows."""
        for number in range(clients):
            self.call_later(number * TURNAROUND, lambda name=str(number): self.ask(name))
        self.again = TURNAROUND
        self.run(40 * (self.start + MOST * self.each))
        self.sizes, self.waits, self.latencies = [], [], []
        seconds = 20 * (self.start + MOST * self.each)
        self.run(seconds)
        return sum(self.sizes) / seconds

    def after(self, seconds, over):
        """The sizes of the batches of so many seconds, after those that do not count."""
        self.run(seconds)
        self.sizes = []
        self.run(over)
        return self.sizes

    def open(self, rate, seconds):
        """Clients that come at random times, whether or not others have been answered."""
        self.again = None
        when = 0.0
        for number in range(int(rate * seconds)):
            when += self.random.expovariate(rate)
            self.call_later(when, lambda name=str(number): self.ask(name))
        return self.run(2 * seconds)


class Handle:
    def __init__(self, entry):
        self.entry = entry

    def cancel(self):
        self.entry[2] = lambda: None


class Hand:
    available = True

    def __init__(self, simulation):
        self.simulation = simulation

    def send(self, batch):
        simulation, rows = self.simulation, len(batch.requests)
        simulation.sizes.append(rows)
        simulation.waits += [simulation.now - simulation.clients[request.id] for request in batch.requests]
        factor = 1 + simulation.noise * simulation.random.uniform(-1, 1)
        seconds = factor * (simulation.start + simulation.each * rows) + (rows not in simulation.met) * simulation.first
        simulation.met.add(rows)
        simulation.call_later(seconds, lambda: self.finish(batch))

    def finish(self, batch):
        simulation = self.simulation
        batch.settle([InferenceResponse(200, "", None, {}, b"x") for _ in batch.requests], BatchReport(0, 0))
        for place, request in enumerate(batch.requests):
            simulation.latencies.append(simulation.now - simulation.clients[request.id])
            if simulation.again:
                simulation.call_later((place + 1) * simulation.again, lambda name=request.id: simulation.ask(name))
        simulation.batcher.idle(self)


@pytest.fixture
def simulate():
    def simulate(start, each, sizing=None, **options):
        sizing = sizing or AdaptiveSize("m", asked=True)
        return Simulation(start * MS, each * MS, sizing=sizing, max_delay=0, **options)

    return simulate


def best_fixed(start, each, clients, workers):
    """The rate of the best size and delay that an operator could have found."""
    rates = []
    for size in (1, 8, 32):
        for delay in (0, start):
            sizing, fixed = FixedSize(size, 0), delay > 0
            simulation = Simulation(
                start * MS, each * MS, workers=workers, sizing=sizing, max_delay=delay * MS, fixed_delay=fixed
            )
            rates.append(simulation.closed(clients))
    return max(rates)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("clients", [1, 8, 64])
@pytest.mark.parametrize(("start", "each"), [(10, 0.1), (2, 2), (1, 20), (0.3, 0.02), (50, 1)])
def test_no_fixed_size_is_much_better(simulate, start, each, clients, workers):
    best = best_fixed(start, each, clients, workers)
    assert simulate(start, each, workers=workers).closed(clients) >= 0.9 * best


@pytest.mark.parametrize(("start", "each"), [(10, 0.1), (2, 2), (1, 20)])
def test_one_client_never_waits(simulate, start, each):
    simulation = simulate(start, each)
    assert simulation.closed(1) == pytest.approx(1 / ((start + each) * MS + TURNAROUND), rel=0.02)
    assert max(simulation.waits) == 0 and set(simulation.sizes) == {1}


def test_a_lone_request_after_a_crowd_waits_once_at_most(simulate):
    simulation = simulate(10, 0.1)
    simulation.closed(64)
    simulation.again = None
    simulation.run(1)
    waits = []
    for number in range(20):
        simulation.ask(f"alone {number}")
        simulation.run(0.1)
        waits.append(simulation.waits[-1])
    assert waits == [0] * 20


def test_where_requests_cost_more_than_a_batch_it_stays_small(simulate):
    simulation = simulate(1, 40)
    simulation.closed(64)
    assert sum(simulation.sizes) < 1.05 * len(simulation.sizes), "but for a try now and then"


def test_where_a_batch_costs_more_than_requests_it_grows(simulate):
    simulation = simulate(20, 0.1)
    simulation.closed(64)
    assert sum(simulation.sizes) / len(simulation.sizes) > 50


def test_a_light_load_is_answered_within_the_target(simulate):
    simulation = simulate(2, 4, AdaptiveSize("m", target=0.06, asked=True))
    simulation.open(rate=120, seconds=60)
    late = sum(latency > 0.06 for latency in simulation.latencies[1000:])
    assert late < 0.01 * len(simulation.latencies[1000:])
    assert max(simulation.sizes) <= 7, "a batch takes half of the target at most"


def test_random_arrivals_lose_nothing_by_waiting_for_company(simulate):
    patient = simulate(5, 1).open(rate=150, seconds=60)
    hasty = simulate(5, 1, FixedSize(MOST, 0)).open(rate=150, seconds=60)
    assert mean(patient.latencies) < 1.15 * mean(hasty.latencies)


def test_what_the_first_batch_of_a_size_takes_does_not_count(simulate):
    simulation = simulate(2, 0.1, first=1.0)
    simulation.closed(64)
    assert mean(simulation.after(100, 1)) > 16


def test_a_size_that_has_looked_bad_is_tried_again(simulate):
    sizing = AdaptiveSize("m", asked=True)
    simulation = simulate(2, 0.1, sizing)
    for rows in (2, 2, 2, 4, 4, 4):
        sizing.note(rows, rows * 1.0, 1)
    simulation.closed(64)
    assert mean(simulation.after(60, 1)) > 16


def test_batches_that_all_take_as_long_may_be_large():
    sizing = AdaptiveSize("m", asked=True)
    for rows in (1, 1, 1, 2, 2, 2, 4, 4, 4, 8, 8, 8):
        sizing.note(rows, 0.1 - rows * MS, 1)
    status = sizing.status()
    assert status.each == 0 and status.start > sizing.target / 2
    assert status.size == status.size_under_load == 16


@given(st.lists(st.tuples(st.integers(1, MOST), st.floats(0, 1000), st.integers(0, 1 << 30)), max_size=50))
def test_whatever_batches_take_their_size_stays_within_its_limits(batches):
    sizing = AdaptiveSize("m", asked=True, longest=30, answer_limit=1 << 20)
    for rows, seconds, largest in batches:
        sizing.note(rows, seconds, largest)
        assert 1 <= sizing.status().size <= sizing.status().size_under_load <= MOST


def test_the_cost_is_learnt_through_noise(simulate):
    simulation = simulate(4, 1, noise=0.2)
    simulation.closed(16)
    cost = simulation.batcher._sizing.cost
    assert cost.start == pytest.approx(4 * MS, rel=0.35) and cost.each == pytest.approx(1 * MS, rel=0.2)


def test_what_has_changed_is_learnt_anew(simulate):
    simulation = simulate(10, 0.1)
    simulation.closed(64)
    simulation.start, simulation.each = 1 * MS, 40 * MS
    assert max(simulation.after(400, 10)) <= 8


def test_sizes_of_which_nothing_is_known_are_come_to_by_doubling(simulate):
    simulation = simulate(50, 0.01, AdaptiveSize("m", 64, target=1, asked=True))
    for number in range(500):
        simulation.ask(str(number))
    simulation.again = None
    simulation.run(10)
    met = 1
    for size in simulation.sizes:
        assert size <= 2 * met
        met = max(met, size)
    assert met == 64


def cost_of(*met):
    cost = BatchCost()
    for rows, seconds in met:
        cost.note(rows, seconds)
    return cost


def test_a_cost_of_one_size_is_shared_out():
    cost = cost_of((1, 0.2), (1, 0.1))
    assert (cost.start, cost.each) == (pytest.approx(0.05), pytest.approx(0.05))


def test_two_sizes_are_a_line():
    cost = cost_of((1, 0.1), (1, 0.03), (8, 0.9), (8, 0.1))
    assert (cost.start, cost.each) == (pytest.approx(0.02), pytest.approx(0.01))
    assert cost(4) == pytest.approx(0.06)


@pytest.mark.parametrize(("large", "line"), [(0.05, (0.05, 0)), (1.6, (0, None))])
def test_no_part_of_a_cost_is_below_nothing(large, line):
    cost = cost_of(*[(1, 0.1)] * 3, *[(8, large)] * 3)
    assert cost.start >= 0 and cost.each >= 0 and 0 in (cost.start, cost.each)
    assert cost.start == 0 or line[1] == 0


def test_one_slow_batch_does_not_count_for_much():
    cost = cost_of(*[(n, 0.01 + 0.001 * n) for n in (1, 8, 64)] * 5, (64, 100.0))
    assert cost(64) < 2 * 0.074


def test_small_batches_are_remembered_while_there_are_large_ones_only():
    cost = cost_of(*[(1, 0.011)] * 3, *[(64, 0.074)] * 300)
    assert (cost.start, cost.each) == (pytest.approx(0.01, rel=0.05), pytest.approx(0.001, rel=0.05))


def grown(**options):
    size = AdaptiveSize("m", target=10, **options)
    size.allow(True)
    for rows in (1, 8, 32) * 2:
        size.note(rows, 0.1 + 0.001 * rows, 100)
    return size


def test_unless_batches_are_certain_or_asked_for_there_are_none():
    size = grown()
    assert size.most(100) == 64 and size.status().reason == ""
    size.allow(False)
    assert (size.most(100), size.learns, size.status().size) == (1, False, 1)
    assert "batching: adaptive" in size.status().reason
    asked = grown(asked=True)
    asked.allow(False)
    assert asked.most(100) == 64


def test_answers_of_a_batch_fit_into_a_response():
    assert grown(answer_limit=1000).most(100) == 10


def test_a_batch_takes_a_part_of_what_a_worker_may_take():
    assert grown(longest=0.1205).most(100) == 20


def test_too_large_a_batch_is_halved_for_a_time(caplog):
    size = grown()
    size.spoilt(64)
    assert size.most(100) == 32 and "batches have 32 at most" in caplog.text
    size.spoilt(2)
    for _ in range(200):
        size.note(1, 0.1, 100)
    assert size.most(100) == 1
    for _ in range(2000):
        size.note(1, 0.1, 100)
    assert size.most(100) > 1


def test_a_batch_that_fails_while_its_requests_succeed_makes_smaller_ones(simulate, monkeypatch):
    simulation = simulate(10, 0.1, AdaptiveSize("m", asked=True), isolate=True)
    simulation.again = None
    finish = Hand.finish
    failed = []

    def fail_large(hand, batch):
        if len(batch.requests) < 2:
            finish(hand, batch)
            return
        failed.append(len(batch.requests))
        batch.fail(WorkerDied("Worker died."))
        simulation.batcher.idle(hand)

    monkeypatch.setattr(Hand, "finish", fail_large)
    for number in range(40):
        simulation.ask(str(number))
    simulation.run(30)
    assert failed and simulation.batcher._sizing.most(100) == 1
    assert len(simulation.latencies) == 40


def test_company_is_not_awaited_again_and_again_in_vain():
    company, now, attempts = Company(), 0.0, 0
    for _ in range(1000):
        now += 1
        company.answered(now, 10, patience=0.1)
        if company.is_awaited(now, 1, 0, 1, 64):
            attempts += 1
            assert not company.is_awaited(now + 0.1, 1, 0, 1, 64), "it ends in time"
    assert 1000 / RARELY <= attempts < 4 * 1000 / RARELY


def test_company_that_has_come_is_expected_again():
    company = Company()
    for now in range(100):
        company.answered(now, 10, patience=0.1)
        assert company.is_awaited(now, 1, 0, 1, 64)
        assert not company.is_awaited(now + 0.05, 10, 0, 1, 64)


def test_those_with_other_workers_are_not_awaited():
    company = Company()
    company.answered(1.0, 10, patience=0.1)
    assert company.is_awaited(1.0, 4, 5, 1, 64)
    assert not company.is_awaited(1.0, 4, 6, 1, 64) and not company.is_awaited(1.0, 4, 0, 1, 4)


def test_those_who_are_expected_are_shared_out_among_the_workers():
    company = Company()
    company.answered(1.0, 10, patience=0.1)
    assert company.is_awaited(1.0, 4, 0, 2, 64)
    assert not company.is_awaited(1.0, 5, 0, 2, 64)
