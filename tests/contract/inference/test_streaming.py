"""Contract: inference API, section 10: answers in pieces."""

import http.client
import json
import time

import pytest


def test_a_piece_is_a_chunk(contract):
    contract.model("steer")
    body = b'{"pieces": ["one", "two"], "answer": "three", "type": "text/plain"}'
    received = contract.raw(
        b"POST /predictions/steer HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nConnection: close\r\n"
        b"Content-Length: %d\r\n\r\n" % len(body) + body
    )
    head, _, chunks = received.partition(b"\r\n\r\n")
    assert chunks == b"3\r\none\r\n3\r\ntwo\r\n5\r\nthree\r\n0\r\n\r\n"
    lines = head.lower().split(b"\r\n")
    assert lines[0].startswith(b"http/1.1 200 ")
    assert {b"ts_stream_next: true", b"transfer-encoding: chunked", b"content-type: text/plain"} <= set(lines)
    assert not [line for line in lines if line.startswith((b"x-late", b"content-length"))]


def test_pieces_come_as_they_are_made(contract):
    contract.model("steer")
    connection = contract.connect()
    order = b'{"pieces": ["one"], "pause": 1, "answer": "two"}'
    connection.request("POST", "/predictions/steer", order, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    assert answer.read1() == b"one"
    came = time.monotonic()
    assert answer.read() == b"two"
    assert time.monotonic() - came > 0.1
    connection.close()


def test_the_status_and_headers_of_the_first_piece_count(contract):
    answer = contract.steer(pieces=["a"], status=202, headers={"X-Early": "1"}, answer="b")
    assert (answer.status, answer["X-Early"], answer["x-late"], answer.body) == (202, "1", None, b"ab")


@pytest.mark.parametrize("failure", [{"raise": "value"}, {"exit": 1}, {"refuse": ["no", 429]}])
def test_a_failure_before_the_first_piece_is_a_status(contract, failure):
    contract.model("brittle", "steer")
    assert contract.json("/predictions/brittle", failure).status in (429, 500, 503)


@pytest.mark.parametrize("failure", [{"raise": "value"}, {"refuse": ["no", 429]}, {"return": "set"}])
def test_a_later_failure_breaks_the_answer_off(contract, deviates, failure):
    with pytest.raises(http.client.IncompleteRead) as caught:
        contract.steer(pieces=["one", "two"], **failure)
    assert caught.value.partial == b"onetwo"
    deviates("an answer in pieces that fails on the way")


def test_http_1_0_gets_all_pieces_at_once(contract):
    contract.model("steer")
    order = b'{"pieces": ["one", "two"], "answer": "three"}'
    received = contract.raw(
        b"POST /predictions/steer HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(order)
        + order
    )
    head, _, body = received.partition(b"\r\n\r\n")
    assert (b"content-length: 11" in head, body) == (True, b"onetwothree")


def test_a_connection_is_kept_after_pieces(contract):
    contract.model("steer")
    connection = contract.connect()
    for _ in range(2):
        order = b'{"pieces": ["one"], "answer": "two"}'
        connection.request("POST", "/predictions/steer", order, {"Content-Type": "application/json"})
        assert connection.getresponse().read() == b"onetwo"
    connection.close()


def test_a_client_that_leaves_between_two_pieces_ends_the_handler(contract, deviates):
    contract.model("steer")
    connection = contract.connect()
    order = json.dumps({"pieces": ["one"] * 1000, "pause": 0.1})
    connection.request("POST", "/predictions/steer", order, {"Content-Type": "application/json"})
    assert connection.getresponse().read1() == b"one"
    connection.close()
    began = time.monotonic()
    assert contract.steer(answer="fine").body == b"fine"
    assert time.monotonic() - began < 50
    deviates("a client that leaves in the middle of an answer in pieces")
