"""Listeners over real sockets: what HTTP itself refuses, and addresses that are taken."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import socket

import pytest
from numserve.server.http import guards, protocol
from numserve.server.http.address import Address
from numserve.server.http.listeners import CannotBind, HttpServer, bind


async def hello(scope, receive, send):
    message = await receive()
    while message.get("more_body"):
        message = await receive()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@pytest.fixture
async def talk():
    """Send bytes to a listener and read until it closes the connection."""
    bound = bind("inference_address", Address("127.0.0.1", 0))
    server = HttpServer(hello, bound)
    running = asyncio.create_task(server.run_until_told())
    await server.up.wait()

    async def exchange(*chunks):
        reader, writer = await asyncio.open_connection("127.0.0.1", bound.address.port)
        try:
            for chunk in chunks:
                writer.write(chunk)
                await writer.drain()
            return await reader.read()
        except ConnectionError:
            return b""
        finally:
            writer.close()

    yield exchange
    server.should_exit = server.force_exit = True
    await running


def refusal(answer):
    head, _, body = answer.partition(b"\r\n\r\n")
    return head.split(b"\r\n")[0].strip(), json.loads(body)["type"]


async def test_a_request_is_answered(talk):
    answer = await talk(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b"\r\n\r\nok")


async def test_what_is_no_http_is_refused_in_our_shape(talk):
    assert refusal(await talk(b"hello\r\n\r\n")) == (b"HTTP/1.1 400", "BadRequestException")


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * (protocol.HEADER_COUNT + 1) + b"\r\n",
        b"GET / HTTP/1.1\r\na: " + b"x" * (protocol.HEADER_BYTES + 1) + b"\r\n\r\n",
        b"GET /" + b"x" * (protocol.HEADER_BYTES + 1) + b" HTTP/1.1\r\n\r\n",
    ],
)
async def test_a_head_that_is_too_large_is_refused(talk, head):
    assert refusal(await talk(head)) == (b"HTTP/1.1 431", "HeaderTooLargeException")


async def test_a_header_that_never_ends_is_cut_off(talk, monkeypatch):
    monkeypatch.setattr(protocol, "UNFINISHED_BYTES", 1 << 17)
    answer = await talk(b"GET / HTTP/1.1\r\na: ", *[b"x" * (1 << 16)] * 3)
    assert refusal(answer)[0] == b"HTTP/1.1 431"


@pytest.mark.parametrize("beginning", [b"GET / HTTP/1.1\r\na", b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nab"])
async def test_who_does_not_finish_is_told_so_and_hung_up_on(talk, monkeypatch, beginning):
    monkeypatch.setattr(protocol, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(protocol, "HEADER_SECONDS", 0.02)
    monkeypatch.setattr(guards, "WINDOW_SECONDS", 0.02)
    assert refusal(await asyncio.wait_for(talk(beginning), 30)) == (b"HTTP/1.1 408", "RequestTimeoutException")


async def test_who_never_begins_is_hung_up_on(talk, monkeypatch):
    monkeypatch.setattr(protocol, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(protocol, "HEADER_SECONDS", 0.02)
    assert await asyncio.wait_for(talk(b""), 30) == b""


def test_a_taken_address_is_named():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = Address("127.0.0.1", taken.getsockname()[1])
        with pytest.raises(CannotBind, match=f"metrics_address {address} cannot be used: Address already in use"):
            bind("metrics_address", address)


def test_the_path_of_a_dead_server_is_taken_over(tmp_path):
    address = Address("", 0, str(tmp_path / "s"))
    bind("inference_address", address).socket.close()
    again = bind("inference_address", address)
    with pytest.raises(CannotBind):
        bind("inference_address", address)
    again.close()
    assert not (tmp_path / "s").exists()


def test_the_path_of_a_server_that_is_only_busy_is_left_alone(tmp_path):
    address = Address("", 0, str(tmp_path / "s"))
    with socket.socket(socket.AF_UNIX) as busy, contextlib.ExitStack() as waiting:
        busy.bind(address.path)
        busy.listen(0)
        full = 0
        while full != errno.EAGAIN:  # as many wait as may
            client = waiting.enter_context(socket.socket(socket.AF_UNIX))
            client.setblocking(False)
            full = client.connect_ex(address.path)
        with pytest.raises(CannotBind, match="Address already in use"):
            bind("inference_address", address)
        assert (tmp_path / "s").exists()
