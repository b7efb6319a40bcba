"""Memory that a worker shares with the server: bodies cross it whole, and a worker that lies about it harms nobody."""

import asyncio
import contextlib
import errno
import os
import textwrap

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numserve.server.batching.batcher import Batcher
from numserve.server.errors import WorkerDied
from numserve.server.messages import InferenceRequest, ModelSpec, Part
from numserve.server.metrics.metrics import Metrics
from numserve.server.workers import process
from numserve.server.workers.base import Load
from numserve.server.workers.memory import Memory
from numserve.server.workers.wire import (
    SHARED_FROM,
    FrameReader,
    Kind,
    WireError,
    pack,
    pack_batch,
    through,
    unpack_batch,
)


@pytest.fixture
def ends():
    """The server's end of some memory, and the worker's."""
    server = Memory.create()
    worker = Memory(os.dup(server.descriptor))
    yield server, worker
    server.close()
    worker.close()


def exchange(sender: Memory, receiver: Memory, blobs: list[bytes]) -> list[bytes]:
    sender.put(blobs, sum(map(len, blobs)))
    return [bytes(view) for view in receiver.get([len(blob) for blob in blobs])]


@settings(max_examples=30)
@given(
    st.lists(
        st.tuples(st.lists(st.integers(0, 300_000), max_size=4), st.lists(st.integers(0, 300_000), max_size=4)),
        max_size=5,
    )
)
def test_requests_and_answers_of_every_size_arrive(batches):
    server = Memory.create()
    worker = Memory(os.dup(server.descriptor))
    for number, (asked, answered) in enumerate(batches):
        for memory in (server, worker):
            memory.rewind()
        requests = [bytes([number]) * size for size in asked]
        answers = [bytes([number, 7]) * (size // 2) for size in answered]
        assert exchange(server, worker, requests) == requests
        assert exchange(worker, server, answers) == answers
    server.close()
    worker.close()


def test_what_was_not_written_cannot_be_read(ends):
    server, worker = ends
    worker.put([b"x" * 100], 100)
    with pytest.raises(ValueError, match="5000 bytes from 0 are not in 4096 bytes"):
        server.get([4000, 1000])
    with pytest.raises(ValueError, match="bytes of memory"):
        server.get([2**63])


@pytest.mark.parametrize("size", [0, 4096, 100_000])
def test_a_worker_cannot_take_pages_from_under_the_server(ends, size):
    server, worker = ends
    exchange(server, worker, [b"x" * 200_000])
    with pytest.raises(OSError) as refused:
        os.ftruncate(worker.descriptor, size)
    assert refused.value.errno == errno.EPERM


def test_memory_that_was_given_back_can_be_used_again(ends):
    server, worker = ends
    exchange(server, worker, [b"x" * 1_000_000])
    held = os.fstat(server.descriptor).st_blocks
    server.release()
    assert held * 512 >= 1_000_000 and os.fstat(server.descriptor).st_blocks == 0
    server.rewind(), worker.rewind()
    assert exchange(server, worker, [b"y" * 1_000_000]) == [b"y" * 1_000_000]


def test_views_outlive_the_memory(ends):
    server, worker = ends
    server.put([b"x" * 100_000], 100_000)
    (view,) = worker.get([100_000])
    worker.close()
    server.close()
    assert bytes(view) == b"x" * 100_000


def test_a_frame_without_memory_or_room_goes_by_the_socket(ends, monkeypatch):
    server, _ = ends
    frame = pack(Kind.BATCH, [], [bytes(SHARED_FROM)])
    assert through(None, frame) is frame
    assert through(server, small := pack(Kind.BATCH, [], [bytes(SHARED_FROM - 1)])) is small

    def full(*given):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    assert through(server, frame) is frame and server.used == 0


@settings(max_examples=30)
@given(st.lists(st.binary(max_size=50), min_size=1, max_size=5))
def test_requests_survive_the_crossing_by_memory(bodies):
    server = Memory.create()
    worker = Memory(os.dup(server.descriptor))
    large = [*bodies, bytes(SHARED_FROM)]
    requests = [InferenceRequest("r", tuple(Part("p", None, body) for body in large), {})]
    (sent,) = through(server, pack_batch(requests))
    assert len(sent) < 1000
    reader = FrameReader(1 << 30, worker)
    reader.space()[: len(sent)] = sent
    (frame,) = reader.received(len(sent))
    assert unpack_batch(frame) == requests
    server.close()
    worker.close()


def test_a_frame_that_speaks_of_memory_needs_some():
    head = pack(Kind.ANSWERS, [], [b"x"])[0]
    reader = FrameReader(1000)
    reader.space()[: len(head)] = bytes([head[0] | 0x80]) + head[1:]
    with pytest.raises(WireError, match="no memory is shared"):
        list(reader.received(len(head)))


class Asked:
    """A worker process behind a batcher."""

    def __init__(self, worker: process.ProcessWorker, load: Load) -> None:
        loop = asyncio.get_running_loop()
        counted = Metrics("test").model("m", "1.0")
        self.worker = worker
        self.batcher = Batcher(loop, counted, batch_size=2, max_delay=0, limit=10)
        self.batcher.open()
        self.task = loop.create_task(worker.run(load, lambda each, report: self.batcher.idle(each)))

    async def ask(self, body: bytes, kind: str | None = None) -> bytes:
        request = InferenceRequest("r", (Part("body", kind, body),), {})
        return bytes((await self.batcher.submit(request)).body)


@pytest.fixture(params=[process.ProcessWorker, process.SpawnedWorker])
async def asked(request, tmp_path):
    """`worker = asked(source)`: a worker on a handler's source."""
    async with contextlib.AsyncExitStack() as stack:

        def start(source: str, **spec) -> Asked:
            (tmp_path / "handler.py").write_text(textwrap.dedent(source))
            started = Asked(request.param(), Load(ModelSpec("m", "1.0", str(tmp_path), "handler", **spec), "W"))
            stack.push_async_callback(asyncio.wait, [started.task])
            stack.callback(started.task.cancel)
            return started

        yield start


ECHO = """
    def handle(data, context):
        return [row["body"] for row in data or []]
"""


async def test_bodies_of_every_size_go_there_and_back(asked):
    worker = asked(ECHO, max_response_size=10_000_000)
    for size in (0, SHARED_FROM - 1, SHARED_FROM, 3_000_000, 1000, 5_000_001, 70_000):
        body = os.urandom(size)
        assert await worker.ask(body) == body


async def test_what_a_handler_keeps_is_its_own(asked):
    source = """
        kept = []
        def handle(data, context):
            kept.extend(row["body"] for row in data or [])
            return [bytes([each[0] for each in kept])] * len(data or [])
    """
    worker = asked(source)
    await worker.ask(b"a" * 200_000)
    assert await worker.ask(b"b" * 200_000) == b"ab"


async def test_pages_are_given_back_when_no_large_body_comes(asked, monkeypatch):
    monkeypatch.setattr(process, "KEEP_SECONDS", 0.05)
    worker = asked(ECHO)
    for _ in range(2):
        body = os.urandom(1_000_000)
        assert await worker.ask(body) == body
        async with asyncio.timeout(30):
            while os.fstat(worker.worker._memory.descriptor).st_blocks:
                await asyncio.sleep(0.01)


async def test_while_the_server_has_no_memory_its_bodies_go_by_the_socket_alone(asked, monkeypatch):
    worker = asked(ECHO)
    body = os.urandom(200_000)
    assert await worker.ask(b"") == b""

    def full(*given):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as without:
        without.setattr(os, "posix_fallocate", full)
        assert await worker.ask(body) == body
        assert worker.worker._memory.used >= len(body), "the worker, which has some, answers through it"
    assert await worker.ask(body + body) == body + body


async def test_where_no_memory_can_be_shared_bodies_go_by_the_socket(asked, monkeypatch):
    def refused(*given):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(os, "memfd_create", refused)
    body = os.urandom(1_000_000)
    assert await asked(ECHO).ask(body) == body


async def test_a_workers_heap_is_kept_while_large_bodies_come_and_given_back_then(asked, monkeypatch):
    monkeypatch.setattr(process, "KEEP_SECONDS", 0.05)
    source = """
        import sys
        def handle(data, context):
            heap = sys.modules["numserve.server.heap"].HEAP
            return [str(heap.kept) if row["body"] == b"kept?" else row["body"] for row in data or []]
    """
    worker = asked(source)
    assert await worker.ask(b"kept?") == b"False"
    assert len(await worker.ask(bytes(1_000_000))) == 1_000_000
    assert await worker.ask(b"kept?") == b"True"
    async with asyncio.timeout(30):
        while await worker.ask(b"kept?") == b"True":
            await asyncio.sleep(0.01)


LIAR = """
    import os, struct, sys, time

    def handle(data, context):
        for row in data or []:
            if row["body"][:3] == b"lie":
                length = int(row["body"][3:])
                os.write(int(sys.argv[1]), struct.pack("<BIIQ", 0x80 | 5, 2, 1, length) + b"{}")
                time.sleep(60)
        return [bytes(row["body"]) for row in data or []]
"""
LIMIT = 10_000_000


@pytest.mark.parametrize(
    ("length", "told"),
    [
        (LIMIT // 2, "bytes of memory"),
        (2 * LIMIT, "are allowed"),
        (2**63, "are allowed"),
        (0, "sent what cannot be read"),
    ],
)
async def test_a_worker_that_lies_about_its_memory_is_ended(asked, length, told):
    worker = asked(LIAR, max_response_size=LIMIT)
    with pytest.raises(WorkerDied) as caught:
        await worker.ask(b"lie%d" % length)
    assert told in caught.value.detail
    with pytest.raises(WorkerDied):
        await worker.task
