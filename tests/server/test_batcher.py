import asyncio
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numserve.server.batching.batch import TURN, Answer, Batch
from numserve.server.batching.batcher import LONG, Batcher
from numserve.server.batching.line import LOOK_EACH
from numserve.server.batching.priority import Priorities
from numserve.server.batching.size import AdaptiveSize
from numserve.server.errors import DeadlineExceeded, NoWorkers, QueueFull, ResponseTimeout, ServingError, WorkerDied
from numserve.server.messages import BatchReport, Failure, InferenceRequest, InferenceResponse

REPORT = BatchReport(0.001, 0)


class Clock:
    """Time and timers that move only when told; futures are the real loop's."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.now = 0.0
        self.timers: list[tuple[float, object, Timer]] = []

    def create_future(self):
        return self.loop.create_future()

    def get_debug(self):
        return self.loop.get_debug()

    def call_soon(self, *called, **named):
        return self.loop.call_soon(*called, **named)

    def call_exception_handler(self, context):
        self.loop.call_exception_handler(context)

    def call_later(self, delay, callback):
        timer = Timer()
        self.timers.append((self.now + delay, callback, timer))
        return timer

    def time(self) -> float:
        return self.now

    def pending(self) -> int:
        return sum(not timer.cancelled for _, _, timer in self.timers)

    def advance(self, seconds: float) -> None:
        end = self.now + seconds
        while due := sorted((t for t in self.timers if t[0] <= end), key=lambda timer: timer[0]):
            self.timers.remove(due[0])
            self.now = max(self.now, due[0][0])
            if not due[0][2].cancelled:
                due[0][1]()
        self.now = end


class Timer:
    cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Hand:
    """A worker that keeps what it is sent until told to answer."""

    def __init__(self, available: bool = True) -> None:
        self.available = available
        self.batches: list[Batch] = []

    def send(self, batch: Batch) -> None:
        self.batches.append(batch)

    def ids(self) -> list[list[str]]:
        return [[request.id for request in batch.requests] for batch in self.batches]

    def answer(self) -> None:
        batch = self.batches.pop(0)
        batch.settle([respond(request.id) for request in batch.requests], REPORT)


class Log:
    def __init__(self) -> None:
        self.reasons: list[str] = []
        self.waits: list[list[float]] = []
        self.reports: list[BatchReport] = []
        self.answers: list[tuple[float, float]] = []

    def rejected(self, reason):
        self.reasons.append(reason)

    def batch_sent(self, waits):
        self.waits.append(list(waits))

    def batch_done(self, report, seconds):
        self.reports.append(report)

    def answered(self, seconds, waited, version_given):
        self.answers.append((seconds, waited))


def respond(text: str) -> InferenceResponse:
    return InferenceResponse(200, "", None, {}, text.encode())


def request(name: object) -> InferenceRequest:
    return InferenceRequest(str(name), (), {})


@pytest.fixture
def clock():
    clock = Clock()
    yield clock
    clock.loop.close()


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def make(clock, log):
    """A batcher that fills its batches, unless told otherwise, which makes them easy to foretell."""

    def make(**options) -> Batcher:
        options = {"batch_size": 1, "max_delay": 0.1, "limit": 100, "fixed_delay": True} | options
        batcher = Batcher(clock, log, clock=clock.time, **options)
        batcher.open()
        return batcher

    return make


def test_an_idle_worker_gets_a_lone_request_at_once(make, clock):
    batcher, hand = make(), Hand()
    batcher.idle(hand)
    answer = batcher.submit(request("a"))
    hand.answer()
    assert answer.result().body == b"a"
    assert clock.pending() == 0


def test_a_worker_that_has_just_died_is_passed_over(make):
    batcher, dead, alive = make(), Hand(available=False), Hand()
    batcher.idle(dead)
    answer = batcher.submit(request("a"))
    assert not answer.done()
    batcher.idle(alive)
    assert (dead.ids(), alive.ids()) == ([], [["a"]])


def test_who_has_answered_last_is_asked_first(make):
    batcher, warm, cold = make(), Hand(), Hand()
    for hand in (warm, cold):
        batcher.idle(hand)
    batcher.submit(request("a"))
    batcher.submit(request("b"))
    assert (warm.ids(), cold.ids()) == ([["b"]], [["a"]])
    cold.answer()
    batcher.idle(cold)
    warm.answer()
    batcher.idle(warm)
    batcher.submit(request("c"))
    assert (warm.ids(), cold.ids()) == ([["c"]], [])


def test_a_full_batch_goes_at_once_and_in_order(make):
    batcher, hand = make(batch_size=3), Hand()
    batcher.idle(hand)
    for name in "abcd":
        batcher.submit(request(name))
    assert hand.ids() == [["a", "b", "c"]]
    assert len(batcher) == 1


def test_the_delay_lets_a_small_batch_go(make, clock, log):
    batcher, hand = make(batch_size=3), Hand()
    batcher.idle(hand)
    batcher.submit(request("a"))
    clock.advance(0.06)
    batcher.submit(request("b"))
    clock.advance(0.03)
    assert hand.ids() == []
    clock.advance(0.02)
    assert hand.ids() == [["a", "b"]]
    assert log.waits == [[pytest.approx(0.1), pytest.approx(0.04)]]


def test_who_has_waited_for_a_worker_long_enough_does_not_wait_for_company(make, clock):
    batcher, hand = make(batch_size=3), Hand()
    batcher.submit(request("a"))
    clock.advance(5)
    batcher.idle(hand)
    assert hand.ids() == [["a"]]


def test_there_is_never_more_than_one_timer(make, clock):
    batcher, hand = make(batch_size=9, client_timeout=4), Hand()
    batcher.idle(hand)
    for name in range(8):
        batcher.submit(request(name))
        clock.advance(0.001)
        assert clock.pending() == 1


def test_a_request_that_is_to_be_alone_shares_no_batch(make, clock):
    batcher, hand = make(batch_size=9), [Hand(), Hand(), Hand()]
    batcher.submit(request("a"))
    batcher.submit(request("describe"), alone=True)
    batcher.submit(request("b"))
    clock.advance(1)
    for each in hand:
        batcher.idle(each)
    assert [each.ids() for each in hand] == [[["a"]], [["describe"]], [["b"]]]


def test_who_is_to_be_alone_does_not_wait_for_company(make):
    batcher, hand = make(batch_size=9), Hand()
    batcher.idle(hand)
    batcher.submit(request("describe"), alone=True)
    assert hand.ids() == [["describe"]]


def test_the_timer_is_set_anew_for_what_comes_sooner(make, clock):
    batcher, hand = make(batch_size=9, client_timeout=4), Hand()
    batcher.submit(request("a"))
    batcher.idle(hand)
    clock.advance(0.1)
    assert hand.ids() == [["a"]]


def test_a_full_queue_refuses(make, log):
    batcher = make(limit=2)
    batcher.submit(request("a"))
    batcher.submit(request("b"))
    with pytest.raises(QueueFull, match="2 requests are waiting"):
        batcher.submit(request("c"))
    assert log.reasons == ["queue_full"]


def test_where_nobody_may_wait_an_idle_worker_decides(make, log):
    batcher, hand = make(batch_size=2, idle_only=True), Hand()
    with pytest.raises(QueueFull, match="no worker is idle"):
        batcher.submit(request("a"))
    batcher.idle(hand)
    for name in "bc":
        batcher.submit(request(name))
    with pytest.raises(QueueFull):
        batcher.submit(request("d"))
    assert (hand.ids(), log.reasons) == ([["b", "c"]], ["queue_full"] * 2)


def test_a_client_that_has_left_gives_its_place_to_another(make, log):
    batcher = make(limit=2)
    batcher.submit(request("a"))
    batcher.submit(request("b")).cancel()
    batcher.submit(request("c"))
    assert len(batcher) == 2
    assert log.reasons == ["client_gone"]


def test_a_client_that_has_left_takes_no_row_of_a_batch(make, log, clock):
    batcher, hand = make(batch_size=2), Hand()
    answers = [batcher.submit(request(name)) for name in "abc"]
    answers[0].cancel()
    batcher.idle(hand)
    assert hand.ids() == [["b", "c"]]
    assert log.reasons == ["client_gone"]


def test_who_has_waited_for_long_is_asked_for_before_a_worker_is(make, clock, log):
    batcher, hand = make(), Hand()
    answers = [batcher.submit(request(name)) for name in "abc"]
    asked = []
    for name, answer, there in zip("abc", answers, (False, True, False), strict=True):
        answer.is_awaited = lambda name=name, there=there: asked.append(name) or there
    clock.now = LONG
    batcher.idle(hand)
    assert (asked, hand.ids(), log.reasons) == (["a", "b"], [["b"]], ["client_gone"])
    assert answers[0].cancelled() and not answers[2].done()


def test_while_clients_leave_the_next_one_is_asked_for_at_once(make, clock):
    batcher, hand = make(), Hand()
    batcher.idle(hand)
    batcher.submit(request("a"))
    batcher.submit(request("b")).cancel()
    gone = batcher.submit(request("c"))
    gone.is_awaited = lambda: False
    hand.answer()
    batcher.idle(hand)
    assert gone.cancelled() and not hand.batches
    clock.now += LONG
    batcher.submit(request("d"))
    batcher.submit(request("e")).is_awaited = lambda: pytest.fail("nobody leaves any more")
    hand.answer()
    batcher.idle(hand)
    assert hand.ids() == [["e"]]


def test_a_client_may_leave_while_its_batch_is_under_way(make):
    batcher, hand = make(batch_size=2), Hand()
    batcher.idle(hand)
    answers = [batcher.submit(request(name)) for name in "ab"]
    answers[0].cancel()
    hand.answer()
    assert answers[1].result().body == b"b"


def test_a_deadline_is_told_in_the_queue_and_the_job_never_runs(make, clock, log):
    batcher, hand = make(client_timeout=0.5), Hand()
    answer = batcher.submit(request("a"))
    clock.advance(0.5)
    with pytest.raises(DeadlineExceeded, match=r"after 0\.500 seconds; clientTimeoutInMills"):
        answer.result()
    batcher.idle(hand)
    assert hand.ids() == []
    assert log.reasons == ["deadline"]


def test_a_deadline_is_told_while_the_batch_is_under_way(make, clock, log):
    batcher, hand = make(client_timeout=0.5), Hand()
    batcher.idle(hand)
    answer = batcher.submit(request("a"))
    clock.advance(0.5)
    assert isinstance(answer.exception(), DeadlineExceeded)
    hand.answer()
    assert log.answers == []


def test_shut_answers_all_who_wait_and_refuses_all_who_come(make, log):
    batcher = make()
    answer = batcher.submit(request("a"))
    batcher.shut("nobody is left")
    assert isinstance(answer.exception(), NoWorkers)
    with pytest.raises(NoWorkers, match="nobody is left"):
        batcher.submit(request("b"))
    assert log.reasons == ["no_workers", "no_workers"]


def test_a_worker_that_is_forgotten_gets_nothing(make):
    batcher, hand = make(), Hand()
    batcher.idle(hand)
    assert batcher.is_idle(hand)
    batcher.forget(hand)
    batcher.forget(hand)
    assert not batcher.is_idle(hand)
    batcher.submit(request("a"))
    assert hand.ids() == []


def test_a_failed_batch_fails_each_of_its_jobs_with_an_error_of_its_own(make):
    batcher, hand = make(batch_size=2), Hand()
    batcher.idle(hand)
    answers = [batcher.submit(request(name)) for name in "ab"]
    hand.batches.pop().fail(WorkerDied("Worker died.", "killed by SIGKILL"))
    errors = [answer.exception() for answer in answers]
    assert [(str(error), error.detail) for error in errors] == [("Worker died.", "killed by SIGKILL")] * 2
    assert errors[0] is not errors[1]


RAISED = Failure("InferenceFailed", "Prediction failed", 503, "ValueError", raised=True)
BAD_ENDS = {
    "raises": lambda batch: batch.settle([RAISED] * len(batch.requests), REPORT),
    "dies": lambda batch: batch.fail(WorkerDied("Worker died.")),
}


@pytest.mark.parametrize("end", BAD_ENDS)
def test_requests_of_a_failed_batch_are_tried_again_alone_and_before_others(make, end):
    batcher, hand = make(batch_size=3, isolate=True), Hand()
    batcher.idle(hand)
    answers = [batcher.submit(request(name)) for name in "abc"]
    later = batcher.submit(request("d"))
    assert hand.ids() == [["a", "b", "c"]]
    answers[2].cancel()
    BAD_ENDS[end](hand.batches.pop())
    assert not answers[0].done() and batcher.flying == 0
    other = Hand()
    batcher.idle(other)
    assert other.ids() == [["a"]]
    other.answer()
    batcher.idle(other)
    assert other.ids() == [["b"]]
    BAD_ENDS[end](other.batches.pop())
    assert answers[0].result().body == b"a" and isinstance(answers[1].exception(), ServingError)
    assert not later.done() and len(batcher) == 1


@pytest.mark.parametrize(
    "end",
    [
        lambda batch: batch.fail(ResponseTimeout("Worker died.")),
        lambda batch: batch.settle([replace(RAISED, raised=False)] * 2, REPORT),
    ],
    ids=["too long", "not raised"],
)
def test_a_batch_that_no_single_request_has_spoilt_is_not_tried_again(make, end):
    batcher, hand = make(batch_size=2, isolate=True), Hand()
    batcher.idle(hand)
    answers = [batcher.submit(request(name)) for name in "ab"]
    end(hand.batches.pop())
    assert all(isinstance(answer.exception(), ServingError) for answer in answers) and len(batcher) == 0


def test_what_has_failed_while_the_model_goes_is_refused(make):
    batcher, hand = make(batch_size=2, isolate=True), Hand()
    batcher.idle(hand)
    answers = [batcher.submit(request(name)) for name in "ab"]
    batcher.shut("it is being removed")
    hand.batches.pop().fail(WorkerDied("Worker died."))
    assert all(isinstance(answer.exception(), NoWorkers) for answer in answers) and batcher.flying == 0


def test_a_full_queue_tells_when_there_will_be_room(make, clock):
    batcher, hand = make(limit=20), Hand()
    for name in range(20):
        batcher.submit(request(name))
    with pytest.raises(QueueFull) as caught:
        batcher.submit(request("too early to tell"))
    assert caught.value.retry_after == 0
    for _ in range(8):
        batcher.idle(hand)
        clock.advance(0.5)
        hand.answer()
        batcher.submit(request("next"))
    with pytest.raises(QueueFull) as caught:
        batcher.submit(request("one too many"))
    assert caught.value.retry_after == pytest.approx(20 * 0.5)


def test_time_without_requests_is_no_sign_of_a_slow_queue(make, clock):
    batcher, hand = make(limit=1), Hand()
    for _ in range(2):
        batcher.idle(hand)
        batcher.submit(request("a"))
        clock.advance(0.1)
        hand.answer()
        clock.advance(1000)
    batcher.submit(request("waits"))
    with pytest.raises(QueueFull) as caught:
        batcher.submit(request("b"))
    assert caught.value.retry_after < 1


def test_outcomes_may_differ_within_a_batch(make):
    batcher, hand = make(batch_size=2), Hand()
    batcher.idle(hand)
    good, bad = (batcher.submit(request(name)) for name in "ab")
    hand.batches.pop().settle([respond("a"), Failure("InferenceFailed", "too hot", 418)], REPORT)
    assert good.result().body == b"a"
    assert bad.exception().code == 418


def test_an_idle_worker_takes_what_is_there(make, clock):
    batcher, hand = make(batch_size=3, max_delay=60, fixed_delay=False), Hand()
    batcher.idle(hand)
    for name in "abc":
        batcher.submit(request(name))
    assert hand.ids() == [["a"]] and clock.pending() == 0
    hand.answer()
    batcher.idle(hand)
    assert hand.ids() == [["b", "c"]]


def crowd(make, clock, **options):
    """A batcher whose batches take 1 s + 1 s for each request, and whose four clients have just been answered."""
    batcher, hand = make(batch_size=4, fixed_delay=False, **options), Hand()
    for names in ("a", "a", "abcd", "abcd"):
        for name in names:
            batcher.submit(request(name))
        batcher.idle(hand)
        clock.advance(1 + len(names))
        hand.answer()
    batcher.idle(hand)
    return batcher, hand


def test_who_has_just_been_answered_is_waited_for(make, clock):
    batcher, hand = crowd(make, clock, max_delay=60)
    for name in "efgh":
        assert hand.ids() == []
        batcher.submit(request(name))
        clock.advance(0.2)
    assert hand.ids() == [["e", "f", "g", "h"]]


def test_one_more_is_waited_for_no_longer_than_it_saves(make, clock):
    batcher, hand = crowd(make, clock, max_delay=60)
    batcher.submit(request("e"))
    clock.advance(0.5)
    batcher.submit(request("f"))
    clock.advance(0.4)
    assert hand.ids() == []
    clock.advance(0.1)
    assert hand.ids() == [["e", "f"]] and clock.pending() == 0


@pytest.mark.parametrize(("delay", "waits"), [(60, 1), (0.3, 0.3)])
def test_nobody_waits_long_for_who_does_not_come(make, clock, delay, waits):
    batcher, hand = crowd(make, clock, max_delay=delay)
    batcher.submit(request("e"))
    clock.advance(waits - 0.01)
    assert hand.ids() == []
    clock.advance(0.02)
    assert hand.ids() == [["e"]] and clock.pending() == 0
    hand.answer()
    batcher.idle(hand)
    batcher.submit(request("f"))
    assert hand.ids() == [["f"]], "it is alone, as the one before was"


def test_a_request_that_comes_later_is_not_company_for_anybody(make, clock):
    batcher, hand = crowd(make, clock, max_delay=60)
    clock.advance(1.01)
    batcher.submit(request("e"))
    assert hand.ids() == [["e"]]


def test_a_late_answer_frees_no_worker_but_its_own(make):
    batcher, hands = make(batch_size=2, fixed_delay=False), [Hand(), Hand()]
    for name in "abcd":
        batcher.submit(request(name))
    for hand in hands:
        batcher.idle(hand)
    assert [hand.ids() for hand in hands] == [[["a", "b"]], [["c", "d"]]]


def at_a_pace(make, clock, max_wait, **options):
    """A batcher whose queue moves on by one request each half second."""
    batcher, hand = make(max_wait=max_wait, **options), Hand()
    answers = [batcher.submit(request(name)) for name in range(3)]
    batcher.idle(hand)
    for _ in range(2):
        clock.advance(0.5)
        hand.answer()
        batcher.idle(hand)
    assert [answer.done() for answer in answers] == [True, True, False]
    return batcher, hand


def test_who_would_wait_too_long_is_refused_at_once(make, clock, log):
    batcher, _ = at_a_pace(make, clock, max_wait=1.4)
    for name in range(3):
        batcher.submit(request(name))
    assert batcher.expected_wait == pytest.approx(1.5)
    with pytest.raises(QueueFull, match=r"the wait would be 1\.500 seconds; maxQueueWait allows 1\.4") as caught:
        batcher.submit(request("d"))
    assert caught.value.retry_after == pytest.approx(0.1) and log.reasons == ["wait_expected"]


def test_who_has_waited_too_long_is_refused(make, clock, log):
    batcher, hand = at_a_pace(make, clock, max_wait=1.2)
    early = batcher.submit(request("early"))
    clock.advance(0.6)
    late = batcher.submit(request("late"))
    assert batcher.oldest_wait == pytest.approx(0.6)
    clock.advance(0.6)
    with pytest.raises(QueueFull, match=r"has waited 1\.200 seconds; maxQueueWait allows 1\.2"):
        early.result()
    assert not late.done() and log.reasons == ["wait_exceeded"]
    hand.answer()
    batcher.idle(hand)
    clock.advance(9)
    assert hand.ids() == [["late"]] and not late.done(), "who is with a worker waits no more"
    assert batcher.oldest_wait == 0 and clock.pending() == 0


def test_the_status_of_who_is_refused_may_be_another(make):
    batcher = make(limit=1, overload_status=429)
    batcher.submit(request("a"))
    with pytest.raises(QueueFull) as caught:
        batcher.submit(request("b"))
    assert caught.value.code == 429


def asks(name, priority):
    return InferenceRequest(name, (), {"x-request-priority": str(priority)})


def test_a_high_priority_goes_first_but_nobody_starves(make, clock):
    batcher, hand = make(priorities=Priorities(3, 2, step=1)), Hand()
    batcher.submit(asks("low", 3))
    order = []
    for number in range(4):
        batcher.submit(asks(f"high {number}", 1))
        batcher.idle(hand)
        order += hand.ids()[0]
        clock.advance(0.8)
        hand.answer()
    assert order == ["high 0", "high 1", "high 2", "low"], "high 3 came more than two steps after it"


def test_each_priority_has_places_of_its_own(make):
    batcher = make(limit=2, priorities=Priorities(2, 2))
    assert batcher.limit == 4
    for name in "ab":
        batcher.submit(asks(name, 2))
    with pytest.raises(QueueFull):
        batcher.submit(asks("c", 2))
    batcher.submit(asks("d", 1))
    assert len(batcher) == 3


def test_the_expected_wait_counts_those_who_go_before(make, clock):
    batcher, _ = at_a_pace(make, clock, max_wait=1.4, priorities=Priorities(2, 2))
    for name in "abc":
        batcher.submit(asks(name, 2))
    with pytest.raises(QueueFull):
        batcher.submit(asks("d", 2))
    batcher.submit(asks("e", 1))


def test_to_refuse_takes_no_longer_the_more_wait(make, clock):
    batcher = make(limit=10_000)
    looked = []

    class Watched:
        """An answer that tells when it is looked at."""

        def done(self):
            looked.append(self)
            return False

    for job in range(10_000):
        batcher.submit(request(job))
    for job in batcher._line:
        job.answer = Watched()
    for _ in range(100):
        with pytest.raises(QueueFull):
            batcher.submit(request("one too many"))
    assert len(looked) == 10_000, "once, not each time"
    clock.advance(10_000 * LOOK_EACH)
    with pytest.raises(QueueFull):
        batcher.submit(request("one too many"))
    assert len(looked) == 20_000


def test_batches_are_allowed_while_all_workers_are_certain(make):
    sizing = AdaptiveSize("m")
    batcher, hands = make(sizing=sizing), [Hand(), Hand()]
    allowed = []
    for hand, engine in ((0, None), (0, {"answers_apart": True}), (1, None), (1, {"answers_apart": True})):
        batcher.learn(hands[hand], engine)
        allowed.append(sizing.learns)
    batcher.learn(hands[1], {"answers_apart": False})
    assert not sizing.learns
    batcher.forget(hands[1])
    batcher.learn(hands[0], {"answers_apart": True})
    assert allowed == [False, True, False, True] and sizing.learns


async def test_drained_waits_for_the_queue_and_for_what_is_under_way(log):
    batcher = Batcher(asyncio.get_running_loop(), log, batch_size=1, max_delay=0, limit=10)
    batcher.open()
    hand = Hand()
    batcher.idle(hand)
    answers = [batcher.submit(request(name)) for name in "ab"]
    drained = asyncio.ensure_future(batcher.drained())
    for _ in answers:
        await asyncio.sleep(0)
        assert not drained.done()
        hand.answer()
        batcher.idle(hand)
    await drained
    assert [answer.result().body for answer in answers] == [b"a", b"b"]


STEPS = st.one_of(
    st.tuples(st.just("submit"), st.booleans()),
    st.tuples(st.just("idle"), st.none()),
    st.tuples(st.just("leave"), st.integers(0, 40)),
    st.tuples(st.just("answer"), st.none()),
    st.tuples(st.just("die"), st.none()),
    st.tuples(st.just("wait"), st.sampled_from([0.01, 0.05, 0.1, 0.6])),
    st.tuples(st.just("shut"), st.none()),
)


@settings(max_examples=300)
@given(
    st.lists(STEPS, max_size=60),
    st.integers(1, 4),
    st.sampled_from([0, 0.1]),
    st.sampled_from([0, 0.5]),
    st.booleans(),
    st.booleans(),
    st.sampled_from([0, 0.3]),
)
def test_every_job_is_settled_once_in_order_and_in_batches_that_fit(
    steps, size, delay, timeout, isolate, fixed, max_wait
):
    clock, log = Clock(), Log()
    batcher = Batcher(
        clock, log, batch_size=size, max_delay=delay, fixed_delay=fixed, limit=8, client_timeout=timeout,
        max_wait=max_wait, isolate=isolate, clock=clock.time,
    )  # fmt: skip
    batcher.open()
    sent: list[str] = []
    answers: list[asyncio.Future] = []
    refused = 0
    busy: list[Hand] = []

    class Checked(Hand):
        def send(self, batch):
            super().send(batch)
            assert 1 <= len(batch.requests) <= size
            assert len(batch.requests) == 1 or not {request.id for request in batch.requests} & {*sent}
            sent.extend(request.id for request in batch.requests)
            assert not any(answers[int(r.id)].done() for r in batch.requests if int(r.id) < len(answers))
            idle.remove(self)
            busy.append(self)

    idle: list[Hand] = []
    for action, value in steps:
        if action == "submit":
            try:
                answers.append(batcher.submit(request(len(answers)), alone=value))
            except QueueFull:
                refused += 1
        elif action == "idle":
            idle.append(hand := Checked())
            batcher.idle(hand)
        elif action == "leave" and value < len(answers):
            answers[value].cancel()
        elif action == "answer" and busy:
            idle.append(hand := busy.pop(0))
            hand.answer()
            batcher.idle(hand)
        elif action == "die" and busy:
            busy.pop(0).batches.pop().fail(WorkerDied("Worker died."))
        elif action == "wait":
            clock.advance(value)
        elif action == "shut":
            batcher.shut("nobody")
            batcher.open()
    for hand in busy:
        hand.answer()
    idle.append(hand := Checked())
    busy.clear()
    batcher.idle(hand)
    while len(batcher) or busy:
        clock.advance(0.1)
        while busy:
            idle.append(hand := busy.pop(0))
            hand.answer()
            batcher.idle(hand)
    once = [*dict.fromkeys(sent)]
    assert once == sorted(once, key=int) and max(Counter(sent).values(), default=0) <= 1 + isolate
    assert all(answer.done() for answer in answers)
    never_sent = {str(index) for index in range(len(answers))} - set(sent)
    assert not any(answers[int(name)].exception() is None for name in never_sent if not answers[int(name)].cancelled())
    assert all(answers[int(name)].result().body == name.encode() for name in sent if succeeded(answers[int(name)]))
    batcher.close()
    assert clock.pending() == 0
    clock.loop.close()


def succeeded(answer: asyncio.Future) -> bool:
    return not answer.cancelled() and answer.exception() is None


RESPONSE = InferenceResponse(200, "", None, {}, b"")


@pytest.mark.parametrize(
    ("how", "given"), [("set_result", (RESPONSE,)), ("set_exception", (QueueFull("x"),)), ("cancel", ())]
)
async def test_an_answer_tells_its_listener_at_once_and_once(how, given):
    answer, told = Answer(), []
    answer.tell(told.append)
    getattr(answer, how)(*given)
    assert told == [answer] and answer.done()
    answer.cancel()
    assert told == [answer]
    late = []
    answer.tell(late.append)
    assert late == [answer]
    assert how != "set_exception" or answer.exception() is given[0]


async def test_whoever_settles_an_answer_is_not_told_what_its_listener_raises():
    raised = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: raised.append(context["exception"]))
    answer = Answer()

    def fail(_):
        raise OSError("no socket")

    answer.tell(fail)
    answer.set_result(RESPONSE)
    assert answer.result() is RESPONSE and [str(error) for error in raised] == ["no socket"]


def test_a_worker_gets_its_next_batch_before_answers_are_sent_but_nobody_waits_for_none(make):
    batcher, hand, order = make(), Hand(), []
    batcher.idle(hand)
    for name in "ab":
        batcher.submit(request(name)).tell(lambda answer: order.append(answer.result().body))
    for sent in ("b", None):
        with TURN:
            hand.answer()
            order.append(f"told {len(order)}" if sent is None else "settled")
            batcher.idle(hand)
            order.append(hand.ids())
    assert order == ["settled", [["b"]], b"a", b"b", "told 4", []]


def test_turns_may_be_within_each_other(clock):
    answer, told = Answer(loop=clock), []
    answer.tell(told.append)
    with TURN:
        with TURN:
            answer.set_result(RESPONSE)
        assert told == []
    assert told == [answer]
