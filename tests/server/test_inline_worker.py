"""What holds for a worker that is a thread of the server; what it shares with a process is tested there."""

import asyncio
import json
import os
import threading

import pytest
from numserve.server.batching.batcher import Batcher
from numserve.server.errors import ModelLoadFailed, WorkerDied
from numserve.server.messages import InferenceRequest, ModelSpec, Part
from numserve.server.metrics.metrics import Metrics
from numserve.server.workers.base import Load
from numserve.server.workers.inline import InlineWorker


@pytest.fixture
def run(tmp_path):
    """Run a handler's source inline; gives the worker's task and a batcher that feeds it."""

    def run(source: str) -> tuple[asyncio.Task, Batcher]:
        (tmp_path / "handler.py").write_text(source)
        counted = Metrics("vm").model("m", "1.0")
        batcher = Batcher(asyncio.get_running_loop(), counted, batch_size=4, max_delay=0, limit=9)
        batcher.open()
        load = Load(ModelSpec("m", "1.0", str(tmp_path), "handler"), "W-9000-m_1.0")
        return asyncio.ensure_future(InlineWorker().run(load, lambda worker, _: batcher.idle(worker))), batcher

    return run


def ask(batcher: Batcher, body: bytes = b"x") -> asyncio.Future:
    return batcher.submit(InferenceRequest("1", (Part("body", None, body),), {}))


async def test_it_answers_from_this_process_in_a_thread_of_its_own(run):
    source = (
        "import os, threading\ndef handle(d, c):\n    return [[os.getpid(), threading.get_ident()]] * len(d or [])\n"
    )
    task, batcher = run(source)
    pid, thread = json.loads((await ask(batcher)).body)
    assert pid == os.getpid() and thread != threading.get_ident()
    task.cancel()
    await asyncio.wait([task])


async def test_a_load_failure_ends_it(run):
    task, _ = run("raise ValueError('no')\n")
    with pytest.raises(ModelLoadFailed) as caught:
        await task
    assert caught.value.failure.where == "handler.py:1"


async def test_models_are_loaded_one_after_the_other(tmp_path):
    """Two at once would take each other's directory out of the import system."""
    source = "import time\ntime.sleep(0.05)\nimport part\ndef handle(data, context): return [part.NAME]\n"
    loaded = asyncio.Semaphore(0)
    tasks = []
    for name in "abcd":
        (folder := tmp_path / name).mkdir()
        (folder / "handler.py").write_text(source)
        (folder / "part.py").write_text(f"NAME = {name!r}\n")
        load = Load(ModelSpec(name, "1.0", str(folder), "handler"), name)
        tasks.append(asyncio.ensure_future(InlineWorker().run(load, lambda _, report: loaded.release())))
    all_loaded = asyncio.ensure_future(_times(4, loaded))
    await asyncio.wait([all_loaded, *tasks], return_when=asyncio.FIRST_COMPLETED)
    assert all_loaded.done(), [task.exception() for task in tasks if task.done()]
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def _times(count, semaphore):
    for _ in range(count):
        await semaphore.acquire()


async def test_a_handler_that_exits_ends_the_worker_and_not_the_server(run):
    task, batcher = run("def handle(data, context):\n    if data: raise SystemExit\n")
    with pytest.raises(WorkerDied):
        await ask(batcher)
    with pytest.raises(WorkerDied):
        await task


async def test_stopping_it_fails_the_batch_in_its_hands(run, tmp_path):
    wait = "while data and not pathlib.Path(data[0]['body'].decode()).exists(): time.sleep(0.005)"
    task, batcher = run(f"import pathlib, time\ndef handle(data, context):\n    {wait}\n")
    answer = ask(batcher, str(tmp_path / "go").encode())
    while len(batcher):
        await asyncio.sleep(0.005)
    task.cancel()
    with pytest.raises(WorkerDied):
        await answer
    (tmp_path / "go").touch()


async def test_an_answer_is_no_buffer_that_the_handler_goes_on_with(run):
    source = (
        "kept = bytearray(1)\ndef handle(data, context):\n    for row in data or []:\n        kept[:] = row['body']\n"
        "    return [kept] * len(data or [])\n"
    )
    task, batcher = run(source)
    first, second = (await ask(batcher, b"a")).body, (await ask(batcher, b"b")).body
    assert (first, second) == (b"a", b"b")
    task.cancel()
    await asyncio.wait([task])
