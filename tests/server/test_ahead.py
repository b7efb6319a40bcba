"""Batches that a worker is sent before it has answered the last: who gets them, and what becomes of them."""

import asyncio
import contextlib
import math
import os
import socket
import textwrap
from collections import Counter, deque
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numserve.server.batching.ahead import AHEAD_SECONDS, LARGE, MOST, Ahead
from numserve.server.batching.batcher import LOOK_SECONDS, Batcher
from numserve.server.batching.priority import Priorities
from numserve.server.errors import QueueFull, WorkerDied
from numserve.server.messages import BatchReport, InferenceRequest, InferenceResponse, LoadReport, ModelSpec, Part
from numserve.server.workers.base import Load
from numserve.server.workers.child import Incoming
from numserve.server.workers.claims import NUMBERS, Claims
from numserve.server.workers.memory import Memory
from numserve.server.workers.process import ProcessWorker
from numserve.server.workers.wire import Kind, number_of, pack, pack_batch, pack_stop, unpack_batch

from .silent import Silent


class Loop:
    """Calls what is to be called soon when it is told to; time stands still."""

    def __init__(self) -> None:
        self.real = asyncio.new_event_loop()
        self.soon: list = []
        self.now = 0.0

    def create_future(self):
        return self.real.create_future()

    def get_debug(self):
        return False

    def call_soon(self, callback, *arguments, context=None):
        self.soon.append((callback, arguments))

    def call_later(self, delay, callback):
        return self.real.call_later(delay, callback)

    def turn(self) -> None:
        while self.soon:
            callback, arguments = self.soon.pop(0)
            callback(*arguments)


class Stack:
    """A worker that keeps what it is sent until told to go on."""

    takes_ahead = available = True

    def __init__(self, begun: list[str] | None = None) -> None:
        self.hand: deque = deque()
        self.begun = [] if begun is None else begun
        self.on_ahead = lambda: None
        self.looks: list[bool] = []

    def look(self) -> None:
        self.looks.append(True)

    def send(self, batch) -> None:
        assert not self.hand
        self.hand.append(batch)

    def send_ahead(self, batch) -> None:
        assert self.hand
        self.on_ahead()
        self.hand.append(batch)

    def ids(self) -> list[str]:
        return [request.id for batch in self.hand for request in batch.requests]

    def answer(self) -> None:
        """Begin the first batch and answer it; the next one's turn has come then."""
        batch = self.hand.popleft()
        self.begun += [request.id for request in batch.requests]
        batch.settle([InferenceResponse(200, "", None, {}, r.id.encode()) for r in batch.requests], BatchReport(0, 0))
        if self.hand:
            self.hand[0].begin()

    def give_back(self, kept: int = 1) -> None:
        while len(self.hand) > kept:
            self.hand.pop().give_back()


def request(name: object, size: int = 0) -> InferenceRequest:
    return InferenceRequest(str(name), (Part("body", None, bytes(size)),), {})


@pytest.fixture
def loop():
    loop = Loop()
    yield loop
    loop.real.close()


def batcher_of(loop: Loop, **options) -> Batcher:
    options = {"batch_size": 1, "max_delay": 0, "limit": 100, "ahead": True} | options
    batcher = Batcher(loop, Silent(), clock=lambda: loop.now, **options)
    batcher.open()
    return batcher


@pytest.fixture
def make(loop):
    """A batcher, and a worker that has just answered a quick request."""

    def make(**options) -> tuple[Batcher, Stack]:
        batcher, stack = batcher_of(loop, **options), Stack()
        batcher.idle(stack)
        batcher.submit(request("first"))
        stack.answer()
        batcher.idle(stack, 0.0)
        return batcher, stack

    return make


def test_a_quick_worker_gets_what_waits_while_it_is_busy(make):
    batcher, stack = make()
    answers = [batcher.submit(request(name)) for name in "abc"]
    assert stack.ids() == ["a", "b", "c"]
    assert (len(batcher), batcher.flying) == (2, 1)  # what is not begun still waits
    for _ in answers:
        stack.answer()
        batcher.idle(stack, 0.0)
    assert [answer.result().body for answer in answers] == [b"a", b"b", b"c"]
    assert (len(batcher), batcher.flying, batcher.is_idle(stack)) == (0, 0, True)


