import asyncio
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numserve.server.batch import Answer, Batch
from numserve.server.batcher import Batcher
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


@settings(max_examples=300, deadline=None)
@given(
    st.lists(STEPS, max_size=60), st.integers(1, 4), st.sampled_from([0, 0.1]), st.sampled_from([0, 0.5]), st.booleans()
)
def test_every_job_is_settled_once_in_order_and_in_batches_that_fit(steps, size, delay, timeout, isolate):
    clock, log = Clock(), Log()
    batcher = Batcher(
        clock, log, batch_size=size, max_delay=delay, limit=8, client_timeout=timeout, isolate=isolate, clock=clock.time
    )
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
