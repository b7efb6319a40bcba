"""The dispatcher against a client that hangs up, and bodies that never end."""

from __future__ import annotations

import asyncio
import threading

import pytest
from numserve.server.api import dispatch
from numserve.server.api.dispatch import Dispatcher
from numserve.server.api.listener import CLIENT_LEFT, Listener
from numserve.server.messages import InferenceResponse
from numserve.server.settings import Settings


class Model:
    """A model whose answer comes when the test says so."""

    version = "1.0"

    def __init__(self):
        self.answers = []

    def predict(self, request, **_):
        self.answers.append(asyncio.get_running_loop().create_future())
        return self.answers[-1]


class Registry:
    """One model, whatever its name."""

    def __init__(self):
        self.model = Model()

    def get(self, name, version=None):
        return self.model


class Log:
    """Keeps statuses and exchanges."""

    def __init__(self):
        self.noted = []

    def note(self, client, request, status, seconds, exchange):
        self.noted.append((request, status, exchange))

    def prediction_answered(self, model, version, code): ...

    def request_rejected(self, reason): ...

    def request_answered(self, status):
        self.noted.append(status)


class Connection:
    """One request over ASGI."""

    def __init__(self, *chunks, headers=(), path="/predictions/m", end=True):
        self.messages = asyncio.Queue()
        for i, chunk in enumerate(chunks):
            self.messages.put_nowait(
                {"type": "http.request", "body": chunk, "more_body": not end or i + 1 < len(chunks)}
            )
        self.sent = []
        self.scope = {
            "type": "http",
            "method": "POST",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "http_version": "1.1",
            "headers": list(headers),
            "client": ("127.0.0.1", 5),
        }

    def hang_up(self):
        self.messages.put_nowait({"type": "http.disconnect"})

    async def send(self, message):
        self.sent.append(message)


@pytest.fixture
def stage():
    registry, log = Registry(), Log()
    settings = Settings(max_request_size=8)

    async def nothing(scope, receive, send):
        raise RuntimeError("a secret of the app")

    return (
        registry.model,
        log,
        Listener(Dispatcher(nothing, registry, settings, log), settings, log, log, operator=False),
    )


def answered(connection):
    return connection.sent[0]["status"], b"".join(message.get("body", b"") for message in connection.sent[1:])


async def run(listener, connection):
    task = asyncio.create_task(listener(connection.scope, connection.messages.get, connection.send))
    await asyncio.sleep(0)
    return task


async def test_an_answer_goes_out(stage):
    model, log, listener = stage
    connection = Connection(b"a", b"b")
    task = await run(listener, connection)
    while not model.answers:
        await asyncio.sleep(0)
    model.answers[0].set_result(InferenceResponse(200, "", None, {}, b"ok"))
    await task
    assert answered(connection) == (200, b"ok")
    assert log.noted[1][:2] == ("POST /predictions/m HTTP/1.1", 200)
    assert log.noted[1][2].model == "m"


async def test_a_client_that_hangs_up_takes_its_request_along(stage):
    model, log, listener = stage
    connection = Connection(b"a")
    task = await run(listener, connection)
    connection.hang_up()
    await task
    assert model.answers[0].cancelled()
    assert connection.sent == []
    assert log.noted[1][1] == CLIENT_LEFT


async def test_ending_the_server_is_no_hang_up(stage):
    model, _, listener = stage
    task = await run(listener, Connection(b"a"))
    while not model.answers:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert model.answers[0].cancelled()


async def test_an_oversized_body_is_answered_before_it_ends(stage):
    model, _, listener = stage
    connection = Connection(b"12345678", b"9", end=False)
    connection.hang_up()
    await (await run(listener, connection))
    assert answered(connection)[0] == 413
    assert not model.answers


async def test_an_unexpected_error_tells_nothing(stage, caplog):
    _, _, listener = stage
    connection = Connection(b"", path="/elsewhere")
    await (await run(listener, connection))
    status, body = answered(connection)
    assert (status, b"secret" in body) == (500, False)
    assert "a secret of the app" in caplog.text


@pytest.mark.parametrize("kind", [b"application/x-www-form-urlencoded", b"multipart/form-data; boundary=b"])
async def test_a_large_form_is_taken_apart_while_others_are_served(stage, monkeypatch, kind):
    model, _, listener = stage
    read, turned = dispatch.to_inference_request, threading.Event()

    def once_the_loop_has_turned(*given):
        assert turned.wait(30)
        return read(*given)

    monkeypatch.setattr(dispatch, "AT_ONCE", 4)
    monkeypatch.setattr(dispatch, "to_inference_request", once_the_loop_has_turned)
    connection = Connection(b"a=1&b=2"[:8], headers=[(b"content-type", kind)])
    task = await run(listener, connection)
    asyncio.get_running_loop().call_later(0.01, turned.set)
    while not model.answers and not task.done():
        await asyncio.sleep(0.01)
    if model.answers:
        model.answers[0].set_result(InferenceResponse(200, "", None, {}, b"ok"))
    await task
    assert answered(connection)[0] == (200 if b"form-urlencoded" in kind else 400)
