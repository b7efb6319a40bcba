"""Line: in which order those who wait are served."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from numserve.server.batching.batch import Job
from numserve.server.batching.line import LOOK_EACH, Line
from numserve.server.messages import InferenceRequest


class Answer:
    """As much of a future as a line looks at."""

    left = False

    def done(self):
        return self.left


def job(name, queued_at=0.0):
    return Job(InferenceRequest(str(name), (), {}), Answer(), queued_at, 0.0, False, False)


@pytest.fixture
def gone():
    return []


@pytest.fixture
def line(gone):
    return lambda levels=1, step=0.0: Line(gone.append, levels, step)


def names(line):
    return [each.request.id for each in iter(line.take, None)]


def test_who_comes_first_is_first(line):
    waiting = line()
    for name in "abc":
        waiting.add(job(name))
    assert (len(waiting), waiting.first().request.id) == (3, "a")
    assert names(waiting) == ["a", "b", "c"] and waiting.first() is None


def test_those_who_are_tried_again_go_first_and_in_their_order(line):
    waiting = line()
    waiting.add(job("c"))
    waiting.add_again([job("a"), job("b")])
    assert len(waiting) == 3 and waiting.oldest() == 0
    assert names(waiting) == ["a", "b", "c"]


def test_who_has_left_is_passed_over_and_told(line, gone):
    waiting = line()
    jobs = [job(name) for name in "abc"]
    for each in jobs:
        waiting.add(each)
    jobs[0].answer.left = jobs[2].answer.left = True
    assert names(waiting) == ["b"] and gone == [jobs[0], jobs[2]]


def test_room_is_made_wherever_one_has_left_but_not_all_the_time(line, gone):
    waiting = line()
    jobs = [job(number) for number in range(100)]
    for each in jobs:
        waiting.add(each)
    jobs[50].answer.left = True
    waiting.make_room(1.0)
    jobs[60].answer.left = True
    waiting.make_room(1.0 + 99 * LOOK_EACH)
    assert (len(waiting), gone) == (99, [jobs[50]])
    waiting.make_room(1.0 + 101 * LOOK_EACH)
    assert (len(waiting), gone) == (98, [jobs[50], jobs[60]])


def test_the_old_are_taken_out_of_all_levels(line, gone):
    waiting = line(levels=2)
    jobs = [job("a", 0), job("b", 5), job("c", 1), job("d", 2)]
    for each, level in zip(jobs, (1, 1, 2, 2), strict=True):
        waiting.add(each, level)
    jobs[2].answer.left = True
    assert [each.request.id for each in waiting.take_older(12, 10)] == ["a", "d"]
    assert gone == [jobs[2]] and names(waiting) == ["b"]


def test_levels_are_counted_by_themselves(line):
    waiting = line(levels=3)
    for level in (1, 2, 2, 3):
        waiting.add(job(level), level)
    waiting.add_again([job("again")])
    assert [waiting.of_level(level) for level in (1, 2, 3)] == [1, 2, 1]
    assert [waiting.before(level) for level in (1, 2, 3)] == [2, 4, 5]
    assert [each.request.id for each in waiting.clear()] == ["again", "1", "2", "2", "3"] and len(waiting) == 0


ARRIVALS = st.lists(st.tuples(st.integers(1, 4), st.integers(0, 3)), min_size=1, max_size=40)


@given(ARRIVALS, st.sampled_from([0, 1, 2.5, 100]))
def test_nobody_is_overtaken_by_who_comes_more_than_the_steps_between_later(arrivals, step):
    waiting, now = Line(lambda job: None, 4, step), 0
    came = {}
    for number, (level, pause) in enumerate(arrivals):
        now += pause
        came[str(number)] = (now + level * step, level, number)
        waiting.add(job(number, now), level)
    served = names(waiting)
    assert served == sorted(came, key=came.__getitem__)


async def test_a_line_takes_real_futures(line, gone):
    waiting = line()
    future = asyncio.get_running_loop().create_future()
    waiting.add(Job(InferenceRequest("a", (), {}), future, 0.0, 0.0, False, False))
    future.cancel()
    assert waiting.first() is None and len(gone) == 1
