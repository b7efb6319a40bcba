"""Sequences and continuous batching through random histories: nothing is lost, and every rule holds at every step."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from numserve.server.batching.batch import Batch
from numserve.server.batching.continuous import ContinuousBatcher
from numserve.server.batching.sequences import ContinuousLane, Lane, Rules, SequenceBatcher
from numserve.server.errors import Unavailable, WorkerDied
from numserve.server.messages import BatchReport, InferenceRequest, InferenceResponse, Part, SequenceHeaders

from .silent import Silent

REPORT = BatchReport(0.001, 0)
HEADERS = SequenceHeaders("id", "start", "end")


class Clock:
    """Time that moves only when told; futures, and what they call back, are a real loop's."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.now = 0.0
        self.timers: list[tuple[float, Any, tuple[Any, ...], Any]] = []

    def create_future(self) -> asyncio.Future[Any]:
        return self.loop.create_future()

    def get_debug(self) -> bool:
        return self.loop.get_debug()

    def call_soon(self, *called: Any, **named: Any) -> Any:
        return self.loop.call_soon(*called, **named)

    def call_exception_handler(self, context: Any) -> None:
        self.loop.call_exception_handler(context)

    def call_later(self, delay: float, callback: Any, *arguments: Any) -> Any:
        timer = Timer()
        self.timers.append((self.now + delay, callback, arguments, timer))
        return timer

    def time(self) -> float:
        return self.now

    def settle(self) -> None:
        """Run what futures call back."""
        for _ in range(3):
            self.loop.run_until_complete(asyncio.sleep(0))

    def advance(self, seconds: float) -> None:
        end = self.now + seconds
        while due := sorted((t for t in self.timers if t[0] <= end), key=lambda timer: timer[0]):
            at, callback, arguments, timer = due[0]
            self.timers.remove(due[0])
            self.now = max(self.now, at)
            if not timer.cancelled:
                callback(*arguments)
                self.settle()
        self.now = end


class Timer:
    cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Hand:
    """A worker that keeps its batch until it is told what to do with it."""

    available = True

    def __init__(self) -> None:
        self.batch: Batch | None = None

    def send(self, batch: Batch) -> None:
        assert self.batch is None, "a worker has one batch at a time"
        self.batch = batch


def answer(text: str, **headers: str) -> InferenceResponse:
    return InferenceResponse(200, "", None, headers, text.encode())


def asked(name: str, **headers: str) -> InferenceRequest:
    return InferenceRequest(name, (Part("body", None, b"x"),), headers)


NUMBERS = st.integers(0, 20)
CONTINUOUS = st.one_of(
    st.tuples(st.just("submit"), st.integers(1, 4)),
    st.tuples(st.sampled_from(["hire", "round", "round", "fail", "die"]), NUMBERS),
    st.tuples(st.just("leave"), NUMBERS),
)


@settings(max_examples=200)
@given(st.lists(CONTINUOUS, max_size=50), st.integers(1, 3))
def test_each_request_gets_its_pieces_in_rounds_that_fit(steps: list[tuple[str, int]], size: int) -> None:
    clock = Clock()
    queue = ContinuousBatcher(clock, Silent(), batch_size=size, max_delay=5, limit=8, clock=clock.time)
    queue.open()
    hands: list[Hand] = []
    wanted: list[int] = []
    got: Counter[str] = Counter()
    answers: list[asyncio.Future[InferenceResponse]] = []
    home: dict[str, Hand] = {}

    def gone(number: int) -> bool:
        future = answers[number]
        return future.cancelled() or (future.done() and not future.exception() and ended(future.result()))

    def ended(response: InferenceResponse) -> bool:
        return response.further is None or response.further.ended  # type: ignore[attr-defined]

    def run_round(hand: Hand) -> None:
        batch, hand.batch = hand.batch, None
        assert batch and 1 <= len(batch.requests) <= size
        outcomes = []
        for request in batch.requests:
            assert bool(request.parts) == (request.id not in home), "the body comes once"
            assert home.setdefault(request.id, hand) is hand
            got[request.id] += 1
            more = got[request.id] < wanted[int(request.id)]
            outcomes.append(answer("x", ts_stream_next="true" if more else "false"))
        batch.settle(outcomes, REPORT)
        queue.idle(hand)

    for action, value in steps:
        busy = [hand for hand in hands if hand.batch]
        if action == "submit":
            try:
                answers.append(queue.submit(asked(str(len(answers)))))
                wanted.append(value)
            except Unavailable:
                assert len(queue) == 8
        elif action == "hire":
            hands.append(Hand())
            queue.idle(hands[-1])
        elif action == "leave" and value < len(answers):
            future = answers[value]
            if future.done() and not future.cancelled() and not future.exception() and future.result().further:
                future.result().further.close()
            future.cancel()
        elif busy and action == "round":
            run_round(busy[value % len(busy)])
        elif busy and action in ("fail", "die"):
            hand = busy[value % len(busy)]
            batch, hand.batch = hand.batch, None
            assert batch
            batch.fail(WorkerDied("Worker died."))
            if action == "die":
                queue.forget(hand)
                hands.remove(hand)
            else:
                queue.idle(hand)
        clock.settle()
    hands.append(Hand())
    queue.idle(hands[-1])
    while busy := [hand for hand in hands if hand.batch]:
        run_round(busy[0])
    assert (len(queue), queue.flying) == (0, 0)
    for number, future in enumerate(answers):
        assert future.done()
        if not future.cancelled() and not future.exception() and got[str(number)] == wanted[number]:
            assert ended(future.result())
    assert all(gone(number) or answers[number].exception() or got[str(number)] for number in range(len(answers)))
    clock.loop.run_until_complete(queue.drained())
    queue.close()
    for future in answers:
        if not future.cancelled():
            future.exception()
    clock.settle()
    clock.loop.close()


