import asyncio

import pytest
from numserve.server.batching.batcher import Batcher
from numserve.server.errors import ModelLoadFailed, NoWorkers, WorkerDied
from numserve.server.messages import (
    BatchReport,
    InferenceRequest,
    InferenceResponse,
    LoadFailure,
    LoadReport,
    ModelSpec,
)
from numserve.server.metrics.metrics import Metrics
from numserve.server.pool import DELAYS, WorkerPool
from numserve.server.wear import Wear
from numserve.server.workers.base import Load

LOADED = LoadReport(0.1, 1000)


class Scripted:
    """A worker that does what a test tells it to."""

    available = True

    def __init__(self) -> None:
        self.pid = None
        self.batch = None

    async def run(self, load, idle):
        self.name, self._idle = load.name, idle
        self._end = asyncio.get_running_loop().create_future()
        self.pid = 4711
        try:
            await self._end
        finally:
            if self.batch:
                self.batch.fail(WorkerDied("Worker died."))

    def send(self, batch):
        self.batch = batch

    def load(self):
        self._idle(self, LOADED)

    def answer(self):
        batch, self.batch = self.batch, None
        report = BatchReport(0.1, 2000, requests=len(batch.requests))
        batch.settle([InferenceResponse(200, "", None, {}, r.id.encode()) for r in batch.requests], report)
        self._idle(self, report)

    def die(self, error=None):
        self._end.set_exception(error or WorkerDied("Worker died.", "killed by SIGKILL"))

    def cannot_load(self):
        self.die(ModelLoadFailed("m", "1.0", LoadFailure("import", "ImportError", "no such package", "handler.py:1")))


class House:
    """A pool of scripted workers, with a clock that only the pool's own waiting moves."""

    def __init__(self, window: float, wear: Wear) -> None:
        self.workers: list[Scripted] = []
        self.slept: list[float] = []
        self.now = 0.0
        self.awake = asyncio.Event()
        self.awake.set()
        self.metrics = Metrics("vm")
        counted = self.metrics.model("m", "1.0")
        self.batcher = Batcher(asyncio.get_running_loop(), counted, batch_size=1, max_delay=0, limit=10)
        self.pool = WorkerPool(
            self.batcher,
            self.metrics,
            counted,
            make=self.make,
            seat=self.seat,
            recovery_window=window,
            refusal="nobody is left",
            wear=wear,
            clock=lambda: self.now,
            sleep=self.sleep,
        )
        self.numbers = iter(range(9000, 9999))

    def make(self) -> Scripted:
        self.workers.append(Scripted())
        return self.workers[-1]

    def seat(self) -> tuple[int, Load]:
        number = next(self.numbers)
        return number, Load(ModelSpec("m", "1.0", "/", "handler"), f"W-{number}-m_1.0")

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await self.awake.wait()

    async def settle(self) -> None:
        for _ in range(10):
            await asyncio.sleep(0)

    async def start(self, count: int) -> list[Scripted]:
        scaled = asyncio.ensure_future(self.pool.scale(count, count))
        await self.settle()
        for worker in self.workers:
            worker.load()
        await scaled
        return self.workers

    def ask(self, name: str = "a") -> asyncio.Future:
        return self.batcher.submit(InferenceRequest(name, (), {}))

    def states(self) -> list[str]:
        return [status.state for status in self.pool.statuses()]

    def recycled(self) -> float:
        text = self.metrics.exposition(["numserve_worker_restarts_total"]).decode()
        return float(next(line for line in text.splitlines() if 'cause="recycled"' in line).split()[-1])


@pytest.fixture
async def make_house():
    houses = []

    def make(window: float = 300, **limits: int) -> House:
        houses.append(House(window, Wear(**limits)))
        return houses[-1]

    yield make
    for house in houses:
        house.batcher.close()
        await house.pool.stop()
        assert house.states() == []


@pytest.fixture
async def house(make_house) -> House:
    return make_house()


async def test_all_missing_workers_start_at_once(house):
    scaling = asyncio.ensure_future(house.pool.scale(3, 3))
    await house.settle()
    assert house.states() == ["loading"] * 3
    for worker in house.workers:
        assert not scaling.done()
        worker.load()
    await scaling
    assert house.states() == ["ready"] * 3
    assert [status.id for status in house.pool.statuses()] == ["9000", "9001", "9002"]