@pytest.mark.parametrize(
    "options", [{"ahead": False}, {"batch_size": 2}, {"priorities": Priorities(levels=2, default=1)}]
)
def test_nothing_goes_ahead_unless_all_are_alike_and_batches_of_one(make, options):
    batcher, stack = make(**options)
    for name in "abcdefgh":
        batcher.submit(request(name))
    assert len(stack.hand) == 1


def test_what_a_worker_has_in_hand_is_done_soon(loop):
    ahead = Ahead(True)
    worker = Stack()
    for took, most in ((math.inf, 0), (AHEAD_SECONDS, 0), (AHEAD_SECONDS / 4, 0)):
        ahead.answered(worker, took)
        assert ahead.most == most
    for _ in range(200):  # the slow one is forgotten
        ahead.answered(worker, AHEAD_SECONDS / 4)
    assert ahead.most == 4
    for _ in range(400):
        ahead.answered(worker, 1e-6)
    assert ahead.most == MOST
    ahead.answered(worker, 1.0)
    assert ahead.most == 0


def test_large_requests_stay_in_the_queue(make):
    batcher, stack = make()
    for size in (0, 1, LARGE, 1):
        batcher.submit(request(size, size))
    assert stack.ids() == ["0", "1"]


def test_some_stay_for_the_worker_that_is_idle_first(make):
    batcher, first = make()
    second = Stack()
    batcher.idle(second, 0.0)
    for name in range(6):
        batcher.submit(request(name))
    assert sorted(map(len, (first.hand, second.hand))) == [2, 3]
    assert len(batcher) == 4  # three in their hands, and one in the queue


def test_who_was_slow_gets_nothing_ahead_until_it_has_answered(make, loop):
    batcher, stack = make()
    answers = [batcher.submit(request(name)) for name in "abc"]
    stack.give_back()
    loop.turn()
    assert (stack.ids(), len(batcher), batcher.flying) == (["a"], 2, 1)
    stack.answer()
    batcher.idle(stack, 0.0)
    assert stack.ids() == ["b", "c"]
    assert answers[0].result().body == b"a"


def test_a_worker_between_two_batches_gives_back_all(make, loop):
    batcher, stack = make()
    for name in "abc":
        batcher.submit(request(name))
    stack.answer()
    batcher.idle(stack, 0.0)
    assert (len(batcher), batcher.flying) == (1, 1)  # it is b's turn
    stack.give_back(kept=0)
    assert (len(batcher), batcher.flying, stack.ids()) == (2, 0, [])
    batcher.idle(stack, 0.0)
    assert (len(batcher), batcher.flying, stack.ids()) == (1, 1, ["b", "c"])


def test_what_comes_back_goes_to_whoever_is_idle_before_others(make, loop):
    batcher, stack = make()
    for name in "abc":
        batcher.submit(request(name))
    other = Stack()
    stack.give_back()
    batcher.idle(other, 0.0)
    loop.turn()
    assert (stack.ids(), other.ids()) == (["a"], ["b"])


def test_a_client_that_leaves_takes_back_what_came_back(make, loop):
    batcher, stack = make()
    answers = [batcher.submit(request(name)) for name in "abc"]
    answers[1].cancel()
    stack.give_back()
    loop.turn()
    stack.answer()
    batcher.idle(stack, 0.0)
    assert stack.ids() == ["c"]


def test_a_worker_that_is_to_leave_finishes_what_it_has_and_gets_no_more(make):
    batcher, stack = make()
    for name in range(MOST + 3):
        batcher.submit(request(name))
    told = []
    while stack.hand:
        stack.answer()
        told.append(batcher.finishes(stack))
        if told[-1]:
            batcher.idle(stack, 0.0)
    assert told == [True] * (MOST - 1) + [False] and len(batcher) == 3


