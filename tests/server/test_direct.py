"""The two ways of a prediction, from the parser and by ASGI: no client, log or metric can tell them apart."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import io
import random
import re
import socket
import weakref

import pytest
from numserve.server import logs
from numserve.server.http import direct, guards, protocol
from numserve.server.http.address import Address
from numserve.server.http.guards import PROBE
from numserve.server.http.heads import KnownHead
from numserve.server.http.listeners import HttpServer, bind

STEERED = """
    from numserve.handlers import PredictionException
    from ts.handler_utils.utils import send_intermediate_predict_response

    def handle(data, context):
        if data is None:
            return None
        order = context.get_request_header(0, "x-do") or ""
        if order == "raise":
            raise ValueError("on purpose")
        if order == "refuse":
            raise PredictionException("not so", 418)
        if order == "status":
            context.set_response_status(202, "fine", 0)
        if order == "empty":
            context.set_response_status(204, "", 0)
        if order == "fails":
            context.set_response_status(422, "no", 0)
        if order == "headers":
            context.set_response_header(0, "X-Mine", "a\\r\\nb")
            context.set_response_header(0, "Connection", "upgrade")
            context.set_response_content_type(0, "image/png")
        if order == "pieces":
            for piece in ("one", "two"):
                send_intermediate_predict_response([piece], context.request_ids, "", 200, context)
        if order == "large":
            return [b"x" * 300_000]
        if order == "json":
            return [{"a": [1, 2.5, None]}]
        told = {name: bytes(v) if isinstance(v, bytearray) else v for name, v in data[0].items()}
        return [repr((told, context.get_request_header(0, "explain"), context.get_request_header(0, "url_path")))]
"""


class Listening:
    """One server, one way."""

    def __init__(self, port):
        self.port = port

    async def tell(self, *chunks, answers=1):
        """Send bytes, and read so many answers, or until the connection ends."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            for chunk in chunks:
                writer.write(chunk)
                await writer.drain()
                await asyncio.sleep(0)
            return [await self._read(reader) for _ in range(answers)], not (reader.at_eof() or await self._ends(reader))
        finally:
            writer.close()

    async def _read(self, reader):
        head = await reader.readuntil(b"\r\n\r\n")
        body = b""
        if found := re.search(rb"\r\ncontent-length: (\d+)", head):
            body = await reader.readexactly(int(found[1]) if self.reads_bodies else 0)
        elif b"chunked" in head:
            body = await reader.readuntil(b"0\r\n\r\n")
        return head, body

    async def _ends(self, reader):
        """Whether the server closes what the answer says that it will."""
        if not self.closes:
            return False
        return await reader.read() == b""

    reads_bodies = True
    closes = False


@pytest.fixture
async def two_ways(serve, monkeypatch):
    """The same models on two ports: what goes the short way there, and what cannot; and what has gone it."""
    client = await serve(STEERED, settings={"max_request_size": 200_000, "job_queue_size": 8})
    went = []
    ask = direct.Prediction.ask

    def counted(self, body):
        went.append(self.place.line)
        ask(self, body)

    monkeypatch.setattr(direct.Prediction, "ask", counted)
    found, running, servers = {}, [], []
    for way in (True, False):
        bound = bind("inference_address", Address("127.0.0.1", 0))
        server = HttpServer(client.inference._transport.app, bound)
        server.short_way = way
        servers.append(server)
        running.append(asyncio.create_task(server.run_until_told()))
        await server.up.wait()
        found[way] = Listening(bound.address.port)
    found["client"], found["went"], found["servers"] = client, went, servers
    yield found
    for server in servers:
        server.should_exit = server.force_exit = True
    await asyncio.gather(*running)


def request(
    path="/predictions/m", *headers, method="POST", body=b"body", version="1.1", kind="text/plain", length=True
):
    lines = [f"{method} {path} HTTP/{version}", "Host: here", *headers]
    if kind:
        lines.append(f"Content-Type: {kind}")
    if length:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