STEPS = st.one_of(
    st.tuples(st.just("submit"), st.integers(0, 4)),
    st.tuples(st.sampled_from(["hire", "answer", "answer", "end", "fail", "die"]), NUMBERS),
    st.tuples(st.just("leave"), NUMBERS),
    st.tuples(st.just("wait"), st.integers(1, 8)),
)


@settings(max_examples=200)
@given(st.lists(STEPS, max_size=60), st.integers(1, 3), st.integers(1, 4), st.sampled_from([0, 6]), st.booleans())
def test_a_sequence_keeps_its_worker_and_its_order(
    steps: list[tuple[str, int]], size: int, most: int, max_age: float, continuous: bool
) -> None:
    clock = Clock()
    rules = Rules(most=most, waiting=2, max_idle=4, max_age=max_age, side_by_side=2 if continuous else 1)

    def make_lane(answered: Any) -> Lane:
        kind = ContinuousLane if continuous else Lane
        return kind(clock, Silent(), batch_size=size, max_delay=1, limit=99, answered=answered, clock=clock.time)

    queue = SequenceBatcher(
        clock, Silent(), rules, HEADERS, make_lane, workers=lambda: 2, client_timeout=9, clock=clock.time
    )
    queue.open()
    hands: list[Hand] = []
    answers: list[asyncio.Future[InferenceResponse]] = []
    lives: dict[str, int] = {}
    seen: dict[str, int] = {}

    def check(hand: Hand) -> None:
        assert hand.batch
        names = [request.headers["id"] for request in hand.batch.requests]
        assert len(set(names)) == len(names) <= size
        for request in hand.batch.requests:
            assert seen.get(request.headers["id"], -1) < int(request.id), "a sequence is in its order"
            seen[request.headers["id"]] = int(request.id)
        sequences = [each for each in queue._sequences.values() if each.lane is queue._lanes[hand]]
        assert len(sequences) <= rules.share(2)
        assert len(queue._sequences) <= most

    for action, value in steps:
        busy = [hand for hand in hands if hand.batch]
        if action == "submit":
            name = f"s{value}"
            try:
                answers.append(queue.submit(asked(str(len(answers)), id=name)))
            except Unavailable:
                sequence = queue._sequences.get(name)
                assert len(sequence.waiting) == 2 if sequence else len(queue._sequences) == most
        elif action == "hire" and len(hands) < 2:
            hands.append(Hand())
            queue.idle(hands[-1])
        elif action == "leave" and value < len(answers):
            answers[value].cancel()
        elif action == "wait":
            clock.advance(value / 2)
        elif busy:
            hand = busy[value % len(busy)]
            check(hand)
            batch, hand.batch = hand.batch, None
            assert batch
            lives.update({request.headers["id"]: id(hand) for request in batch.requests})
            if action in ("answer", "end"):
                ending = {"end": "true"} if action == "end" else {}
                batch.settle([answer("x", id=r.headers["id"], **ending) for r in batch.requests], REPORT)
                if action == "end":
                    assert not {r.headers["id"] for r in batch.requests} & queue._sequences.keys()
                queue.idle(hand)
            else:
                batch.fail(WorkerDied("Worker died."))
                if action == "die":
                    queue.forget(hand)
                    hands.remove(hand)
                else:
                    queue.idle(hand)
        clock.settle()
    for _ in range(2 - len(hands)):
        hands.append(Hand())
        queue.idle(hands[-1])
    for _ in range(200):
        clock.advance(0.5)
        for hand in hands:
            if hand.batch:
                check(hand)
                batch, hand.batch = hand.batch, None
                batch.settle([answer("x") for _ in batch.requests], REPORT)
                queue.idle(hand)
                clock.settle()
    assert (len(queue), queue.flying) == (0, 0)
    assert all(future.done() for future in answers)
    assert not queue._sequences, "all have been idle"
    clock.loop.run_until_complete(queue.drained())
    queue.close()
    assert not [timer for *_, timer in clock.timers if not timer.cancelled]
    for future in answers:
        if not future.cancelled():
            future.exception()
    clock.loop.close()
