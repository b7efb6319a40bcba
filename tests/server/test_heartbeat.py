import asyncio
import os
import signal
import subprocess
import sys

import pytest
from numserve.server.workers.heartbeat import Heartbeat, state_of


class Loop:
    """A loop whose time passes when a test says so."""

    def __init__(self) -> None:
        self.now = 100.0
        self.due: list = []

    def time(self) -> float:
        return self.now

    def call_later(self, seconds, call):
        self.due = [call]
        return self

    def cancel(self):
        self.due = []


class Process:
    """A process, its heartbeat every 5 seconds, and what becomes of it."""

    def __init__(self) -> None:
        self.loop = Loop()
        self.state, self.busy, self.answers = "S", False, True
        self.pings, self.heard_at = 0, 0.0
        self.lost: list[str] = []
        self.heartbeat = Heartbeat(
            self.loop,
            5,
            lambda: self.state,
            busy=lambda: self.busy,
            ping=self.ping,
            heard_at=lambda: self.heard_at,
            lost=self.lost.append,
        )

    def ping(self) -> None:
        self.pings += 1
        if self.answers:
            self.heard_at = self.loop.now + 0.001

    def beats(self, count: int) -> None:
        for _ in range(count):
            self.loop.now += 5
            due, self.loop.due = self.loop.due, []
            for call in due:
                call()


@pytest.fixture
def process():
    return Process()


def test_one_that_answers_is_left_alone(process):
    process.beats(100)
    assert (process.pings, process.lost) == (100, [])


def test_one_that_has_nothing_to_do_and_does_not_answer_is_lost(process):
    process.beats(3)
    process.answers = False
    process.beats(2)
    assert process.lost == [], "one answer may be late"
    process.beats(1)
    assert process.lost == ["had nothing to do, and did not answer in 10 s (worker_heartbeat)"]
    assert process.loop.due == []


def test_one_that_answers_late_is_not_lost(process):
    process.answers = False
    process.beats(2)
    process.heard_at = process.loop.now + 1
    process.beats(2)
    assert process.lost == []


def test_one_that_is_busy_is_not_asked(process):
    process.busy, process.answers = True, False
    process.beats(100)
    assert (process.pings, process.lost) == (0, [])
    process.busy = False
    process.beats(2)
    assert process.lost == [], "what it was asked before is forgotten"


@pytest.mark.parametrize("busy", [False, True])
def test_one_that_is_stopped_is_lost_busy_or_not(process, busy):
    process.busy, process.state, process.answers = busy, "T", False
    process.beats(1)
    assert process.lost == []
    process.beats(1)
    assert process.lost == ["was stopped by a signal"]


def test_one_that_is_stopped_for_a_moment_is_not_lost(process):
    for state in "TSTSTS":
        process.state = state
        process.beats(1)
    assert process.lost == []


def test_one_that_a_debugger_holds_is_left_alone(process):
    process.state, process.answers = "t", False
    process.beats(100)
    assert process.lost == []


def test_nobody_looks_once_it_is_over(process):
    process.heartbeat.stop()
    assert process.loop.due == []


async def test_the_kernel_tells_the_state_of_a_process():
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        try:
            os.kill(child.pid, signal.SIGSTOP)
            async with asyncio.timeout(30):
                while state_of(child.pid) != "T":
                    await asyncio.sleep(0.01)
        finally:
            child.kill()
    assert state_of(child.pid) == ""
