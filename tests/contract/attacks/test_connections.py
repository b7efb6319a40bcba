"""Clients that leave, half leave, or do not read, on the way that predictions take in a real server."""

import contextlib
import socket
import struct
import time
from urllib.parse import urlsplit

import pytest

LIMIT = 120.0
SLEEP = b'{"sleep": 1, "answer": "late"}'


@pytest.fixture
def dial(victim):
    """`dial()` connects to the inference listener; whoever is left is closed at the end."""
    made = []

    def connect(window=None):
        where = urlsplit(victim.contract.addresses["inference"])
        connection = socket.socket()
        if window:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        connection.settimeout(LIMIT)
        connection.connect((where.hostname, where.port))
        made.append(connection)
        return connection

    yield connect
    for connection in made:
        connection.close()


def post(path, body=b"", content_type="application/json", more=b""):
    return (
        b"POST %b HTTP/1.1\r\nHost: a\r\nContent-Type: %b\r\nContent-Length: %d\r\n%b\r\n"
        % (path, content_type.encode(), len(body), more)
    ) + body


def read(connection):
    received = b""
    while piece := connection.recv(1 << 16):
        received += piece
    return received


@pytest.mark.parametrize("more", [b"", b"Accept: */*\r\nExpect: 100-continue\r\n"], ids=["short way", "long way"])
def test_who_closes_the_sending_side_alone_is_answered(victim, dial, more):
    victim.contract.model("breaks", "steer")
    connection = dial()
    connection.sendall(post(b"/predictions/breaks", SLEEP, more=more))
    connection.shutdown(socket.SHUT_WR)
    told = read(connection)
    assert told.endswith(b"late") and told.count(b"HTTP/1.1 200 OK") == 1


@pytest.mark.parametrize("reset", [False, True])
def test_who_leaves_takes_the_request_along(victim, dial, reset):
    contract = victim.contract
    contract.model("breaks", "steer")

    def left():
        text = contract.request("GET", "/metrics", listener="metrics").body.decode()
        lines = [line for line in text.splitlines() if 'reason="client_gone"' in line and 'model_name="breaks"' in line]
        return sum(float(line.split()[-1]) for line in lines if "_total{" in line)

    before = left()
    busy, leaving = dial(), dial()
    busy.sendall(post(b"/predictions/breaks", b'{"sleep": 3, "answer": "late"}', more=b"Connection: close\r\n"))
    contract.eventually(lambda: busy_with(contract) == 1)
    leaving.sendall(post(b"/predictions/breaks", SLEEP))
    contract.eventually(lambda: waiting(contract) == 1)
    if reset:
        leaving.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    leaving.close()
    contract.eventually(lambda: waiting(contract) == 0)
    assert read(busy).endswith(b"late")
    contract.eventually(lambda: left() == before + 1)


def gauge(contract, name):
    text = contract.request("GET", "/metrics", listener="metrics").body.decode()
    return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(name) and '"breaks"' in line)


def waiting(contract):
    return gauge(contract, "numserve_queue_depth{")


def busy_with(contract):
    return gauge(contract, "numserve_requests_in_flight{")


def test_who_asks_ten_thousand_times_and_reads_nothing_costs_little(victim, dial):
    memory, seconds = victim.bytes(), victim.seconds()
    connection = dial(4096)
    connection.settimeout(2)
    body = b"x" * 10_000
    with contextlib.suppress(TimeoutError):  # the server has stopped reading, too
        connection.sendall(post(b"/predictions/tell", body, "text/plain") * 10_000)
    assert victim.bytes() - memory < 64 << 20 and victim.seconds() - seconds < 30


def test_answers_that_nobody_reads_are_bounded(serving, tmp_path):
    with serving(tmp_path, "max_unread_size=1000000\n") as contract:
        contract.model("tell")
        where = urlsplit(contract.addresses["inference"])
        clients = []
        try:
            for _ in range(10):
                connection = socket.socket()
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                connection.connect((where.hostname, where.port))
                clients.append(connection)
                connection.sendall(post(b"/predictions/tell", b"x" * 6_000_000, "text/plain"))
            name = 'numserve_requests_rejected_total{model_name="_unknown",reason="unread"}'

            def hung_up():
                text = contract.request("GET", "/metrics", listener="metrics").body.decode()
                return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(name))

            contract.eventually(lambda: hung_up() >= 5)
            assert contract.post("/predictions/tell", b"still here").status == 200
        finally:
            for connection in clients:
                connection.close()


@pytest.mark.slow
def test_headers_that_come_a_byte_at_a_time_end_and_harm_nobody(victim, dial):
    slow = [dial() for _ in range(200)]
    for connection in slow:
        connection.sendall(b"GET /ping HTTP/1.1\r\nX: ")
    until = time.monotonic() + LIMIT
    for connection in slow:
        connection.setblocking(False)
    left = set(slow)
    while left:
        assert time.monotonic() < until
        assert victim.contract.request("GET", "/v2/health/live").status == 200
        for connection in list(left):
            try:
                connection.sendall(b"a")
                if b"HTTP/1.1 408" in connection.recv(1 << 16):
                    left.discard(connection)
            except BlockingIOError:
                pass
            except ConnectionError:
                left.discard(connection)
        time.sleep(0.5)