FORM = "application/x-www-form-urlencoded"
PARTS = b"--b\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--b--\r\n"
SHORT = {
    "text": request(),
    "bytes": request(kind="application/octet-stream"),
    "json": request(kind="application/json", body=b'{"a": 1}'),
    "json, with a charset": request(kind="application/json; charset=utf-8", body=b"[1]"),
    "no type": request(kind=None),
    "nothing": request(body=b""),
    "no length": request(body=b"", length=False),
    "get": request(method="GET", body=b"", length=False, kind=None),
    "get, with a body": request(method="GET"),
    "put": request(method="PUT"),
    "delete": request(method="DELETE"),
    "a version": request("/predictions/m/1.0"),
    "more path": request("/predictions/m/1.0/v1/chat"),
    "a slash behind": request("/predictions/m/"),
    "explain": request("/explanations/m"),
    "kserve 1": request("/v1/models/m:predict"),
    "kserve 2": request("/v2/models/m/infer"),
    "by name": request("/models/m/invoke"),
    "form": request(kind=FORM, body=b"a=1&b=%20x"),
    "too large a form": request(kind=FORM, body=b"a=1&" * 1001),
    "parts": request(kind="multipart/form-data; boundary=b", body=PARTS),
    "broken parts": request(kind="multipart/form-data; boundary=b", body=b"--b\r\n"),
    "keeps the connection": request("/predictions/m", "Connection: keep-alive"),
    "waits for so long": request("/predictions/m", "X-Request-Timeout: 30"),
    "waits for no number": request("/predictions/m", "X-Request-Timeout: soon"),
    "describes": request("/predictions/m", "Describe: True"),
    "a header twice": request("/predictions/m", "X-Do: json", "X-Do: status"),
    "large": request(body=b"x" * 150_000),
    "no such model": request("/predictions/n"),
    "no such model of kserve": request("/v2/models/n/infer"),
    "no such version": request("/predictions/m/9"),
} | {
    f"x-do {order}": request("/predictions/m", f"X-Do: {order}")
    for order in ("raise", "refuse", "status", "empty", "fails", "headers", "pieces", "large", "json")
}
LONG = {
    "a query": request("/predictions/m?a=1"),
    "a coded path": request("/predictions/%6d"),
    "closes": request("/predictions/m", "Connection: close"),
    "upgrades": request("/predictions/m", "Connection: upgrade", "Upgrade: websocket"),
    "http 1.0": request(version="1.0"),
    "chunks": request("/predictions/m", "Transfer-Encoding: chunked", body=b"1\r\nx\r\n0\r\n\r\n", length=False),
    "zipped": request("/predictions/m", "Content-Encoding: gzip"),
    "zipped by kserve": request("/v2/models/m/infer", "Content-Encoding: gzip"),
    "options": request(method="OPTIONS"),
    "too large": request(body=b"x" * 200_001),
    "no name": request("/invocations", body=b""),
    "no route": request("/nowhere"),
    "ping": request("/ping", method="GET", body=b"", kind=None),
}


async def until(condition):
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.01)


ENDS = {
    *("too large a form", "broken parts", "waits for no number", "no such model", "no such model of kserve"),
    *("no such version", "x-do raise", "x-do refuse", "x-do fails", "closes", "upgrades", "http 1.0", "too large"),
    *("no name", "no route", "zipped by kserve"),
}
"""What is answered by the end of the connection, which may discard the answer where more is on its way."""
IDS = rb"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"


def without_ids(answers):
    """Answers with the id and the date of each taken out, which must be there."""
    plain = []
    for head, body in answers:
        head, found = re.subn(rb"x-request-id: " + IDS, b"x-request-id: ID", head)
        head, dated = re.subn(rb"date: [^\r]+ GMT", b"date: THEN", head)
        assert (found, dated) == (1, 1)
        plain.append((head, body))
    return plain


async def compare(two_ways, *chunks, answers=1):
    """What both ways answer, which is the same; whether the first way was the short one."""
    short, kept = await two_ways[True].tell(*chunks, answers=answers)
    went = len(two_ways["went"])
    other, also_kept = await two_ways[False].tell(*chunks, answers=answers)
    assert without_ids(short) == without_ids(other)
    assert kept == also_kept
    assert len(two_ways["went"]) == went
    return short, went


