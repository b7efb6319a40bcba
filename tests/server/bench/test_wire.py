"""Answers out of bytes, however these are cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from numserve.server.bench.wire import Answer, BadAnswer, ResponseParser, request_bytes

PLAIN = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"5;name=value\r\nhello\r\nA\r\n\r\n\r\n456789\r\n0\r\nX-Sum: 1\r\n\r\n"
)
ANSWERS = {
    PLAIN: Answer(200, b"hello", False),
    CHUNKED: Answer(200, b"hello\r\n\r\n456789", False),
    b"HTTP/1.1 404 Not Found\r\ncontent-length:0\r\nConnection: close\r\n\r\n": Answer(404, b"", True),
    b"HTTP/1.1 204 No Content\r\nX: y\r\n\r\n": Answer(204, b"", False),
    b"HTTP/1.1 100 Continue\r\n\r\n" + PLAIN: Answer(200, b"hello", False),
    b"HTTP/1.0 200 OK\r\nX-Content-Length: 9\r\nCONTENT-LENGTH:\t2 \r\n\r\nhi": Answer(200, b"hi", False),
}


@pytest.mark.parametrize("data", ANSWERS)
@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_an_answer_in_pieces(data, size):
    parser = ResponseParser(keep=True)
    for _ in range(2):
        told = [parser.feed(data[start : start + size]) for start in range(0, len(data), size)]
        assert told[:-1] == [None] * (len(told) - 1)
        assert told[-1] == ANSWERS[data]
        assert not parser.begun


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=6), st.lists(st.integers(1, 30), min_size=1))
def test_chunks_of_any_cut(chunks, cuts):
    data = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    data += b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    parser, at, answer = ResponseParser(keep=True), 0, None
    while at < len(data):
        assert answer is None
        size = cuts[at % len(cuts)]
        answer = parser.feed(data[at : at + size])
        at += size
    assert answer == Answer(200, b"".join(chunks), False)


def test_bodies_that_nobody_wants_are_thrown_away():
    for data in (PLAIN, CHUNKED):
        assert ResponseParser().feed(data) == Answer(200, b"", False)


def test_a_body_that_ends_with_the_connection():
    parser = ResponseParser(keep=True)
    assert parser.feed(b"HTTP/1.1 200 OK\r\n\r\nhel") is None
    assert parser.feed(b"lo") is None
    assert parser.end() == Answer(200, b"hello", True)


@pytest.mark.parametrize("data", [b"", PLAIN[:10], PLAIN[:-1], CHUNKED[:-1]])
def test_a_connection_that_ends_too_early(data):
    parser = ResponseParser()
    assert parser.feed(data) is None if data else True
    assert parser.end() is None
    assert parser.begun == bool(data)


@pytest.mark.parametrize(
    "data",
    [
        PLAIN + b"!",
        CHUNKED + b"!",
        b"SSH-2.0-OpenSSH_9\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        CHUNKED.replace(b"A\r\n", b"xyz\r\n"),
        b"HTTP/1.1 200 OK\r\nX: " + bytes(1 << 17),
    ],
)
def test_what_is_no_answer_or_more_than_one(data):
    with pytest.raises(BadAnswer):
        ResponseParser().feed(data)


def test_a_request():
    assert request_bytes("POST", "/p", "h:1", {"A": "b"}, b"xy") == (
        b"POST /p HTTP/1.1\r\nHost: h:1\r\nA: b\r\nContent-Length: 2\r\n\r\nxy"
    )
