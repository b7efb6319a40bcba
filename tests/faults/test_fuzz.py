"""Whatever comes, however it is cut, is answered once, in its place; management does what it says (the fuzz line)."""

from __future__ import annotations

import contextlib
import random
import re
import socket
from concurrent.futures import ThreadPoolExecutor
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


def dialled(site):
    where = urlsplit(site.addresses["inference"])
    connection = socket.create_connection((where.hostname, where.port), timeout=PATIENCE)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def cut(chance, sent):
    """Pieces of it, as they may come."""
    while sent:
        size = chance.choice((1, 7, 40, 1000, len(sent)))
        yield sent[:size]
        sent = sent[size:]


def heard(connection, pieces):
    """What comes back until the server closes, when these have been sent, and no more will be."""
    received = b""
    with contextlib.suppress(OSError):
        for piece in pieces:
            connection.sendall(piece)
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
            with dialled(site) as connection:
                found = answers(heard(connection, cut(chance, sent)))
            assert found[: len(numbers)] == [(200, number) for number in numbers], (turn, sent, found)
            assert len(found) <= len(numbers) + 2 * bool(tail), (turn, sent, found)
    traffic.check()


KNOWN = HEAD % (b"", b"Content-Type: text/plain\r\nContent-Length: 5\r\n\r\n") + b"hello"
LENGTHS = (b"05", b"+5", b"5 ", b"5,5", b"6", b"4", b"-1", b"", b"0x5", b"5\n", b"5\r\nContent-Length: 5")


def nearly_known(chance):
    """The known request, with something in it that is not as it was."""
    kind, at = chance.randrange(5), chance.randrange(len(KNOWN))
    if kind == 0:
        return KNOWN.replace(b": 5\r\n", b": " + chance.choice(LENGTHS) + b"\r\n")
    if kind == 1:
        return b"\r\n" * chance.randint(1, 3) + KNOWN
    if kind == 2:
        return KNOWN + chance.choice((KNOWN, b"x", b"\r\n", b"GET / HTTP/1.1\r\n\r\n"))
    if kind == 3:
        return KNOWN[:at]
    return KNOWN[:at] + bytes([chance.randrange(256)]) + KNOWN[at + chance.randint(0, 1) :]


@pytest.mark.parametrize("count", [60, pytest.param(2000, marks=pytest.mark.slow)])
def test_what_is_nearly_known_is_answered_as_if_it_came_first(site, count):
    """A connection that has sent a request three times is told the same as a new one, whatever comes then."""
    chance = random.Random(count)
    for _ in range(count):
        sent = nearly_known(chance)
        with dialled(site) as used, dialled(site) as fresh:
            for _ in range(3):
                used.sendall(KNOWN)
                received = b""
                while not received.endswith(b"hello"):
                    received += used.recv(1 << 16)
            assert answers(heard(used, [sent])) == answers(heard(fresh, [sent])), sent


NAMES, VERSIONS = ("walked", "wandered"), ("1.0", "2.0")


class Walker:
    """Changes models at random, and knows what must come of it: `workers` of each version, `default` of each name."""

    def __init__(self, site, chance):
        self.site, self.chance = site, chance
        self.workers, self.default = {}, {}
        for name in NAMES:
            for version in VERSIONS:
                site._pack(name, version, "obey", None, None, {})

    def step(self):
        """Ask for one thing; what was asked, the status, and the one that must be."""
        name, version = key = self.chance.choice(NAMES), self.chance.choice(VERSIONS)
        do = self.chance.choice((self.register, self.delete, self.scale, self.choose, self.predict, self.describe))
        return do.__name__, key, *do(name, version, key in self.workers)

    def ask(self, method, path):
        return self.site.management(method, path)

    def register(self, name, version, there):
        answer = self.ask("POST", f"/models?url={name}-{version}&initial_workers=1&synchronous=true")
        if not there:
            self.workers[name, version] = 1
            self.default.setdefault(name, version)
        return answer.status, 409 if there else 200

    def delete(self, name, version, there):
        answer = self.ask("DELETE", f"/models/{name}/{version}")
        if not there:
            return answer.status, 404
        if self.default[name] == version and sum(other == name for other, _ in self.workers) > 1:
            return answer.status, 403
        del self.workers[name, version]
        if self.default[name] == version:
            del self.default[name]
        return answer.status, 200

    def scale(self, name, version, there):
        workers = self.chance.randint(0, 2)
        answer = self.ask("PUT", f"/models/{name}/{version}?min_worker={workers}&synchronous=true")
        if there:
            self.workers[name, version] = workers
        return answer.status, 200 if there else 404

    def choose(self, name, version, there):
        answer = self.ask("PUT", f"/models/{name}/{version}/set-default")
        if there:
            self.default[name] = version
        return answer.status, 200 if there else 404

    def predict(self, name, version, there):
        default = self.chance.random() < 0.5
        version = self.default.get(name) if default else version
        answer = self.site.post(f"/predictions/{name}" + f"/{version}" * (not default), b"x", "text/plain")
        workers = self.workers.get((name, version))
        return answer.status, 404 if workers is None else 200 if workers else 503

    def describe(self, name, version, there):
        answer = self.ask("GET", f"/models/{name}/{version}")
        if there:
            assert len(answer.json()[0]["workers"]) == self.workers[name, version]
        return answer.status, 200 if there else 404

    def leave(self):
        """Take away what is there, the default versions last."""
        for name, version in sorted(self.workers, key=lambda key: self.default[key[0]] == key[1]):
            assert self.ask("DELETE", f"/models/{name}/{version}").status == 200
        self.workers.clear()


@pytest.mark.parametrize("steps", [60, pytest.param(1000, marks=pytest.mark.slow)])
def test_management_is_where_a_table_of_it_is(site, steps):
    """Models come, go, scale and take turns at random."""
    walker = Walker(site, random.Random(steps))
    with site.traffic() as traffic:
        for step in range(steps):
            asked, key, status, wanted = walker.step()
            assert status == wanted, (step, asked, key, walker.workers, walker.default)
        walker.leave()
    traffic.check()


def test_management_by_many_at_once_tells_each_what_is_so(site):
    """Four at once, who know nothing of each other: each is told something that may be, and all can be undone."""
    walkers = [Walker(site, random.Random(seed)) for seed in range(4)]
    with site.traffic() as traffic, ThreadPoolExecutor() as pool:
        told = [pool.submit(lambda walker=walker: [blindly(walker) for _ in range(25)]) for walker in walkers]
        statuses = {status for each in told for status in each.result()}
    assert statuses <= {200, 403, 404, 409, 500, 503}, statuses
    for name in NAMES:
        for version in (*VERSIONS, *VERSIONS):
            site.management("DELETE", f"/models/{name}/{version}")
        assert site.management("GET", f"/models/{name}").status == 404
    traffic.check()


def blindly(walker):
    name, version = walker.chance.choice(NAMES), walker.chance.choice(VERSIONS)
    method, path = walker.chance.choice(
        (
            ("POST", f"/models?url={name}-{version}&initial_workers=1&synchronous=true"),
            ("DELETE", f"/models/{name}/{version}"),
            ("PUT", f"/models/{name}/{version}?min_worker={walker.chance.randint(0, 2)}&synchronous=true"),
            ("PUT", f"/models/{name}/{version}/set-default"),
            ("GET", f"/models/{name}"),
        )
    )
    return walker.ask(method, path).status
