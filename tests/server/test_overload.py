"""What becomes of requests when more come than can be served: who is refused, who goes first, who is never computed."""

import asyncio
import json
import re

import pytest

SOURCE = """
import os
import time

FOLDER = {folder!r}

def handle(data, context):
    for row in data or []:
        with open(os.path.join(FOLDER, "seen"), "a") as file:
            file.write(str(context.get_request_header(0, "name")) + " ")
        while not os.path.exists(os.path.join(FOLDER, "gate")):
            time.sleep(0.002)
    return data and ["done"] * len(data)
"""


class Gated:
    """A model whose handler notes each request, and waits until its gate is opened."""

    def __init__(self, client, folder):
        self.client, self.folder = client, folder
        self.calls = []

    def ask(self, name, path="/predictions/m", **options):
        options["headers"] = {"name": name, **options.pop("headers", {})}
        call = asyncio.ensure_future(self.client.inference.post(path, **options))
        self.calls.append(call)
        return call

    async def occupied(self):
        """Have the only worker busy."""
        call = self.ask("first")
        await self.until(lambda: self.model.status().queue.pending == 0 and self.seen() == ["first"])
        return call

    async def waiting(self, count):
        await self.until(lambda: self.model.status().queue.pending == count)

    async def until(self, true):
        async with asyncio.timeout(30):
            while not true():
                await asyncio.sleep(0.002)

    @property
    def model(self):
        return self.client.registry.get("m")

    def seen(self):
        file = self.folder / "seen"
        return file.read_text().split() if file.exists() else []

    async def open(self):
        (self.folder / "gate").touch()
        return await asyncio.gather(*self.calls)


@pytest.fixture
async def gated(serve, tmp_path):
    made = []

    async def gated(settings=None, **config):
        (folder := tmp_path / "gated").mkdir()
        client = await serve(SOURCE.format(folder=str(folder)), settings=settings, **config)
        made.append(Gated(client, folder))
        return made[-1]

    yield gated
    for each in made:
        await each.open()


def counted(gated, reason):
    text = gated.client.registry._metrics.exposition(["numserve_requests_rejected_total"]).decode()
    found = re.search(rf'numserve_requests_rejected_total{{model_name="m",reason="{reason}"}} (\S+)', text)
    return float(found[1]) if found else 0


@pytest.mark.parametrize("status", [503, 429])
async def test_the_status_of_who_is_refused_is_a_setting(gated, status):
    model = await gated({"overload_status": str(status)}, jobQueueSize=1)
    await model.occupied()
    model.ask("second")
    await model.waiting(1)
    refused = await model.ask("third")
    assert (refused.status_code, refused.json()["code"]) == (status, status)
    assert refused.json()["type"] == "ServiceUnavailableException" and int(refused.headers["retry-after"]) >= 1
    assert [answer.status_code for answer in await model.open()] == [200, 200, status]


async def test_who_has_waited_too_long_is_told_and_never_computed(gated):
    model = await gated(maxQueueWait=50)
    await model.occupied()
    late = await model.ask("late")
    assert (late.status_code, late.headers["retry-after"]) == (503, "1")
    assert re.match(r"the request has waited 0\.\d+ seconds; maxQueueWait allows 0\.05$", late.json()["message"])
    await model.open()
    await model.ask("next")
    assert model.seen() == ["first", "next"] and counted(model, "wait_exceeded") == 1


async def test_a_deadline_that_is_over_is_answered_and_never_computed(gated):
    model = await gated()
    await model.occupied()
    late = await model.ask("late", headers={"X-Request-Timeout": "0.05"})
    assert late.status_code == 504
    found = re.match(r"There was no answer after (\S+) seconds; x-request-timeout", late.json()["message"])
    assert 0.05 <= float(found[1]) < 30
    await model.open()
    await model.ask("next")
    assert model.seen() == ["first", "next"] and counted(model, "deadline") == 1


async def test_the_urgent_go_first(gated):
    model = await gated(priorityLevels=3)
    await model.occupied()
    said = {"x": ("low", {"headers": {"X-Request-Priority": "3"}}), "y": ("middle", {}), "z": ("high", {})}
    tensors = {"inputs": [], "parameters": {"priority": 1}}
    for count, (name, options) in enumerate(said.values(), 1):
        options = {"path": "/v2/models/m/infer", "json": tensors} if name == "high" else options
        model.ask(name, **options)
        await model.waiting(count)
    await model.open()
    assert model.seen() == ["first", "high", "middle", "low"]


async def test_a_priority_that_is_none_is_refused(gated):
    model = await gated(priorityLevels=3)
    refused = await model.ask("x", headers={"X-Request-Priority": "urgent"})
    assert (refused.status_code, refused.json()["type"]) == (400, "BadRequestException")
    assert refused.json()["message"] == "the priority is 'urgent'; expected 1, which goes first, to 3, or 0"


async def test_without_levels_a_priority_counts_for_nothing(gated):
    model = await gated()
    model.ask("x", headers={"X-Request-Priority": "urgent"})
    assert [answer.status_code for answer in await model.open()] == [200]


async def test_how_batches_are_made_is_told(gated):
    model = await gated(batchSize=4, maxBatchDelay=1)
    told = json.loads((await model.client.management.get("/models/m")).text)[0]["batching"]
    assert told == {
        "mode": "fixed", "size": 4, "sizeUnderLoad": 4, "millisecondsPerBatch": 0, "millisecondsPerRequest": 0
    }  # fmt: skip