async def test_plain_requests_are_answered_alike(two_ways):
    for name, sent in SHORT.items():
        two_ways["went"].clear()
        _, went = await compare(two_ways, sent)
        assert went == 1, name


async def test_what_is_not_plain_goes_the_long_way(two_ways):
    for sent in LONG.values():
        await compare(two_ways, sent)
    assert two_ways["went"] == []


async def test_what_has_been_sent_whole_is_not_unfinished(two_ways):
    for _ in range(3):
        await compare(two_ways, SHORT["large"], SHORT["large"], SHORT["text"], answers=3)
    for server in two_ways["servers"]:
        assert not server._door.unfinished and server._door.unfinished.bytes == 0


@pytest.mark.parametrize("name", ["form", "parts"])
async def test_a_large_form_goes_the_long_way(two_ways, monkeypatch, name):
    monkeypatch.setattr(direct, "AT_ONCE", 5)
    _, went = await compare(two_ways, SHORT[name])
    assert went == 0


async def test_a_head_request_is_answered_without_a_body(two_ways):
    two_ways[True].reads_bodies = two_ways[False].reads_bodies = False
    _, went = await compare(two_ways, request(method="HEAD"))
    assert went == 0


async def test_whoever_expects_is_told_to_continue(two_ways):
    await compare_continued(two_ways, request("/predictions/m", "Expect: 100-continue"))


async def compare_continued(two_ways, sent):
    for way in (True, False):
        reader, writer = await asyncio.open_connection("127.0.0.1", two_ways[way].port)
        writer.write(sent[: -len(b"body")])
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"body")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
        writer.close()
    assert two_ways["went"] == []


@pytest.mark.parametrize("order", ["fails", "raise"])
async def test_an_error_ends_the_connection(two_ways, order):
    two_ways[True].closes = two_ways[False].closes = True
    (answer,), _ = await compare(two_ways, request("/predictions/m", f"X-Do: {order}"))
    assert b"\r\nconnection: close\r\n" in answer[0]


async def test_a_connection_serves_many_requests(two_ways):
    sent = [request(body=b"%d" % n) for n in range(5)]
    for way in (True, False):
        reader, writer = await asyncio.open_connection("127.0.0.1", two_ways[way].port)
        for n, each in enumerate(sent):
            writer.write(each)
            _, body = await two_ways[way]._read(reader)
            assert f"'body': '{n}'" in body.decode()
        writer.close()
    assert len(two_ways["went"]) == 5


@pytest.fixture
def known(monkeypatch):
    """What was understood without the parser."""
    read, found = KnownHead.read, []

    def noted(self, data):
        told = read(self, data)
        found.append(told is not None)
        return told

    monkeypatch.setattr(KnownHead, "read", noted)
    return found


async def told_alike(two_ways, *sent):
    """What one connection is answered to these, sent one after the other, which is the same on both ways."""
    heard = {}
    for way in (True, False):
        reader, writer = await asyncio.open_connection("127.0.0.1", two_ways[way].port)
        heard[way] = []
        for each in sent:
            writer.write(each)
            heard[way].append(await two_ways[way]._read(reader))
        writer.close()
    assert without_ids(heard[True]) == without_ids(heard[False])
    return [body for _, body in heard[True]]


async def test_a_head_that_is_known_need_not_be_parsed(two_ways, known):
    sent = [request("/predictions/m", "X-Other: 7", body=b"x" * n) for n in (3, 3, 3, 12, 0, 1000)]
    bodies = await told_alike(two_ways, *sent)
    assert [f"'body': '{'x' * n}'" in body.decode() for n, body in zip((3, 3, 3, 12, 0, 1000), bodies, strict=True)]
    assert known == [True] * 4  # the first says what connection it is, the second is learned from


async def test_a_head_that_is_not_quite_known_is_parsed(two_ways, known):
    usual = [SHORT["text"]] * 2
    for other in ("json", "put", "a version", "no length", "a header twice", "form", "chunks", "a query", "ping"):
        known.clear()
        await told_alike(two_ways, *usual, (SHORT | LONG)[other], *usual)
        assert not known[0], other


