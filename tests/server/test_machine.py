import time

import pytest
from numserve.server.machine import Machine

GIGABYTE = 1 << 30


class Group:
    """A control group that may use two cores, and uses what a test says."""

    def __init__(self) -> None:
        self.used = 100.0

    def cores(self):
        return 2.0

    def cpu_seconds(self):
        return self.used


class Unlimited(Group):
    """One that may use all cores there are."""

    def cores(self):
        return None


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def group():
    return Group()


@pytest.fixture
def machine(group, clock):
    return Machine(group, lambda: GIGABYTE, clock)


def test_the_use_is_a_share_of_the_quota_over_a_second_or_more(machine, group, clock):
    clock.now, group.used = 0.5, 101.0
    machine.look()
    assert machine.busy == 0, "half a second is too short to tell"
    clock.now = 1.0
    machine.look()
    assert machine.busy == 0.5
    clock.now, group.used = 3.0, 105.0
    machine.look()
    assert machine.busy == 1


@pytest.mark.parametrize(
    ("used", "needed", "why"),
    [
        (1.0, GIGABYTE, ""),
        (1.95, GIGABYTE, "the CPU is 98% busy"),
        (1.0, 2 * GIGABYTE, "1024 MB of memory are available, and a worker takes 2048"),
    ],
)
def test_there_is_room_while_there_are_cpu_time_and_memory(machine, group, clock, used, needed, why):
    clock.now, group.used = 1.0, 100 + used
    machine.look()
    assert machine.no_room(needed) == why


def test_without_a_quota_the_machines_cores_are_measured():
    clock = Clock()
    machine = Machine(Unlimited(), clock=clock)
    until = time.monotonic() + 30
    while not machine.busy and time.monotonic() < until:
        sum(range(100_000))
        clock.now += 1.0
        machine.look()
    assert 0 < machine.busy <= 1
