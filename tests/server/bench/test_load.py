"""When requests go out and what counts, by a clock that is set by hand."""

from __future__ import annotations

import pytest
from numserve.server.bench.wire import Answer


def latencies(bench):
    return [round(seconds, 6) for seconds in bench.phase.record.latencies]


def test_a_client_sends_when_it_has_its_answer(bench):
    (line,) = bench.closed(1, seconds=1)
    for _ in range(3):
        bench.now += 0.25
        line.answer()
    assert latencies(bench) == [0.25] * 3
    assert [job.request for job in line.jobs] == [b"b"]
    bench.now += 0.3
    line.answer()
    assert (len(line.jobs), bench.phase.finished, bench.ended > 0) == (0, True, True)
    assert bench.phase.elapsed == pytest.approx(1.05)


def test_a_closed_loop_ends_after_its_requests(bench):
    first, second = bench.closed(2, seconds=100, count=3)
    first.answer()
    first.answer()
    assert not bench.phase.finished
    bench.now += 2
    second.answer()
    assert (bench.phase.finished, len(bench.phase.record.latencies)) == (True, 3)
    assert bench.phase.elapsed == 2


def test_a_stall_counts_for_every_request_that_was_due_in_it(bench):
    """Of 10 requests that were due each 0.1 s, a server that stands still for 1 s delays all, not one."""
    bench.open(1, seconds=1)
    bench.phase.due(bench.now)
    line = bench.connect()
    begin = bench.now
    for number in range(1, 10):
        bench.now = begin + number / 10
        bench.phase.due(bench.now)
    bench.now = begin + 1
    for _ in range(10):
        line.answer()
    assert latencies(bench) == [pytest.approx(1 - number / 10) for number in range(10)]


def test_a_generator_that_is_late_adds_to_the_latency_and_tells_it(bench):
    bench.open(1, seconds=1)
    begin = bench.now
    bench.now = begin + 0.5
    bench.phase.due(begin + 0.2)
    line = bench.connect()
    bench.now = begin + 0.6
    line.answer()
    assert latencies(bench) == [0.4]
    assert [round(delay, 6) for delay in bench.phase.record.delays] == [0.3]


def test_an_open_loop_has_no_more_connections_than_it_may(bench):
    bench.open(2, seconds=1)
    for _ in range(5):
        bench.phase.due(bench.now)
    assert bench.asked == 2


def test_an_open_loop_ends_when_nothing_more_is_due_and_all_is_answered(bench):
    bench.open(1, seconds=1)
    bench.phase.due(bench.now)
    line = bench.connect()
    bench.phase.due(float("inf"))
    assert not bench.phase.finished
    line.answer()
    assert bench.phase.finished
    assert bench.phase.elapsed == 1


def test_other_answers_are_counted_and_have_no_latency(bench):
    (line,) = bench.closed(1, seconds=1)
    for status in (503, 503, 404):
        line.answer(Answer(status, b"", False))
    assert bench.phase.record.errors == {"503": 2, "404": 1}
    assert latencies(bench) == []


def test_an_idle_connection_that_was_closed_is_asked_for_again_once(bench):
    (line,) = bench.closed(1, seconds=1)
    begin, job = bench.now, line.jobs.popleft()
    bench.phase.lost(job, idle=True)
    bench.phase.closed()
    other = bench.connect()
    bench.now = begin + 0.5
    assert other.jobs[0] is job
    other.answer()
    assert (latencies(bench), bench.phase.record.resent) == ([0.5], 1)
    bench.phase.lost(other.jobs.popleft(), idle=False)
    assert bench.phase.record.errors == {"connection lost": 1}


def test_what_was_sent_again_is_not_sent_a_third_time(bench):
    (line,) = bench.closed(1, seconds=1)
    job = line.jobs.popleft()
    bench.phase.lost(job, idle=True)
    bench.phase.lost(job, idle=True)
    assert bench.phase.record.errors == {"connection lost": 1}


def test_a_connection_that_ends_with_its_answer_is_replaced(bench):
    (line,) = bench.closed(1, seconds=1)
    line.answer(Answer(200, b"", True))
    assert not line.jobs
    bench.phase.closed()
    assert bench.connect().jobs


def test_nobody_can_connect(bench):
    bench.closed(2, seconds=1, count=5)
    bench.phase.refused("cannot connect")
    bench.phase.refused("cannot connect")
    bench.phase.abandon()
    assert bench.phase.finished
    assert bench.phase.record.errors == {"cannot connect": 2, "no answer in time": 2}


def test_an_open_loop_that_nobody_lets_in(bench):
    bench.open(2, seconds=1)
    bench.phase.due(bench.now)
    bench.phase.due(bench.now)
    bench.phase.due(bench.now)
    bench.phase.refused("cannot connect")
    assert not bench.phase.record.errors
    bench.phase.refused("cannot connect")
    assert bench.phase.record.errors == {"cannot connect": 3}


def test_what_is_never_answered_has_failed(bench):
    first, _ = bench.closed(2, seconds=1)
    bench.now += 2
    first.answer()
    bench.phase.abandon()
    assert bench.phase.finished
    assert bench.phase.record.errors == {"no answer in time": 1}


def test_an_idle_connection_of_an_open_loop_may_go(bench):
    bench.open(1, seconds=1)
    bench.phase.due(bench.now)
    line = bench.connect()
    line.answer()
    bench.phase.idle_closed(line)
    bench.phase.due(bench.now)
    assert (bench.asked, len(line.jobs)) == (1, 0)