async def test_heads_that_never_come_again_are_learned_for_a_while_only(two_ways, known, monkeypatch):
    monkeypatch.setattr(direct, "LEARNED", 3)

    async def understood(*numbers):
        known.clear()
        await told_alike(two_ways, *(request("/predictions/m", f"X-Number: {n}") for n in numbers))
        return known

    assert await understood(0, 0, 0, 1, 1, 1, 2, 2) == [True, False, True, True, False, True]
    assert await understood(0, 1, 2, 3, 4, 5, 5, 5) == [False] * 6


async def test_what_is_not_one_whole_request_is_parsed(two_ways, known):
    usual, short, longer = SHORT["text"], request(body=b"abc"), request(body=b"abcd")
    for way in (True, False):
        listening = two_ways[way]
        reader, writer = await asyncio.open_connection("127.0.0.1", listening.port)
        for _ in range(2):
            writer.write(usual)
            await listening._read(reader)
        writer.write(longer[:-1])
        await until(lambda way=way: known or not way)
        writer.write(longer[-1:] + short + short)
        bodies = [(await listening._read(reader))[1].decode() for _ in range(3)]
        assert ["'abcd'" in bodies[0], "'abc'" in bodies[1], "'abc'" in bodies[2]] == [True] * 3
        writer.close()
    assert known == [False]


async def test_too_large_a_body_is_refused_also_behind_a_head_that_is_known(two_ways, known):
    short, long = two_ways["servers"]
    short.config.http_protocol_class.direct.limit = long.config.app.app.limit = 10
    bodies = await told_alike(two_ways, *(request(body=b"x" * n) for n in (3, 3, 10, 11)))
    assert known == [True, False]
    assert b"max_request_size" in bodies[-1]


async def test_requests_behind_each_other_are_answered_in_their_order(two_ways):
    known = SHORT | LONG
    for first in ("text", "x-do pieces", "x-do empty", "large"):
        for then in ("json", "chunks", "no such model", "ping", "x-do pieces"):
            two_ways["went"].clear()
            sent = known[first] + known[then] + known["json"]
            _, went = await compare(two_ways, sent, answers=2 if "no" in then else 3)
            assert went == 1, (first, then)  # those behind it wait, and are uvicorn's


async def test_what_is_behind_an_answer_that_ends_the_connection_is_not_served(two_ways):
    for first in ("no such model", "waits for no number"):
        two_ways["went"].clear()
        two_ways[True].closes = two_ways[False].closes = True
        _, went = await compare(two_ways, SHORT[first] + SHORT["text"])
        assert went == 1, first
    assert two_ways["client"].registry.get("m")._batcher.flying == 0


@pytest.mark.parametrize("seed", range(4))
async def test_any_conversation_is_the_same(two_ways, seed):
    chance = random.Random(seed)
    goes_on = {name: sent for name, sent in (SHORT | LONG).items() if name not in ENDS}
    pool = [*goes_on.values(), request(method="HEAD")]
    for _ in range(10):
        said = b"".join(chance.choices(pool, k=chance.randint(1, 5))) + LONG["closes"]
        cuts = sorted(chance.sample(range(len(said)), chance.randint(0, 6)))
        chunks = [said[a:b] for a, b in zip([0, *cuts], [*cuts, len(said)], strict=True)]
        heard = [await converse(two_ways[way].port, chunks) for way in (True, False)]
        assert heard[0] == heard[1], said