def test_what_a_forgotten_worker_gives_back_waits(make, loop):
    batcher, stack = make()
    answers = [batcher.submit(request(name)) for name in "ab"]
    batcher.forget(stack)
    stack.give_back()
    stack.hand.pop().fail(WorkerDied("Worker died."))
    loop.turn()
    assert isinstance(answers[0].exception(), WorkerDied) and len(batcher) == 1
    batcher.shut("nobody")
    assert answers[1].done() and (len(batcher), batcher.flying) == (0, 0)


def test_those_sent_ahead_count_as_waiting(make):
    batcher, stack = make(limit=3)
    for name in "abcd":
        batcher.submit(request(name))
    with pytest.raises(QueueFull):
        batcher.submit(request("e"))


def test_before_somebody_is_refused_workers_are_looked_at(make, loop):
    batcher, stack = make(limit=1)
    first, second = (batcher.submit(request(name)) for name in "ab")
    stack.looks = []
    with pytest.raises(QueueFull):
        batcher.submit(request("c"))
    assert stack.looks == [True]

    def look():
        stack.answer()
        batcher.idle(stack, 0.0)

    stack.look = look
    loop.now += LOOK_SECONDS
    third = batcher.submit(request("d"))
    assert first.done() and not second.done() and not third.done()


ACTIONS = st.one_of(
    st.tuples(st.just("submit"), st.integers(1, 4)),
    st.tuples(st.just("start"), st.none()),
    st.tuples(st.just("answer"), st.tuples(st.integers(0, 2), st.sampled_from([0.0, AHEAD_SECONDS / 3, 1.0]))),
    st.tuples(st.just("give back"), st.tuples(st.integers(0, 2), st.integers(0, 1))),
    st.tuples(st.just("die"), st.tuples(st.integers(0, 2), st.booleans())),
    st.tuples(st.just("leave"), st.integers(0, 60)),
    st.tuples(st.just("turn"), st.none()),
)


@settings(max_examples=200)
@given(st.lists(ACTIONS, max_size=80))
def test_every_job_is_begun_once_at_most_and_settled_once(actions):
    loop, begun = Loop(), []
    batcher = batcher_of(loop, limit=200)
    workers: list[Stack] = []
    answers: list[asyncio.Future] = []
    died: set[str] = set()

    def nobody_is_idle() -> None:
        assert not any(batcher.is_idle(worker) for worker in workers)

    def start() -> None:
        workers.append(worker := Stack(begun))
        worker.on_ahead = nobody_is_idle
        batcher.idle(worker)

    def answer(worker: Stack, took: float) -> None:
        worker.answer()
        batcher.idle(worker, took)

    for action, value in actions:
        if action == "submit":
            answers += [batcher.submit(request(len(answers) + more)) for more in range(value)]
        elif action == "start" and len(workers) < 3:
            start()
        elif action == "answer" and value[0] < len(workers) and workers[value[0]].hand:
            answer(workers[value[0]], value[1])
        elif action == "give back" and value[0] < len(workers) and len(workers[value[0]].hand) > 1:
            worker, ahead = workers[value[0]], hasattr(workers[value[0]].hand[0], "give_back")
            worker.give_back(value[1] if ahead else 1)
            if not worker.hand:
                batcher.idle(worker, 0.0)
        elif action == "die" and value[0] < len(workers):
            worker = workers.pop(value[0])
            if value[1]:
                batcher.forget(worker)
            worker.available = worker.takes_ahead = False
            worker.give_back()
            if worker.hand:
                died |= {*worker.ids()}
                begun += worker.ids()
                worker.hand.pop().fail(WorkerDied("Worker died."))
            batcher.forget(worker)
        elif action == "leave" and value < len(answers):
            answers[value].cancel()
        elif action == "turn":
            loop.turn()
        assert all(len(worker.hand) <= MOST for worker in workers)
        assert len(batcher) + batcher.flying <= len(answers)
    start()
    while len(batcher) or batcher.flying:
        loop.turn()
        for worker in workers:
            if worker.hand:
                answer(worker, 0.0)
    assert max(Counter(begun).values(), default=0) <= 1
    for number, each in enumerate(answers):
        assert each.cancelled() or (
            isinstance(each.exception(), WorkerDied) if str(number) in died else each.result().body == b"%d" % number
        )
    assert all(batcher.is_idle(worker) for worker in workers)
    batcher.close()
    loop.real.close()