async def test_of_two_who_scale_in_the_same_moment_the_second_is_obeyed(house):
    await house.start(3)
    asyncio.ensure_future(house.pool.scale(1, 1))
    last = asyncio.ensure_future(house.pool.scale(3, 3))
    await house.settle()
    for worker in house.workers[3:]:
        worker.load()
    await last
    assert house.states() == ["ready"] * 3


async def test_a_load_failure_reaches_whoever_waits_and_the_worker_tries_again(house):
    scaling = asyncio.ensure_future(house.pool.scale(1, 1))
    await house.settle()
    house.workers[0].cannot_load()
    with pytest.raises(ModelLoadFailed):
        await scaling
    await house.settle()
    assert house.slept == [1]
    house.workers[1].load()
    assert house.states() == ["ready"]


async def test_who_scales_to_what_is_there_learns_that_it_cannot_load(house):
    house.awake.clear()
    with pytest.raises(ModelLoadFailed):
        scaling = asyncio.ensure_future(house.pool.scale(1, 1))
        await house.settle()
        house.workers[0].cannot_load()
        await scaling
    with pytest.raises(ModelLoadFailed):
        await house.pool.scale(1, 1)


async def test_who_scales_while_a_dead_worker_comes_back_waits_for_it(house):
    (worker,) = await house.start(1)
    worker.die()
    await house.settle()
    scaling = asyncio.ensure_future(house.pool.scale(1, 1))
    await house.settle()
    assert not scaling.done()
    house.workers[1].load()
    await scaling


async def test_a_dead_worker_fails_its_batch_alone_and_comes_back(house):
    worker, other = await house.start(2)
    kept, lost = house.ask("b"), house.ask("a")  # the worker that was idle last is asked first
    worker.die()
    await house.settle()
    other.answer()
    assert isinstance(lost.exception(), WorkerDied)
    assert kept.result().body == b"b"
    house.workers[2].load()
    assert house.states() == ["ready", "ready"]
    assert [status.id for status in house.pool.statuses()] == ["9000", "9001"]


async def test_the_queue_waits_for_a_worker_that_comes_back(house):
    (worker,) = await house.start(1)
    worker.die()
    await house.settle()
    answer = house.ask()
    house.workers[1].load()
    house.workers[1].answer()
    assert answer.result().body == b"a"


async def test_the_delays_grow_as_torchserves_do_and_end_with_the_window(house):
    await house.start(1)
    for _ in range(20):
        house.workers[-1].die()
        await house.settle()
        if house.states() == ["failed"]:
            break
    assert house.slept == [1, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144]
    assert house.slept == list(DELAYS[:12])


async def test_a_load_alone_does_not_reset_the_delays(house):
    await house.start(1)
    for _ in range(4):
        house.workers[-1].die()
        await house.settle()
    house.workers[-1].load()
    house.workers[-1].die()
    await house.settle()
    assert house.slept == [1, 1, 2, 3, 5]


@pytest.mark.parametrize(("deed", "delay"), [("has answered", 0), ("has a batch in hand", 1)])
async def test_service_resets_the_delays(house, deed, delay):
    await house.start(1)
    for _ in range(4):
        house.workers[-1].die()
        await house.settle()
    house.workers[-1].load()
    if deed == "has answered":
        await serve_one(house, house.workers[-1])
    else:
        house.ask()
    house.workers[-1].die()
    await house.settle()
    assert house.slept == [1, 1, 2, 3, delay]


async def test_a_worker_that_dies_whenever_it_has_loaded_is_a_crash_loop_with_an_end(house, caplog):
    await house.start(1)
    while house.states() != ["failed"]:
        house.workers[-1].load()
        assert house.pool.crash_loop() is None
        house.workers[-1].die()
        await house.settle()
    assert len(house.workers) == 13
    told = (
        "crash loop: given up after 13 attempts in 376 s, the last: Worker died. (killed by SIGKILL); scale the model"
    )
    assert told in house.pool.crash_loop() and told in caplog.text
    assert house.pool.count("failed") == 1
    scaling = asyncio.ensure_future(house.pool.scale(1, 1))
    await house.settle()
    assert house.pool.crash_loop() is None
    house.workers[-1].load()
    await scaling