async def converse(port, chunks):
    """All that a server says until it closes, without ids and dates."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    heard = b""
    with contextlib.suppress(ConnectionError):  # it need not wait for what comes behind its last answer
        for chunk in chunks:
            writer.write(chunk)
            await writer.drain()
            await asyncio.sleep(0)
        heard = await reader.read()
    writer.close()
    return re.sub(rb"date: [^\r]+", b"", re.sub(IDS, b"", heard))


async def test_a_request_may_come_byte_by_byte(two_ways):
    sent = SHORT["json"]
    _, went = await compare(two_ways, *(sent[i : i + 1] for i in range(len(sent))))
    assert went == 1


async def test_what_is_no_http_behind_a_request_is_refused_behind_its_answer(two_ways):
    for way in (True, False):
        two_ways[way].closes = True
        reader, writer = await asyncio.open_connection("127.0.0.1", two_ways[way].port)
        writer.write(SHORT["text"] + b"\0\0\0\r\n\r\n")
        answer = await reader.read()
        assert answer.count(b"HTTP/1.1 ") == 2 and answer.startswith(b"HTTP/1.1 200") and b"HTTP/1.1 400 " in answer
        writer.close()


@pytest.fixture
def access_lines():
    """What the access log says."""
    out = io.StringIO()
    undo = logs.set_up("text", "INFO", None, out)
    yield out
    undo()


async def test_metrics_and_log_lines_are_the_same(two_ways, access_lines):
    client = two_ways["client"]
    asked = [SHORT[name] for name in ("text", "a version", "no such model", "x-do raise", "x-do pieces", "x-do fails")]
    names = ["Requests2XX", "Requests4XX", "Requests5XX", "numserve_requests_total", "numserve_batch_size_count",
             "ts_inference_requests_total", "numserve_requests_rejected_total"]  # fmt: skip

    def counted():
        lines = client.inference._transport.app._metrics.exposition(names).decode().splitlines()
        return {k: float(v) for k, _, v in (line.rpartition(" ") for line in lines if not line.startswith("#"))}

    def lines():
        client.access_log.flush()
        return [line for line in access_lines.getvalue().splitlines() if ' HTTP/1.1" ' in line]

    grown = []
    for way in (True, False):
        before, known = counted(), len(lines())
        for each in asked:
            await two_ways[way].tell(each)
        await until(lambda known=known: len(lines()) == known + len(asked))
        grown.append({k: v - before.get(k, 0) for k, v in counted().items() if v != before.get(k, 0)})
    assert grown[0] == grown[1] and len(grown[0]) >= 8
    plain = [re.findall(r'"[^"]+" \d+|(?:model|version|batch)=\S+', line) for line in lines()]
    assert plain[: len(asked)] == plain[len(asked) :] and plain[0][1:] == ["model=m", "version=1.0", "batch=1"]


SLOW = """
    import time
    from pathlib import Path

    def handle(data, context):
        if data is None:
            return None
        Path(data[0]["body"] + ".began").touch()
        while not Path(data[0]["body"] + ".go").exists():
            time.sleep(0.01)
        return data
"""


@pytest.mark.parametrize("way", [True, False])
async def test_who_leaves_while_it_waits_is_not_served(two_ways, access_lines, tmp_path, way):
    client = two_ways["client"]
    await client.register(url=client.archives.make(SLOW, name="slow"), initial_workers=1, synchronous=True)
    model = client.registry.get("slow")
    file = tmp_path / "a"
    _, first = await asyncio.open_connection("127.0.0.1", two_ways[way].port)
    first.write(request("/predictions/slow", body=str(file).encode()))
    await until(lambda: file.with_suffix(".began").exists())
    _, second = await asyncio.open_connection("127.0.0.1", two_ways[way].port)
    second.write(request("/predictions/slow", body=b"never"))
    await until(lambda: len(model._batcher) == 1)
    second.close()
    await until(lambda: " 499 " in access_lines.getvalue())
    file.with_suffix(".go").touch()
    await until(lambda: model._batcher.flying == 0 and len(model._batcher) == 0)
    first.close()
    assert not (tmp_path / "never.began").exists()


@pytest.mark.parametrize("way", [True, False])
async def test_a_request_under_way_is_answered_before_the_listener_ends(two_ways, tmp_path, way):
    client = two_ways["client"]
    await client.register(url=client.archives.make(SLOW, name="slow"), initial_workers=1, synchronous=True)
    file = tmp_path / "a"
    reader, writer = await asyncio.open_connection("127.0.0.1", two_ways[way].port)
    writer.write(request("/predictions/slow", body=str(file).encode()))
    await until(lambda: file.with_suffix(".began").exists())
    client.inference._transport.app.stopping = lambda: True
    two_ways["servers"][0 if way else 1].finish()
    file.with_suffix(".go").touch()
    answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 200") and answer.count(b"\r\nconnection: close\r\n") == 1
    writer.close()


async def test_a_connection_that_rests_is_closed(two_ways, monkeypatch):
    monkeypatch.setattr(protocol, "LOOK_SECONDS", 0.02)
    for server in two_ways["servers"]:
        server.config.timeout_keep_alive = 0.1
    for way in (True, False):
        reader, writer = await asyncio.open_connection("127.0.0.1", two_ways[way].port)
        writer.write(SHORT["text"])
        assert (await reader.read()).startswith(b"HTTP/1.1 200")
        writer.close()
    assert len(two_ways["went"]) == 1


async def connected(two_ways):
    """A client's socket, and its connection in the server."""
    connections = two_ways["servers"][0].server_state.connections
    client = await asyncio.to_thread(socket.create_connection, ("127.0.0.1", two_ways[True].port))
    await until(lambda: connections)
    (connection,) = connections
    return client, connection