def test_a_claim_is_for_one_batch_and_what_was_taken_back_is_nobodys():
    server = Claims.create()
    worker = Claims(os.dup(server.reading))
    server.offer(bytes([1, 2, 3]))
    assert worker.claim(1) and server.take_back() == bytes([2, 3])
    assert not worker.claim(2)
    server.offer(bytes([5]))  # another one was sent before it was come to
    assert not worker.claim(3) and not worker.claim(4) and worker.claim(5) and not worker.claim(6)
    server.offer(bytes(range(100)) + bytes([NUMBERS - 1]))
    assert len(server.take_back()) == 101 and server.take_back() == b""
    server.close()
    worker.close()


@pytest.fixture
def wire():
    """What a worker reads, the socket it comes from, and the server's end of the claims."""
    ours, theirs = socket.socketpair()
    with ours, theirs, contextlib.closing(Memory.create()) as memory, contextlib.closing(Claims.create()) as claims:
        frame = b"".join(pack(Kind.MEMORY, None))
        socket.send_fds(ours, [frame], [memory.descriptor, claims.reading])
        incoming = Incoming(theirs)
        assert next(incoming).kind is Kind.MEMORY
        yield incoming, lambda *frames: ours.sendall(b"".join(map(b"".join, frames))), claims
        for each in (incoming.memory, incoming._claims):
            each.close()


def test_only_the_batch_that_is_meant_is_stopped(wire):
    incoming, send, claims = wire
    claims.offer(bytes([7, 8]))
    send(pack_batch([request("a")], 7, ahead=True), pack_batch([request("b")], 8, ahead=True))
    assert incoming.claims(next(incoming)) and not incoming.asks_to_stop()
    send(pack_stop(7))
    assert incoming.asks_to_stop()
    assert incoming.claims(next(incoming))
    send(pack_stop(7))  # too late: it was for the batch before
    assert not incoming.asks_to_stop()
    send(pack_stop(8))
    assert incoming.asks_to_stop()


@pytest.mark.parametrize("cut", [0, 5000])
def test_what_comes_meanwhile_changes_no_body(wire, cut):
    incoming, send, claims = wire
    first, *others = (InferenceRequest("r", (Part("body", None, bytes([n]) * 9000),), {}) for n in range(9))
    ahead = [b"".join(pack_batch([each], n, ahead=True)) for n, each in enumerate(others)]
    send(pack_batch([first], 99), [ahead[0], ahead[1][:cut]])
    claims.offer(bytes(range(8)))
    (got,) = unpack_batch(next(incoming))
    send([ahead[1][cut:], *ahead[2:]])
    assert not incoming.asks_to_stop()
    assert got == first
    for number, each in enumerate(others):
        frame = next(incoming)
        assert number_of(frame) == number and incoming.claims(frame) and unpack_batch(frame) == [each]


HANDLER = """
    import os, pathlib, time

    def handle(rows, context):
        for row in rows or []:
            body = bytes(row["body"])
            with open("begun", "ab") as file:
                file.write(body[:8] + b"\\n")
            if body == b"die":
                os._exit(7)
            while body == b"wait" and not pathlib.Path("go").exists():
                time.sleep(0.001)
        return [b"x" * 200_000 if body == b"much" else body for _ in rows or []]
"""


