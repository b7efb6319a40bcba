"""Whatever comes, and however it is cut: each request that is whole has its answer, once, in its place."""

from __future__ import annotations

import contextlib
import random
import re
import socket
from urllib.parse import urlsplit

import pytest

PATIENCE = 60
PROBE = b"HTTP/1.1 100 Continue\r\n\r\n"
HEAD = b"POST /predictions/steady%b HTTP/1.1\r\nHost: localhost\r\n%b"
MALFORMED = (
    b"\0\0\0\0\r\n\r\n",
    b"GET\r\n\r\n",
    b"GET / HTTP/9.9\r\n\r\n",
    b"POST /predictions/steady HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
    b"POST /predictions/steady HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
    b"POST /predictions/steady HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n0\r\n\r\n",
    b"POST /predictions/steady HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"POST /predictions/steady HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxyz\r\n",
    b"POST /predictions/steady HTTP/1.1\r\nno colon\r\n\r\n",
    b"POST /predictions/steady HTTP/1.1\r\n" + b"X: y\r\n" * 300 + b"\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"CONNECT localhost:1 HTTP/1.1\r\nHost: localhost\r\n\r\nraw",
)


def whole(chance, number):
    """A request for that number, in one of the ways that HTTP has for it."""
    extra = b"".join(
        chance.sample([b"X-A: b\r\n", b"Connection: keep-alive\r\n", b"Accept: */*\r\n", b"X: \xc3\xa9\r\n"], 2)
    )
    head = HEAD % (chance.choice((b"", b"", b"?a=b")), b"Content-Type: text/plain\r\n" * chance.randint(0, 1) + extra)
    if chance.random() < 0.7:
        return head + b"Content-Length: %d\r\n\r\n%b" % (len(number), number)
    at = chance.randint(0, len(number))
    pieces = [piece for piece in (number[:at], number[at:]) if piece]
    chunks = b"".join(b"%x%b\r\n%b\r\n" % (len(piece), chance.choice((b"", b";a=b")), piece) for piece in pieces)
    return head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"


def broken(chance):
    """What is no request, or hardly one."""
    if chance.random() < 0.5:
        return chance.choice(MALFORMED)
    sent = bytearray(whole(chance, b"77"))
    for _ in range(chance.randint(1, 3)):
        sent[chance.randrange(len(sent))] = chance.randrange(256)
    return bytes(sent[: chance.randint(1, len(sent))])


def told(site, chance, sent):
    """What comes back of bytes that are sent in pieces, until the server closes."""
    where = urlsplit(site.addresses["inference"])
    received = b""
    with socket.create_connection((where.hostname, where.port), timeout=PATIENCE) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(ConnectionError):
            while sent:
                size = chance.choice((1, 7, 40, 1000, len(sent)))
                connection.sendall(sent[:size])
                sent = sent[size:]
            connection.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionError):
            while piece := connection.recv(1 << 16):
                received += piece
    return received.replace(PROBE, b"")


def answers(received):
    """Statuses and bodies."""
    found = []
    while received:
        head, _, rest = received.partition(b"\r\n\r\n")
        length = re.search(rb"(?im)^content-length: (\d+)", head)
        assert head.startswith(b"HTTP/1.1 ") and length and len(rest) >= int(length[1]), received
        found.append((int(head[9:12]), rest[: int(length[1])]))
        received = rest[int(length[1]) :]
    return found


@pytest.mark.parametrize("count", [150, pytest.param(5000, marks=pytest.mark.slow)])
def test_what_is_whole_is_answered_once_whatever_comes_behind(site, count):
    """Nightly grammar fuzz, in short: requests one behind the other, cut anywhere, and then what is none."""
    chance = random.Random(count)
    with site.traffic(pause=0.1) as traffic:
        for turn in range(count):
            numbers = [b"%d%04d" % (turn, number) for number in range(chance.randint(0, 4))]
            tail = broken(chance) if chance.random() < 0.6 else b""
            sent = b"".join(whole(chance, number) for number in numbers) + tail
            found = answers(told(site, chance, sent))
            assert found[: len(numbers)] == [(200, number) for number in numbers], (turn, sent, found)
            assert len(found) <= len(numbers) + 2 * bool(tail), (turn, sent, found)
    traffic.check()
