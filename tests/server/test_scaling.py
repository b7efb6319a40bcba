"""The controller on a clock of the test's own: a model that is a number of workers and a number of requests."""

import pytest
from numserve.server.scaling import Controller, Limits, Use

STEP = 0.1


class Model:
    """Workers that load in an instant, requests that take all of a worker's time, and a controller over them."""

    def __init__(self, least: int = 1, most: int = 4, rest_after: float = 0) -> None:
        self.limits = Limits(least, most, up_wait=0.1, down_after=60, rest_after=rest_after)
        self.now = 100.0
        self.controller = Controller(self.now)
        self.workers = self.ready = least
        self.waited_since: float | None = None
        self.no_room = ""
        self.decisions: list[tuple[float, int, str]] = []

    def pass_time(self, seconds: float, requests: float) -> None:
        """So many requests at a time, for so long; what is no whole number is that share of the time one more."""
        for look in range(round(seconds / STEP)):
            self.now += STEP
            there = int(requests * (look + 1) + 1e-6) - int(requests * look + 1e-6)
            busy = min(there, self.ready)
            if there <= self.ready:
                self.waited_since = None
            elif self.waited_since is None:
                self.waited_since = self.now
            waited = 0.0 if self.waited_since is None else self.now - self.waited_since
            use = Use(self.workers, self.ready, busy, waited, there)
            if decision := self.controller.decide(self.now, self.limits, use, lambda: self.no_room):
                self.decisions.append((round(self.now - 100, 1), *decision))
                self.workers = self.ready = decision.workers

    def counts(self) -> list[int]:
        return [workers for _, workers, _ in self.decisions]


@pytest.fixture
def model():
    return Model()


def test_requests_that_wait_too_long_start_one_worker_after_the_other(model):
    model.pass_time(10, requests=3)
    assert model.counts() == [2, 3]
    assert "the oldest request has waited" in model.decisions[0][2] and "scaleUpWait 0.1 s" in model.decisions[0][2]
    assert model.decisions[0][0] < 1 and model.decisions[1][0] < 2


def test_there_are_never_more_than_there_may_be(model):
    model.pass_time(60, requests=100)
    assert model.counts() == [2, 3, 4]


def test_a_wait_of_a_moment_starts_nobody(model):
    for _ in range(20):
        model.pass_time(0.5, requests=2)
        model.pass_time(0.5, requests=1)
    assert model.decisions == []


def test_while_a_worker_loads_no_other_one_is_started(model):
    model.workers = 2
    model.pass_time(30, requests=5)
    assert model.decisions == []
    model.ready = 2
    model.pass_time(1, requests=5)
    assert model.counts() == [3]


def test_where_the_machine_has_no_room_nobody_is_started_and_that_is_told_once(model):
    model.no_room = "the CPU is 97% busy"
    model.pass_time(30, requests=3)
    assert model.counts() == [1] and "scaleUpWait 0.1 s), but the CPU is 97% busy" in model.decisions[0][2]
    model.no_room = ""
    model.pass_time(1, requests=3)
    assert model.counts()[:2] == [1, 2]


def test_workers_go_one_by_one_when_the_others_have_time_enough(model):
    model.pass_time(3, requests=4)
    assert model.workers == 4
    model.pass_time(57, requests=0)
    assert model.workers == 4
    model.pass_time(4, requests=0)
    assert model.workers == 3
    model.pass_time(300, requests=0)
    assert model.counts() == [2, 3, 4, 3, 2, 1]
    assert model.decisions[-1][2] == "0.0 of 2 were busy for 60 s (scaleDownAfter)"


@pytest.mark.parametrize("requests", [0.8, 1.0, 1.5, 1.9, 2.0])
def test_a_steady_load_comes_to_rest(model, requests):
    model.pass_time(5, requests=3)
    model.pass_time(600, requests=requests)
    settled = len(model.decisions)
    model.pass_time(3600, requests=requests)
    assert len(model.decisions) == settled, "one worker more, one fewer, one more: that is flapping"


def test_who_is_busy_for_most_of_the_time_stays(model):
    model.pass_time(5, requests=2)
    model.pass_time(600, requests=0.8)
    assert model.workers == 2
    model.pass_time(600, requests=0.5)
    assert model.workers == 1


def test_with_nothing_to_decide_nothing_is_decided():
    assert not Limits(2, 2, 0.1, 60).varies
    assert not Limits(0, 4, 0.1, 60, rest_after=5).varies, "who scales to 0 by hand means it"
    model = Model(least=2, most=2)
    model.pass_time(600, requests=9)
    model.pass_time(600, requests=0)
    assert model.decisions == []


def test_all_workers_go_after_a_time_without_requests():
    model = Model(least=2, most=2, rest_after=30)
    model.pass_time(25, requests=0)
    model.pass_time(1, requests=1)
    model.pass_time(29, requests=0)
    assert model.decisions == []
    model.pass_time(2, requests=0)
    ((moment, *decision),) = model.decisions
    assert decision == [0, "no request for 30 s (scaleToZeroAfter)"] and 55 <= moment <= 57
    model.pass_time(100, requests=0)
    assert len(model.decisions) == 1


def test_a_long_request_keeps_its_worker():
    model = Model(least=1, most=1, rest_after=30)
    model.pass_time(300, requests=1)
    assert model.decisions == []