class Serving:
    """A batcher and real workers, all of which are taken for quick."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.load = Load(ModelSpec("m", "1.0", str(folder), "handler"), "W-9000-m_1.0", response_timeout=30)
        self.batcher = Batcher(asyncio.get_running_loop(), Silent(), batch_size=1, max_delay=0, limit=1000, ahead=True)
        self.batcher.open()
        self.tasks: list[asyncio.Task] = []
        self.workers: list[ProcessWorker] = []
        self.ahead = 0

    async def start(self) -> ProcessWorker:
        """One more worker, ready and found to be quick."""
        loaded = asyncio.Event()
        serving = self

        class Counting(ProcessWorker):
            def send_ahead(self, batch):
                serving.ahead += 1
                super().send_ahead(batch)

        def idle(worker, report):
            loaded.set()
            self.batcher.idle(worker, math.inf if isinstance(report, LoadReport) else 0.0)

        self.workers.append(worker := Counting())
        self.tasks.append(asyncio.create_task(worker.run(self.load, idle)))
        async with asyncio.timeout(30):
            await loaded.wait()
        return worker

    def ask(self, *bodies: bytes) -> list[asyncio.Future]:
        return [self.batcher.submit(InferenceRequest("r", (Part("body", None, body),), {})) for body in bodies]

    async def answers(self, *bodies: bytes) -> list[bytes]:
        async with asyncio.timeout(30):
            return [bytes(answer.body) for answer in await asyncio.gather(*self.ask(*bodies))]

    def begun(self) -> list[str]:
        return (self.folder / "begun").read_text().split()

    async def stop(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        self.batcher.close()


@pytest.fixture
async def serving(tmp_path):
    (tmp_path / "handler.py").write_text(textwrap.dedent(HANDLER))
    serving = Serving(tmp_path)
    await serving.start()
    assert await serving.answers(b"first") == [b"first"]
    yield serving
    await serving.stop()


async def test_what_goes_ahead_is_answered_in_order(serving):
    bodies = [b"%d" % number for number in range(200)]
    assert await serving.answers(*bodies) == bodies
    assert serving.ahead and serving.begun() == ["first", *(body.decode() for body in bodies)]


async def test_a_look_from_within_an_answer_harms_none(serving):
    bodies = [b"%d" % number for number in range(300)]
    answers = serving.ask(*bodies)
    for answer in answers:
        answer.tell(lambda _: serving.workers[0].look())
    async with asyncio.timeout(30):
        assert [answer.body for answer in await asyncio.gather(*answers)] == bodies


async def test_large_bodies_and_answers_go_among_small_ones(serving):
    bodies = [b"a", b"much", b"b", b"y" * 300_000, b"much", b"c", b"z" * 100_000] * 5
    assert await serving.answers(*bodies) == [b"x" * 200_000 if body == b"much" else body for body in bodies]


async def test_a_dead_worker_has_only_spoilt_what_it_had_begun(serving):
    before, (died, *behind) = serving.ask(b"a", b"b"), serving.ask(b"die", b"c", b"d", b"e")
    async with asyncio.timeout(30):
        await asyncio.wait([died])
        assert [answer.result().body for answer in before] == [b"a", b"b"]
        assert isinstance(died.exception(), WorkerDied)
        assert serving.begun() == ["first", "a", "b", "die"]
        await serving.start()
        assert [answer.body for answer in await asyncio.gather(*behind)] == [b"c", b"d", b"e"]
    assert serving.begun() == ["first", "a", "b", "die", "c", "d", "e"]


async def test_nobody_waits_behind_a_slow_request_while_a_worker_is_idle(serving):
    slow, *behind = serving.ask(b"wait", b"a", b"b")
    assert serving.ahead == 2
    await serving.start()
    async with asyncio.timeout(30):
        assert [answer.body for answer in await asyncio.gather(*behind)] == [b"a", b"b"]
        assert not slow.done()
        (serving.folder / "go").touch()
        await slow
    bodies = [b"%d" % number for number in range(50)]  # both workers go on as before
    assert sorted(await serving.answers(*bodies)) == sorted(bodies)
    assert max(Counter(serving.begun()).values()) == 1


async def test_a_worker_that_is_stopped_gives_back_what_it_has_not_begun(serving):
    slow, *behind = serving.ask(b"wait", b"a", b"b")
    serving.tasks[0].cancel()
    async with asyncio.timeout(30):
        await asyncio.wait([slow])
        assert isinstance(slow.exception(), WorkerDied) and not any(answer.done() for answer in behind)
        await serving.start()
        assert [answer.body for answer in await asyncio.gather(*behind)] == [b"a", b"b"]
