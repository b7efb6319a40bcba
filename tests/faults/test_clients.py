"""Clients that are slow, leave, send too much, or come in crowds (rows 9-18, 20, 21)."""

from __future__ import annotations

import contextlib
import gzip
import socket
import struct
import time
import zlib
from urllib.parse import urlsplit

import pytest

HEAD = b"POST /predictions/steady HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\n"
JSON = b"POST /predictions/obey HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
LIVE = b"GET /v2/health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
PATIENCE = 60


def connect(site):
    where = urlsplit(site.addresses["inference"])
    return socket.create_connection((where.hostname, where.port), timeout=PATIENCE)


def request(order):
    return JSON + b"Content-Length: %d\r\n\r\n" % len(order) + order


def reset(connection):
    """Close so that the server is told nothing but RST."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def answer(connection, sent):
    """What comes back, until the server closes; a server that closes early may not have taken all."""
    received = b""
    with contextlib.suppress(ConnectionError):
        connection.sendall(sent)
    with contextlib.suppress(ConnectionError):
        while piece := connection.recv(1 << 16):
            received += piece
    return received


def crowd(site, count, until):
    """So many connections that have begun to speak."""
    for _ in range(count):
        connection = until.enter_context(connect(site))
        connection.sendall(HEAD[:40])
        yield connection


@pytest.mark.parametrize("count", [300, pytest.param(5000, marks=pytest.mark.slow)])
def test_clients_that_never_finish_their_head_disturb_nobody(site, count):
    """Row 9: in full they are hung up on after ten seconds."""
    with site.traffic() as traffic, contextlib.ExitStack() as until:
        traffic.more(100)
        calm = sorted(traffic.seconds.pop("200"))
        slow = list(crowd(site, count, until))
        traffic.more(100)
        busy = sorted(traffic.seconds["200"])
        if count > 1000:
            assert all(answer(connection, b"").startswith((b"HTTP/1.1 408 ", b"")) for connection in slow)
    traffic.check()
    assert busy[int(0.99 * len(busy))] < 6 * calm[int(0.99 * len(calm))] + 0.5


@pytest.mark.slow
def test_a_body_that_drips_is_cut_off(site):
    """Row 10: a byte a second is less than any client needs."""
    with site.traffic() as traffic, connect(site) as connection:
        connection.sendall(HEAD + b"Content-Length: 1000\r\n\r\n")
        began = time.monotonic()
        with contextlib.suppress(ConnectionError):
            while time.monotonic() - began < PATIENCE:
                connection.sendall(b"x")
                time.sleep(1)
        took = time.monotonic() - began
    traffic.check()
    assert took < PATIENCE


@pytest.mark.slow
def test_answers_nobody_reads_are_dropped(own):
    """Row 10: 50 MB for each of four clients; the memory comes back while they still hold on."""
    site = own("max_response_size=70000000\n").start()
    site.model("steady", "obey")
    site.obey()
    order = b'{"size": 50000000}'
    with site.traffic() as traffic, contextlib.ExitStack() as until:
        slow = [until.enter_context(connect(site)) for _ in range(4)]
        before = site.now()
        for connection in slow:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.sendall(request(order))
        site.eventually(lambda: site.now().rss > before.rss + (50 << 20))
        site.eventually(lambda: site.now().rss < before.rss + (30 << 20))
    traffic.check()


@pytest.mark.parametrize("framed", ["by a length", "in chunks"])
def test_bodies_that_nobody_ends_are_bounded_and_leave_nothing(own, framed):
    """Row 10: 24 clients with 6 MB each; the oldest have to go, and the memory comes back with the last."""
    site = own("max_unfinished_size=20000000\n").start()
    site.model("steady", "obey")
    size = 6_000_000
    head = b"Content-Length: %d\r\n\r\n" % (size + 1) if framed == "by a length" else CHUNKED + b"%x\r\n" % (size + 1)
    with site.traffic() as traffic:
        before = site.now()
        with contextlib.ExitStack() as until:
            for _ in range(24):
                connection = until.enter_context(connect(site))
                with contextlib.suppress(ConnectionError):
                    connection.sendall(HEAD + head + bytes(size))
            assert site.metric("numserve_requests_rejected_total", reason="unfinished") >= 20
            assert site.now().rss < before.rss + (80 << 20)
            traffic.more()
        site.eventually(lambda: site.now().rss < before.rss * 1.1 + (24 << 20))
    traffic.check()


def test_a_client_that_reads_an_answer_slowly_gets_all_of_it(site):
    """Row 10: as long as it reads at all."""
    site.obey()
    with site.traffic() as traffic, connect(site) as connection:
        connection.sendall(request(b'{"size": 5000000}'))
        received = 0
        while received < 5_000_000:
            received += len(connection.recv(1 << 15))
            time.sleep(0.001)
    traffic.check()


def test_a_client_that_will_say_no_more_is_answered(site):
    """Row 11: it has closed its half of the connection, and reads on."""
    site.obey()
    with site.traffic() as traffic, connect(site) as connection:
        connection.sendall(request(b'{"sleep": 0.5, "answer": "after all"}'))
        connection.shutdown(socket.SHUT_WR)
        received = b""
        while piece := connection.recv(1 << 16):
            received += piece
    traffic.check()
    interim, _, final = received.rpartition(b"HTTP/1.1 ")
    assert final.startswith(b"200 ") and final.endswith(b"after all")
    assert not interim or interim.startswith(b"HTTP/1.1 100 ")


def test_who_leaves_the_queue_reaches_no_handler(site):
    """Row 12: removed before its turn."""
    site.obey()
    with site.traffic() as traffic, connect(site) as busy:
        busy.sendall(request(b'{"sleep": 1, "answer": "first"}'))
        site.eventually(lambda: site.metric("numserve_requests_in_flight", model_name="obey") == 1)
        leaver = connect(site)
        leaver.sendall(request(b'{"answer": "gone"}'))
        site.eventually(lambda: site.metric("numserve_queue_depth", model_name="obey") == 1)
        reset(leaver)
        seen = site.order(tell="seen", answer="last").json()
    traffic.check()
    assert "first" in seen and "gone" not in seen and "last" in seen


def test_who_leaves_a_handler_at_work_stops_it(site, tmp_path):
    """Row 12: the handler sees it, and the worker serves the next."""
    site.obey()
    note = tmp_path / "note"
    with site.traffic() as traffic:
        leaver = connect(site)
        leaver.sendall(request(b'{"wait": 50, "note": "%s"}' % str(note).encode()))
        site.eventually(lambda: site.metric("numserve_requests_in_flight", model_name="obey") == 1)
        reset(leaver)
        assert site.order(answer="next").body == b"next"
    traffic.check()
    assert note.read_text() == "cancelled\n"


@pytest.mark.slow
@pytest.mark.parametrize("ends", [reset, socket.socket.close], ids=["reset", "closed"])
def test_who_asks_for_more_and_leaves_stops_a_handler_at_work(site, tmp_path, ends):
    """Row 12: nothing is read from it, as it has not waited for its answer; it is looked after all the same."""
    site.obey()
    note = tmp_path / "note"
    with site.traffic() as traffic:
        leaver = connect(site)
        leaver.sendall(request(b'{"wait": 50, "note": "%s"}' % str(note).encode()) + request(b'{"answer": "second"}'))
        site.eventually(lambda: site.metric("numserve_requests_in_flight", model_name="obey") == 1)
        ends(leaver)
        assert "second" not in site.order(tell="seen").json()
    traffic.check()
    assert note.read_text() == "cancelled\n"


def test_who_leaves_amid_an_answer_in_pieces_stops_it(site):
    """Row 12: mid-stream."""
    site.obey()
    with site.traffic() as traffic:
        leaver = connect(site)
        leaver.sendall(request(b'{"pieces": 5000, "pause": 0.02}'))
        assert leaver.recv(100).startswith(b"HTTP/1.1 200 ")
        reset(leaver)
        assert site.order(answer="next").body == b"next"
    traffic.check()


def test_who_leaves_a_batch_leaves_the_others_theirs(site):
    """Row 12."""
    site.obey(batchSize=2, maxBatchDelay=20_000, fixedDelay=True)
    with site.traffic() as traffic, contextlib.ExitStack() as until:
        leaver = until.enter_context(connect(site))
        leaver.sendall(request(b'{"sleep": 0.5, "answer": "gone"}'))
        site.eventually(lambda: site.metric("numserve_queue_depth", model_name="obey") == 1)
        with connect(site) as peer:
            peer.sendall(request(b'{"answer": "stays"}'))
            site.eventually(lambda: site.metric("numserve_requests_in_flight", model_name="obey") == 2)
            reset(leaver)
            received = peer.recv(1 << 16)
    traffic.check()
    assert received.startswith(b"HTTP/1.1 200 ") and received.endswith(b"stays")


BOMB = b"\0" * 30_000_000
INFER = b"POST /v2/models/steady/infer HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


def packed(encoding, body):
    return INFER + b"Content-Encoding: %b\r\nContent-Length: %d\r\n\r\n" % (encoding, len(body)) + body


REFUSED = {
    "13: a length over the limit": (HEAD + b"Content-Length: 2000001\r\n\r\n", (413,)),
    "13: a length over any limit": (HEAD + b"Content-Length: 9000000000000\r\n\r\n", (413,)),
    "14: chunks over the limit": (HEAD + CHUNKED + (b"40000\r\n" + b"x" * 0x40000 + b"\r\n") * 64, (413,)),
    "15: a gzip bomb": (packed(b"gzip", gzip.compress(BOMB)), (413, 415)),
    "15: a deflate bomb": (packed(b"deflate", zlib.compress(BOMB)), (413, 415)),
    "17: too many headers": (HEAD + b"X-A: b\r\n" * 10_000 + b"\r\n", (431,)),
    "17: an endless header": (HEAD + b"X-A: " + b"b" * 50_000_000, (431, 400)),
    "17: an endless path": (b"GET /" + b"a" * 10_000_000 + b" HTTP/1.1\r\n\r\n", (414, 431, 400)),
    "17: too many parameters": (
        b"GET /predictions/steady?" + b"a=b&" * 100_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", (414, 431, 400),
    ),
    "18: a length and chunks": (HEAD + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", (400,)),
    "18: two lengths": (HEAD + b"Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcde", (400,)),
    "18: a folded header": (HEAD + b"X-A: a\r\n b\r\nContent-Length: 4\r\n\r\nabcd", (400,)),
    "18: lines that end with LF": (HEAD.replace(b"\r\n", b"\n") + b"Content-Length: 4\n\nabcd", (400,)),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_too_much_or_ambiguous_is_refused_and_the_connection_closed(site, case):
    """Rows 13, 14, 15, 17 and 18: one answer, in any case."""
    sent, statuses = REFUSED[case]
    with site.traffic(pause=0.1) as traffic, connect(site) as connection:
        received = answer(connection, sent + (b"" if "limit" in case else LIVE))
        traffic.more()
    traffic.check()
    assert received.count(b"HTTP/1.1 ") <= 1
    # a client that has sent far too much may be told by RST alone
    assert int(received[9:12] or statuses[0]) in statuses, received[:200]
    if len(sent) < 1 << 16:
        assert received


def test_a_million_chunks_of_a_byte_cost_little(site):
    """Row 16."""
    before = site.cpu()
    with site.traffic(pause=0.2) as traffic, connect(site) as connection:
        sent = HEAD + b"Connection: close\r\n" + CHUNKED + b"1\r\nx\r\n" * 1_000_000 + b"0\r\n\r\n"
        received = answer(connection, sent)
    traffic.check()
    assert int(received[9:12]) in (200, 400, 413)
    assert site.cpu() - before < 5


def test_who_is_not_let_in_sends_no_body(own):
    """Row 20: the 401 comes instead of the 100."""
    site = own("token_file=tokens\n")
    (site.server.folder / "tokens").write_text("predict 0123456789abcdef0123\n")
    (site.server.folder / "tokens").chmod(0o600)
    site.start()
    with connect(site) as connection:
        connection.sendall(HEAD + b"Content-Length: 1000000\r\nExpect: 100-continue\r\n\r\n")
        received = connection.recv(1 << 16)
    assert received.startswith(b"HTTP/1.1 401 ") and b"100 Continue" not in received


def test_a_flood_of_connections_leaves_those_that_are_there_alone(own):
    """Row 21: to the limit of descriptors; nothing spins, and all is well when they have gone."""
    site = own(within=("sh", "-c", 'ulimit -n 256 && exec "$@"', "sh")).start()
    site.model("steady", "obey", workers=2)
    with site.traffic() as traffic, contextlib.ExitStack() as until:
        before = site.now()
        list(crowd_at_the_door(site, 600, until))
        traffic.more()
        busy, began = site.cpu(), time.monotonic()
        time.sleep(1)
        assert (site.cpu() - busy) / (time.monotonic() - began) < 0.9
        until.close()
        site.eventually(lambda: site.now().descriptors <= before.descriptors + 5)
        assert site.post("/predictions/steady", b"in again", "text/plain").body == b"in again"
    traffic.check()


def crowd_at_the_door(site, count, until):
    """So many that try to come in; some are turned away."""
    for _ in range(count):
        with contextlib.suppress(OSError):
            connection = until.enter_context(connect(site))
            connection.sendall(HEAD[:40])
            yield connection