async def test_one_that_is_given_up_beside_one_that_serves_is_no_crash_loop(make_house):
    house = make_house(window=0)
    worker, _ = await house.start(2)
    worker.die()
    await house.settle()
    assert (house.states(), house.pool.crash_loop()) == (["failed", "ready"], None)


async def test_a_worker_that_has_served_is_replaced_at_once(house):
    await house.start(1)
    for served in (0.5, 1, 60, 0):
        house.now += served
        house.workers[-1].die()
        await house.settle()
        house.workers[-1].load()
    assert house.slept == [1, 0, 0, 1]


async def serve_one(house, worker):
    answer = house.ask()
    await house.settle()
    worker.answer()
    await house.settle()
    return answer.result()


async def test_a_worker_that_has_served_enough_is_replaced_once_another_is_there(make_house):
    house = make_house(requests=2)
    (old,) = await house.start(1)
    await serve_one(house, old)
    assert len(house.workers) == 1
    await serve_one(house, old)
    assert len(house.workers) == 2 and house.states() == ["ready", "loading"]
    await serve_one(house, old)
    assert len(house.workers) == 2
    answer = house.ask("in hand")
    house.workers[1].load()
    await house.settle()
    old.answer()
    await house.settle()
    assert answer.result().body == b"in hand" and house.states() == ["ready"]
    assert await serve_one(house, house.workers[1])
    assert house.recycled() == 1


async def test_a_worker_that_uses_too_much_memory_is_replaced(make_house):
    house = make_house(memory=1500)
    (old,) = await house.start(1)
    await serve_one(house, old)
    assert len(house.workers) == 2


async def test_a_worker_stays_whose_successor_cannot_load_the_model(make_house):
    house = make_house(requests=1)
    (old,) = await house.start(1)
    await serve_one(house, old)
    house.workers[1].cannot_load()
    await house.settle()
    assert house.states() == ["ready"] and house.recycled() == 0
    assert (await serve_one(house, old)).body == b"a"


async def test_who_scales_calls_a_successor_off_and_another_one_is_tried_later(make_house, caplog):
    house = make_house(requests=1)
    (old,) = await house.start(1)
    await serve_one(house, old)
    await house.pool.scale(1, 1)
    await house.settle()
    assert house.states() == ["ready"] and "cannot load" not in caplog.text
    await serve_one(house, old)
    assert house.states() == ["ready", "loading"]


async def test_with_a_window_of_zero_nothing_is_tried_again_and_nobody_waits_in_vain(make_house):
    house = make_house(window=0)
    (worker,) = await house.start(1)
    house.ask("in hand")
    waiting = house.ask("waiting")
    worker.die()
    await house.settle()
    assert house.states() == ["failed"]
    assert isinstance(waiting.exception(), NoWorkers)
    with pytest.raises(NoWorkers, match="nobody is left"):
        house.ask()
    assert "killed by SIGKILL" in str(house.pool.error().explained())


async def test_scaling_revives_a_pool_that_has_given_up(make_house):
    house = make_house(window=0)
    (worker,) = await house.start(1)
    worker.die()
    await house.settle()
    scaling = asyncio.ensure_future(house.pool.scale(1, 1))
    await house.settle()
    house.workers[-1].load()
    await scaling
    assert house.states() == ["ready"]
    assert house.pool.statuses()[0].id == "9001"


async def test_a_failing_worker_says_why(house):
    house.awake.clear()
    (worker,) = await house.start(1)
    worker.die()
    await house.settle()
    (status,) = house.pool.statuses()
    assert (status.state, status.pid) == ("failing", None)
    assert status.last_error == "Worker died. (killed by SIGKILL)"
    assert house.pool.count("failing") == 1


async def test_a_worker_that_is_tried_again_still_says_why(house):
    (worker,) = await house.start(1)
    worker.die()
    await house.settle()
    assert house.states() == ["loading"]
    assert house.pool.error().detail == "killed by SIGKILL"
    house.workers[1].load()
    assert house.pool.error() is None


async def test_scaling_down_ends_idle_workers_first(house):
    await house.start(3)
    answer = house.ask()
    busy = next(worker for worker in house.workers if worker.batch)
    await house.pool.scale(1, 1)
    assert house.states() == ["ready"]
    busy.answer()
    assert answer.result().body == b"a"


