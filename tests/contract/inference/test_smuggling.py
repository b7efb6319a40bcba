"""What two parsers could read in two ways is refused, and the connection closed: no request hides in another one."""

import pytest

HEAD = b"POST /predictions/tell HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\n"
HIDDEN = b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
REFUSED = {
    "length and chunks": HEAD + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "two lengths": HEAD + b"Content-Length: 4\r\nContent-Length: 35\r\n\r\nabcd" + HIDDEN,
    "one length twice": HEAD + b"Content-Length: 4\r\nContent-Length: 4\r\n\r\nabcd",
    "a list of lengths": HEAD + b"Content-Length: 4, 4\r\n\r\nabcd",
    "a length with a sign": HEAD + b"Content-Length: +4\r\n\r\nabcd",
    "a negative length": HEAD + b"Content-Length: -4\r\n\r\nabcd",
    "a hexadecimal length": HEAD + b"Content-Length: 0x4\r\n\r\nabcd",
    "a length too large for anybody": HEAD + b"Content-Length: 99999999999999999999999\r\n\r\nabcd",
    "a folded header": HEAD + b"X-A: a\r\n b\r\nContent-Length: 4\r\n\r\nabcd",
    "lines that end with LF alone": HEAD.replace(b"\r\n", b"\n") + b"Content-Length: 4\n\nabcd",
    "a space before the colon": HEAD + b"Content-Length : 4\r\n\r\nabcd",
    "chunks that are not the last coding": HEAD + b"Transfer-Encoding: chunked, identity\r\n\r\n4\r\nabcd\r\n0\r\n\r\n",
    "an unknown coding": HEAD + b"Transfer-Encoding: xchunked\r\n\r\n4\r\nabcd\r\n0\r\n\r\n",
    "chunks that end with LF alone": CHUNKED + b"4\nabcd\n0\n\n",
    "a chunk that does not end": CHUNKED + b"4\r\nabcdXX0\r\n\r\n" + HIDDEN,
    "a chunk too large for anybody": CHUNKED + b"FFFFFFFFFFFFFFFFF\r\nabcd",
    "NUL in a header": HEAD + b"X-A: a\0b\r\nContent-Length: 4\r\n\r\nabcd",
    "CR in a header": HEAD + b"X-A: a\rb\r\nContent-Length: 4\r\n\r\nabcd",
    "a version that is none": b"GET /ping HTTP/9.9\r\nHost: a\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a target that is no path": b"GET @evil HTTP/1.1\r\nHost: a\r\n\r\n",
    "an endless method": b"A" * 300 + b" /ping HTTP/1.1\r\nHost: a\r\n\r\n",
}


@pytest.mark.parametrize("sent", REFUSED.values(), ids=REFUSED)
def test_what_is_ambiguous_is_refused_and_hides_nothing(contract, sent):
    contract.model("tell")
    told = contract.raw(sent)
    assert told.startswith(b"HTTP/1.1 400 ") and told.count(b"HTTP/1.1 ") == 1
    assert b"connection: close" in told and b"Invalid HTTP message." in told


ALLOWED = {
    "an extension of a chunk": CHUNKED + b"4;a=b\r\nabcd\r\n0\r\n\r\n",
    "a coding that changes nothing": HEAD + b"Transfer-Encoding: identity, chunked\r\n\r\n4\r\nabcd\r\n0\r\n\r\n",
    "an absolute target": b"GET http://elsewhere/ping HTTP/1.1\r\nHost: a\r\n\r\n",
}


@pytest.mark.parametrize("sent", ALLOWED.values(), ids=ALLOWED)
def test_what_is_odd_and_plain_is_served(contract, sent):
    contract.model("tell")
    told = contract.raw(sent + b"GET /v2/health/live HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert told.count(b"HTTP/1.1 200 OK") == 2


def test_an_upgrade_to_what_is_not_spoken_ends_the_connection(contract):
    told = contract.raw(
        b"GET /v2/health/live HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n" + HIDDEN
    )
    assert told.startswith(b"HTTP/1.1 200 OK") and b"connection: close" in told and told.count(b"HTTP/1.1 ") == 1
