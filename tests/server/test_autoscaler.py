"""Models whose number of workers follows their load: inline workers, and limits of milliseconds."""

import asyncio
import logging

import pytest
from numserve.server.autoscaler import Autoscaler

SLOW = """
    import time

    def handle(data, context):
        for row in data or []:
            time.sleep(float(row["body"]))
        return ["done"] * len(data or [])
"""
QUICK = {"scaleUpWait": 0.02, "scaleDownAfter": 0.3}


@pytest.fixture(autouse=True)
def room(monkeypatch):
    """The machine of a test may be busy."""
    monkeypatch.setattr("numserve.server.machine.Machine.no_room", lambda self, needed: "")


async def until(condition):
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.fixture
async def served(serve):
    """A client, and the model, which may have one to three workers."""
    client = await serve(SLOW, **QUICK)
    model = client.registry.get("m")
    await model.scale(1, 3, synchronous=True)
    return client, model


async def describe(client):
    return (await client.management.get("/models/m")).json()[0]


async def counted(client) -> dict[str, float]:
    """The changes so far by their direction."""
    text = (await client.metrics.get("/metrics", params={"name[]": "numserve_worker_scalings_total"})).text
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return {line.split('direction="')[1].split('"')[0]: float(line.split()[-1]) for line in lines}


async def test_workers_come_with_the_load_and_go_with_it(served, caplog):
    client, model = served
    caplog.set_level(logging.INFO, "numserve")
    async with asyncio.TaskGroup() as tasks:
        asked = [tasks.create_task(client.predict(content=b"0.2")) for _ in range(40)]
        await until(lambda: len(model.status().workers) == 3)
    assert {task.result().status_code for task in asked} == {200}
    await until(lambda: len(model.status().workers) == 1)
    changes = await counted(client)
    assert changes["up"] >= 2 and changes["down"] == changes["up"]
    assert "model m 1.0: 1 → 2 workers: the oldest request has waited" in caplog.text
    told = (await describe(client))["autoscaling"]
    assert (told["scaleUpWait"], told["scaleDownAfter"], told["scaleToZeroAfter"]) == (0.02, 0.3, 0)
    assert told["lastDecision"]["workers"] == 1 and "(scaleDownAfter)" in told["lastDecision"]["reason"]


async def test_nothing_is_lost_while_workers_come_and_go(served):
    client, model = served
    sizes = set()
    for burst in (1, 12, 1, 1, 12, 1):
        answers = await asyncio.gather(*(client.predict(content=b"0.1") for _ in range(burst)))
        assert {answer.status_code for answer in answers} == {200}
        sizes.add(len(model.status().workers))
    assert len(sizes) > 1


async def test_a_model_without_a_range_is_left_alone_and_described_as_ever(serve):
    client = await serve(SLOW, **QUICK)
    answers = await asyncio.gather(*(client.predict(content=b"0.1") for _ in range(10)))
    assert {answer.status_code for answer in answers} == {200}
    assert len(client.registry.get("m").status().workers) == 1
    assert "autoscaling" not in await describe(client)


async def test_switched_off_the_number_is_management_s_alone(serve):
    client = await serve(SLOW, settings={"autoscaling": False}, scaleToZeroAfter=0.1, **QUICK)
    model = client.registry.get("m")
    await model.scale(1, 3, synchronous=True)
    answers = await asyncio.gather(*(client.predict(content=b"0.1") for _ in range(10)))
    assert {answer.status_code for answer in answers} == {200}
    assert len(model.status().workers) == 1
    assert "autoscaling" not in await describe(client) and await counted(client) == {}


async def test_a_model_of_sequences_is_left_alone(serve):
    client = await serve(SLOW, sequenceBatching=True, sequenceMaxIdleMSec=1000, scaleToZeroAfter=0.1)
    assert client.registry.get("m").scaling() is None


@pytest.fixture
async def asleep(serve):
    """A client, and a model whose two workers have gone for want of requests."""
    client = await serve(SLOW, workers=2, scaleToZeroAfter=0.2)
    model = client.registry.get("m")
    await until(lambda: model.status().state == "asleep" and not model.status().workers)
    return client, model


async def test_the_first_request_wakes_a_model_and_waits_for_it(asleep):
    client, model = asleep
    answers = await asyncio.gather(*(client.predict(content=b"0") for _ in range(3)))
    assert [answer.status_code for answer in answers] == [200] * 3
    assert len(model.status().workers) == 2, "it is woken to as many as it had"
    changes = await counted(client)
    assert changes["to_zero"] >= 1 and changes["from_zero"] == 1
    await until(lambda: model.status().state == "asleep")


async def test_a_model_that_sleeps_is_ready_and_healthy(asleep):
    client, model = asleep
    told = await describe(client)
    assert (told["state"], told["workers"], told["minWorkers"]) == ("asleep", [], 2)
    assert told["autoscaling"]["lastDecision"]["reason"] == "no request for 0.2 s (scaleToZeroAfter)"
    for path in ("/ping", "/v2/health/ready", "/v2/models/m/ready"):
        assert (await client.inference.get(path)).status_code == 200
    assert model.status().state == "asleep", "to be asked how one is wakes nobody"


async def test_who_scales_a_sleeping_model_to_none_means_it(asleep):
    client, model = asleep
    await model.scale(0, 0)
    assert (await client.predict(content=b"0")).status_code == 503
    assert model.status().state == "unloaded"


async def test_a_sleeping_model_can_be_removed(asleep):
    client, model = asleep
    await client.registry.unregister("m")
    assert (await client.predict(content=b"0")).status_code == 404


async def test_a_model_that_cannot_be_scaled_does_not_keep_others_from_it(caplog):
    looked = asyncio.Event()

    class Broken:
        def look(self, machine):
            raise RuntimeError("a bug")

    class Whole:
        asleep = False

        def look(self, machine):
            looked.set()

    autoscaler = Autoscaler()
    models = [Broken(), Whole()]
    for model in models:
        autoscaler.watch(model)
    async with asyncio.timeout(30):
        await looked.wait()
        looked.clear()
        await looked.wait()
    assert "a bug" in caplog.text
    for model in models:
        autoscaler.leave(model)
    assert autoscaler._task is None


async def test_a_model_that_sleeps_is_looked_at_no_more():
    class Model:
        def __init__(self, asleep):
            self.asleep, self.looks = asleep, 0

        def look(self, machine):
            self.looks += 1

    autoscaler = Autoscaler(sleep=lambda seconds: asyncio.sleep(0))
    sleeper, awake = Model(True), Model(False)
    for model in (sleeper, awake):
        autoscaler.watch(model)
    await until(lambda: awake.looks > 3)
    assert sleeper.looks == 1
    autoscaler.watch(sleeper)
    autoscaler.leave(awake)
    await until(lambda: autoscaler._task is None)
    assert sleeper.looks == 2