async def test_a_client_that_hangs_up_is_known_to_have_left_before_the_loop_comes_to_it(two_ways):
    leaving, connection = await connected(two_ways)
    assert connection.is_there()
    leaving.close()
    assert not connection.is_there()


async def test_the_connection_of_a_client_that_a_queue_finds_gone_is_closed(two_ways, monkeypatch, tmp_path):
    monkeypatch.setattr(guards, "PROBE_SECONDS", 60)  # the guard would find out, too
    client = two_ways["client"]
    await client.register(url=client.archives.make(SLOW, name="slow"), initial_workers=1, synchronous=True)
    leaving, connection = await connected(two_ways)
    file = tmp_path / "a"
    leaving.sendall(request("/predictions/slow", body=str(file).encode()))
    await until(lambda: file.with_suffix(".began").exists())
    leaving.close()
    await until(lambda: connection._guard.ended)
    connection._prediction.answer.cancel()
    await until(lambda: connection not in two_ways["servers"][0].server_state.connections)
    file.with_suffix(".go").touch()


async def test_a_client_that_only_sends_no_more_is_still_there(two_ways):
    reading, connection = await connected(two_ways)
    reading.shutdown(socket.SHUT_WR)
    assert connection.is_there() and connection.is_there()
    assert reading.recv(100) == PROBE  # once
    reading.close()


@pytest.mark.parametrize("way", [True, False])
async def test_a_connection_that_has_ended_is_no_work_for_the_collector(two_ways, way):
    """Thousands end each second where too many ask: to look for what refers to itself would stop all others."""
    server = two_ways["servers"][not way]
    gc.disable()
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", two_ways[way].port)
        writer.write(request())
        await reader.readuntil(b"\r\n\r\n")
        (connection,) = map(weakref.ref, server.server_state.connections)
        writer.close()
        async with asyncio.timeout(30):
            while connection() is not None:
                await asyncio.sleep(0.01)
    finally:
        gc.enable()


async def test_this_uvicorn_has_what_the_short_way_needs(two_ways):
    assert direct.missing_in_uvicorn(two_ways["servers"][0].config) == []


async def test_without_it_all_go_the_long_way(serve, monkeypatch, caplog):
    client = await serve(STEERED)
    monkeypatch.setattr(direct, "OF_CYCLE", (*direct.OF_CYCLE, "what_it_never_had"))
    bound = bind("inference_address", Address("127.0.0.1", 0))
    server = HttpServer(client.inference._transport.app, bound)
    running = asyncio.create_task(server.run_until_told())
    await server.up.wait()
    (answer,), _ = await Listening(bound.address.port).tell(request())
    assert answer[0].startswith(b"HTTP/1.1 200")
    assert not issubclass(server.config.http_protocol_class, direct.DirectProtocol)
    assert [r.getMessage() for r in caplog.records if "cycle.what_it_never_had" in r.getMessage()]
    server.should_exit = server.force_exit = True
    await running
