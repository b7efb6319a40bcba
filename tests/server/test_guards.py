"""Guards: connections are counted, what hardly moves is ended, and an end loses no answer."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import shutil
import socket
import ssl
import struct
import subprocess
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvloop
from numserve.server.http import guards, listeners, protocol
from numserve.server.http.address import Address
from numserve.server.http.guards import Door, Limits, Pace, raise_descriptors
from numserve.server.http.listeners import Bound, HttpServer, bind, tls_context

LIMIT = 30.0
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n"

LOOP = uvloop.new_event_loop


@dataclass
class Room:
    """A listener with a door; `answer` is what it says once `go` is set, and it notes who left before."""

    port: int
    door: Door
    refusals: list[str]
    answer: bytes = b"ok"
    go: asyncio.Event = field(default_factory=asyncio.Event)
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    left: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        refused = scope["path"] == "/refused"
        while not refused and (message := await receive()).get("more_body"):
            if message["type"] == "http.disconnect":
                return
        self.asked.set()
        going, leaving = asyncio.ensure_future(self.go.wait()), asyncio.ensure_future(receive())
        if not refused:
            await asyncio.wait({going, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if leaving.done() and not self.go.is_set():
            self.left.set()
        going.cancel(), leaving.cancel()
        length = (b"content-length", b"%d" % len(self.answer))
        closing = [(b"connection", b"close")] * refused
        await send({"type": "http.response.start", "status": 401 if refused else 200, "headers": [length, *closing]})
        await send({"type": "http.response.body", "body": self.answer})

    def dial(self, window: int = 1 << 14) -> socket.socket:
        """A connection with a small window, so that little is read unasked."""
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        client.settimeout(LIMIT)
        client.connect(("127.0.0.1", self.port))
        client.setblocking(False)
        return client


@pytest.fixture
async def room() -> AsyncIterator[Callable[..., Any]]:
    """`await room(limit=...)` opens a listener that grants so much."""
    async with contextlib.AsyncExitStack() as stack:

        async def opened(**limits: int) -> Room:
            bound: Bound = bind("inference_address", Address("127.0.0.1", 0))
            refusals: list[str] = []
            found = Room(bound.address.port, Door(Limits(**limits), refusals.append), refusals)
            server = HttpServer(found, bound, door=found.door)  # type: ignore[arg-type]
            running = asyncio.create_task(server.run_until_told())
            await server.up.wait()

            async def end() -> None:
                server.finish()
                server.give_up()
                await running

            stack.push_async_callback(end)
            return found

        yield opened


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(guards, "WINDOW_SECONDS", 0.2)


async def told(client: socket.socket, sent: bytes = b"", end: bool = False) -> bytes:
    """What comes until the server closes."""
    loop = asyncio.get_running_loop()
    received = b""
    async with asyncio.timeout(LIMIT):
        await loop.sock_sendall(client, sent)
        if end:
            client.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionResetError):
            while piece := await loop.sock_recv(client, 1 << 16):
                received += piece
    client.close()
    return received


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(LIMIT):
        while not true():
            await asyncio.sleep(0.01)


# connections


@pytest.mark.parametrize(
    ("limits", "reason"), [({"connections": 2}, "connections"), ({"per_peer": 2}, "connections_of_peer")]
)
async def test_who_comes_when_there_are_too_many_is_turned_away_at_once(room, limits, reason):
    inn = await room(**limits)
    first, second = inn.dial(), inn.dial()
    await until(lambda: inn.door._inside == 2)
    answer = await told(inn.dial())
    assert answer.startswith(b"HTTP/1.1 503 ") and b"retry-after: 1" in answer and b"Too many connections." in answer
    assert inn.refusals == [reason] and inn.door._inside == 2
    first.close(), second.close()


async def test_a_place_that_is_left_is_given_away_again(room):
    inn = await room(connections=1)
    inn.go.set()
    for _ in range(5):
        assert (await told(inn.dial(), GET, end=True)).endswith(b"ok")
        await until(lambda: inn.door._inside == 0)
    assert not inn.refusals and not inn.door._of_peer


async def test_a_connection_that_is_reset_leaves_its_place(room):
    inn = await room(connections=1)
    client = inn.dial()
    await until(lambda: inn.door._inside == 1)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    await until(lambda: inn.door._inside == 0)


def test_the_system_is_asked_for_descriptors():
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, before[1]))
        assert raise_descriptors() == resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 256
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


# pace


def test_a_pace_is_of_windows():
    pace = Pace(100)
    assert not pace.too_slow(0, 0)
    assert not pace.too_slow(guards.WINDOW_SECONDS, 1499)
    assert pace.too_slow(guards.WINDOW_SECONDS + 1, 1499)
    assert not pace.too_slow(guards.WINDOW_SECONDS + 1, 1500)
    assert pace.too_slow(2 * guards.WINDOW_SECONDS + 2, 1501)
    pace.rest()
    assert not pace.too_slow(1e9, 1501)


async def test_a_body_that_only_trickles_is_answered_408(room, hasty):
    inn = await room(rate=10_000)
    client = inn.dial()
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(client, POST)

    async def trickle() -> None:
        with contextlib.suppress(OSError):
            while True:
                await loop.sock_sendall(client, b"x")
                await asyncio.sleep(0.02)

    sending = asyncio.create_task(trickle())
    answer = await told(client)
    await sending
    assert answer.startswith(b"HTTP/1.1 408 ") and b"RequestTimeoutException" in answer
    assert inn.refusals == ["body"]


async def test_a_body_that_comes_fast_enough_is_taken_however_long_it_takes(room, hasty, monkeypatch):
    monkeypatch.setattr(guards, "WINDOW_SECONDS", 1.0)
    inn = await room(rate=1000)
    inn.go.set()
    client = inn.dial()
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(client, POST)
    for _ in range(50):
        await loop.sock_sendall(client, bytes(20_000))
        await asyncio.sleep(0.03)
    assert (await told(client, end=True)).endswith(b"\r\n\r\nok") and not inn.refusals


async def test_who_does_not_read_an_answer_is_hung_up_on(room, hasty):
    inn = await room()
    inn.go.set()
    inn.answer = bytes(20 << 20)
    client = inn.dial()
    await asyncio.get_running_loop().sock_sendall(client, GET)
    await until(lambda: inn.refusals == ["reader"])
    await until(lambda: inn.door._inside == 0 and not inn.door.unread and inn.door.unread.bytes == 0)
    client.close()


async def test_who_reads_slowly_but_steadily_is_left_alone(room, hasty):
    inn = await room(rate=1000)
    inn.go.set()
    inn.answer = bytes(20 << 20)
    client = inn.dial(1 << 17)
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(client, GET)
    got = 0
    for _ in range(40):
        got += len(await loop.sock_recv(client, 1 << 17))
        await asyncio.sleep(0.02)
    assert not inn.refusals
    assert len(await told(client, end=True)) + got > len(inn.answer) and not inn.refusals


async def test_answers_that_nobody_reads_are_bounded_together(room):
    inn = await room(unread=25 << 20)
    inn.go.set()
    inn.answer = bytes(20 << 20)
    loop = asyncio.get_running_loop()
    clients = [inn.dial(1 << 17) for _ in range(3)]
    for number, client in enumerate(clients, 1):
        await loop.sock_sendall(client, GET)
        await until(lambda number=number: len(inn.refusals) == number - 1 and len(inn.door.unread) == 1)
    assert inn.refusals == ["unread"] * 2 and inn.door.unread.bytes < 25 << 20
    assert len(await told(clients[2], end=True)) > len(inn.answer)
    for client in clients[:2]:
        client.close()


async def test_requests_that_nobody_ends_are_bounded_together(room):
    inn = await room(unfinished=250_000)
    loop = asyncio.get_running_loop()
    clients = [inn.dial() for _ in range(3)]
    for number, client in enumerate(clients, 1):
        await loop.sock_sendall(client, POST + bytes(100_000))
        await until(lambda number=number: len(inn.door.unfinished) == number or inn.refusals)
    assert inn.refusals == ["unfinished"] and await told(clients[0]) == b""
    inn.go.set()
    assert (await told(clients[2], bytes(900_000), end=True)).endswith(b"ok") and inn.refusals == ["unfinished"] * 2
    await until(lambda: not inn.door.unfinished and inn.door.unfinished.bytes == 0)
    clients[1].close()


async def test_requests_that_are_ended_count_no_more(room):
    inn = await room(unfinished=250_000)
    inn.go.set()
    whole = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n" + bytes(100_000)
    assert (await told(inn.dial(), whole * 5, end=True)).count(b"\r\n\r\nok") == 5
    assert not inn.refusals and not inn.door.unfinished and inn.door.unfinished.bytes == 0


async def test_the_memory_of_a_crowd_that_has_gone_is_given_back(room, monkeypatch):
    trimmed = []
    monkeypatch.setattr(guards, "CROWD", 6)
    monkeypatch.setattr(guards, "LINGER_SECONDS", 0.0)
    monkeypatch.setattr(guards.HEAP, "trim", lambda: trimmed.append(inn.door._inside))
    inn = await room()
    clients = [inn.dial() for _ in range(8)]
    await until(lambda: inn.door._inside == 8)
    for client in clients[:6]:
        client.close()
    await until(lambda: inn.door._inside == 2)
    assert not trimmed
    for client in clients[6:]:
        client.close()
    await until(lambda: trimmed)


# ends


async def test_a_client_that_sends_no_more_still_gets_its_answers(room):
    inn = await room()
    asking = asyncio.create_task(told(inn.dial(), GET * 3, end=True))
    await inn.asked.wait()
    inn.go.set()
    answer = await asking
    assert answer.count(b"HTTP/1.1 200 OK") == 3 and answer.count(b"\r\n\r\nok") == 3 and not inn.left.is_set()


async def test_a_client_that_waits_with_its_side_closed_is_told_to_continue_and_answered(room, monkeypatch):
    monkeypatch.setattr(guards, "PROBE_SECONDS", 0.0)
    inn = await room()
    client = inn.dial()
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(client, GET)
    client.shutdown(socket.SHUT_WR)
    async with asyncio.timeout(LIMIT):
        assert await loop.sock_recv(client, len(guards.PROBE)) == guards.PROBE
    inn.go.set()
    assert (await told(client)).endswith(b"\r\n\r\nok") and not inn.left.is_set()


async def test_a_client_that_has_closed_altogether_has_left(room, monkeypatch):
    monkeypatch.setattr(guards, "PROBE_SECONDS", 0.0)
    inn = await room()
    client = inn.dial()
    await asyncio.get_running_loop().sock_sendall(client, GET)
    await inn.asked.wait()
    client.close()
    await asyncio.wait_for(inn.left.wait(), LIMIT)


@pytest.mark.parametrize("reset", [True, False])
async def test_a_client_that_asks_for_more_and_leaves_has_left(room, hasty, reset):
    inn = await room()
    client = inn.dial()
    await asyncio.get_running_loop().sock_sendall(client, GET * 3)
    await inn.asked.wait()
    if reset:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    await asyncio.wait_for(inn.left.wait(), LIMIT)
    await until(lambda: inn.door._inside == 0)


async def test_a_client_of_http_1_0_is_told_nothing_before_its_answer(room, monkeypatch):
    monkeypatch.setattr(guards, "PROBE_SECONDS", 0.0)
    inn = await room()
    asking = asyncio.create_task(told(inn.dial(), b"GET / HTTP/1.0\r\n\r\n", end=True))
    await inn.asked.wait()
    await asyncio.sleep(0.1)
    inn.go.set()
    assert (await asking).startswith(b"HTTP/1.1 200 OK")


@pytest.mark.parametrize("beginning", [b"", b"GET / HT", POST + b"half"])
async def test_who_ends_in_the_middle_is_hung_up_on(room, beginning):
    inn = await room()
    assert await told(inn.dial(), beginning, end=True) == b""


async def test_who_is_refused_while_sending_sees_why(room):
    inn = await room()
    head = POST.replace(b" / ", b" /refused ")
    assert (await told(inn.dial(), head + bytes(900_000))).startswith(b"HTTP/1.1 401 ")


async def test_who_goes_on_sending_after_a_refusal_is_cut_off(room, monkeypatch):
    monkeypatch.setattr(guards, "LINGER_SECONDS", 0.1)
    inn = await room()
    client = inn.dial()
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(client, POST.replace(b" / ", b" /refused "))
    async with asyncio.timeout(LIMIT):
        with pytest.raises(ConnectionError):
            while True:
                await loop.sock_sendall(client, bytes(2000))
                await asyncio.sleep(0.01)
    client.close()


# by TLS


@pytest.fixture
async def sealed(tmp_path, monkeypatch, request):
    """A listener by TLS that grants one connection, and the context that trusts it; its parameter, if any, is how long
    a handshake may take."""
    names = ("-keyout", str(tmp_path / "key.pem"), "-out", str(tmp_path / "chain.pem"), "-subj", "/CN=localhost")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", *names]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    bound = bind("inference_address", Address("127.0.0.1", 0))
    monkeypatch.setattr(listeners, "HANDSHAKE_SECONDS", getattr(request, "param", LIMIT))
    refusals: list[str] = []
    inn = Room(bound.address.port, Door(Limits(connections=1), refusals.append), refusals)
    server = HttpServer(inn, bound, tls_context(tmp_path / "chain.pem", tmp_path / "key.pem"), inn.door)
    running = asyncio.create_task(server.run_until_told())
    await server.up.wait()
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    yield inn, context
    server.finish()
    async with asyncio.timeout(LIMIT / 2):
        await running


@pytest.fixture
def afterwards():
    """A stack that is unwound when what a test asks for behind it has ended."""
    with contextlib.ExitStack() as stack:
        yield stack


OPENSSL = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")


@OPENSSL
async def test_a_refusal_is_seen_by_tls_too(sealed):
    inn, context = sealed
    async with asyncio.timeout(LIMIT):
        reader, writer = await asyncio.open_connection("127.0.0.1", inn.port, ssl=context)
        writer.write(POST.replace(b" / ", b" /refused ") + bytes(900_000))
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 401 ")
        with pytest.raises(OSError):  # too many: nobody shakes hands with it
            await asyncio.open_connection("127.0.0.1", inn.port, ssl=context)
        writer.close()
    await until(lambda: inn.door._inside == 0)
    assert inn.refusals == ["connections"]


@OPENSSL
@pytest.mark.parametrize("sealed", [0.2], indirect=True)
async def test_who_does_not_begin_with_tls_is_hung_up_on(sealed):
    inn, _ = sealed
    assert await told(inn.dial()) == b"" and not inn.refusals
    await until(lambda: inn.door._inside == 0)


@OPENSSL
async def test_who_has_not_begun_with_tls_counts_and_keeps_no_server_from_stopping(afterwards, sealed):
    inn, context = sealed
    silent = inn.dial()
    await until(lambda: inn.door._inside == 1)
    assert await told(inn.dial()) == b"" and inn.refusals == ["connections"]
    silent.close()
    await until(lambda: inn.door._inside == 0)
    inn.go.set()
    async with asyncio.timeout(LIMIT):
        reader, writer = await asyncio.open_connection("127.0.0.1", inn.port, ssl=context)
        writer.write(GET)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
        writer.close()
    await until(lambda: inn.door._inside == 0)
    afterwards.enter_context(inn.dial())
    await until(lambda: inn.door._inside == 1)


@OPENSSL
async def test_what_is_no_tls_gives_its_place_away(sealed):
    inn, _ = sealed
    for _ in range(3):
        assert b"200" not in await told(inn.dial(), GET)
        await until(lambda: inn.door._inside == 0)
    assert not inn.refusals