async def test_scaling_down_lets_a_busy_worker_finish_its_batch(house):
    (worker,) = await house.start(1)
    answer = house.ask()
    scaling = asyncio.ensure_future(house.pool.scale(0, 0))
    await house.settle()
    assert house.states() == ["stopping"]
    worker.answer()
    await scaling
    assert answer.result().body == b"a"
    assert house.states() == []
    with pytest.raises(NoWorkers):
        house.ask()


async def test_a_busy_worker_that_dies_on_its_way_out_is_not_started_again(house):
    (worker,) = await house.start(1)
    answer = house.ask()
    scaling = asyncio.ensure_future(house.pool.scale(0, 0))
    await house.settle()
    worker.die()
    await scaling
    assert isinstance(answer.exception(), WorkerDied)
    assert len(house.workers) == 1


@pytest.mark.parametrize(("least", "most", "left"), [(1, 2, 2), (1, 5, 3), (4, 4, 4), (0, 3, 0)])
async def test_between_least_and_most_the_workers_stay(house, least, most, left):
    await house.start(3)
    scaling = asyncio.ensure_future(house.pool.scale(least, most))
    await house.settle()
    for worker in house.workers[3:]:
        worker.load()
    await scaling
    assert len(house.states()) == left


async def test_workers_that_are_loading_can_be_called_off(house):
    scaling = asyncio.ensure_future(house.pool.scale(2, 2))
    await house.settle()
    await house.pool.scale(0, 0)
    assert house.states() == []
    with pytest.raises(ModelLoadFailed) as caught:
        await scaling
    assert "called off" in caught.value.detail


async def test_requests_wait_while_the_first_worker_loads(house):
    scaling = asyncio.ensure_future(house.pool.scale(1, 1))
    await house.settle()
    answer = house.ask()
    house.workers[0].load()
    house.workers[0].answer()
    assert answer.result().body == b"a"
    await scaling


async def test_more_workers_and_fewer(house):
    await house.start(1)
    house.pool.grow()
    await house.settle()
    assert house.pool.use()[:3] == (2, 1, 0)
    house.workers[1].load()
    answer = house.ask()
    assert house.pool.use()[:3] == (2, 2, 1)
    house.pool.shrink()
    await house.settle()
    assert house.pool.use()[:3] == (1, 1, 1)
    next(worker for worker in house.workers if worker.batch).answer()
    assert answer.result().body == b"a"


async def test_what_comes_while_the_last_worker_goes_to_rest_is_answered_by_one_that_is_woken(house):
    (worker,) = await house.start(1)
    house.pool.rest()
    await house.settle()
    waiting = house.ask()
    assert house.pool.asleep and not worker.batch
    assert house.pool.wake(1) and not house.pool.wake(1)
    await house.settle()
    assert house.states() == ["loading"] and house.pool.asleep
    house.workers[1].load()
    assert not house.pool.asleep
    house.workers[1].answer()
    assert waiting.result().body == b"a"


async def test_who_cannot_be_woken_says_why(house):
    await house.start(1)
    house.pool.rest()
    await house.settle()
    assert house.states() == []
    house.pool.wake(1)
    await house.settle()
    house.workers[1].cannot_load()
    await house.settle()
    assert not house.pool.asleep and "no such package" in house.pool.error().detail


async def test_scaling_by_hand_ends_the_rest(house):
    await house.start(1)
    house.pool.rest()
    await house.settle()
    await house.pool.scale(0, 0)
    assert not house.pool.asleep
    with pytest.raises(NoWorkers):
        house.ask()


async def test_restarts_and_load_times_are_counted(house):
    (worker,) = await house.start(1)
    worker.die()
    await house.settle()
    text = house.metrics.exposition(["numserve_worker_restarts_total", "WorkerLoadTime"]).decode()
    assert 'numserve_worker_restarts_total{model_name="m",model_version="1.0",cause="died"} 1.0' in text
    assert 'WorkerLoadTime{WorkerName="W-9000-m_1.0"' in text
    await house.pool.stop()
    assert b"WorkerLoadTime" not in house.metrics.exposition(["WorkerLoadTime"])


async def test_a_fault_of_a_worker_class_does_not_end_its_supervision(house, caplog):
    (worker,) = await house.start(1)
    worker.die(RuntimeError("a bug"))
    await house.settle()
    assert "a bug" in caplog.text
    house.workers[1].load()
    assert house.states() == ["ready"]
