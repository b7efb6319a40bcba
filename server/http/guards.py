"""What one client may cost: how many connections, how slowly it sends and reads, and how its connection ends.

All of it is about bytes and time, below any request: it holds whichever way a request takes.
"""

from __future__ import annotations

import asyncio
import fcntl
import resource
import select
import sys
import termios
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from uvicorn.protocols.http.flow_control import FlowControl

from ..heap import HEAP

DESCRIPTORS = 65536
"""Open files and sockets that the server asks the system for, where that allows them."""
OF_PREDICTIONS, OF_OPERATORS = 5 / 8, 1 / 16
"""The shares of the descriptors that connections of a listener may take: a flood of one leaves the others theirs, and
the workers a fifth."""
WIRE_BYTES_OF_A_BYTE, SLACK_BYTES = 8, 1 << 20
"""A body in chunks of a byte comes as six times its size; this is what chunks may take at most."""
WINDOW_SECONDS = 15.0
"""In each of these, what is under way must move by `rate` bytes a second."""
NOTICED_BYTES = 1 << 16
"""What a client may have sent of a request before it counts among all that is unfinished."""
CROWD = 256
"""Connections that are many: when most of so many have gone, their memory goes as well."""
LINGER_SECONDS = 1.0
"""How long what a client still sends is read and dropped after its answer, which it would not see otherwise."""
PROBE_SECONDS = 0.02
"""How long an answer may take before a client that sends no more is asked whether it still reads."""
PROBE = b"HTTP/1.1 100 Continue\r\n\r\n"
BUSY = b'{\n  "code": 503,\n  "type": "ServiceUnavailableException",\n  "message": "Too many connections."\n}\n'
REFUSAL = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\ncontent-length: %d\r\nretry-after: 1\r\n"
    b"connection: close\r\n\r\n%b" % (len(BUSY), BUSY)
)


@dataclass(frozen=True, slots=True)
class Limits:
    """What a listener grants: connections in all and to one address (0 = as many), bytes a second, bytes of all answers
    that are unread, of all requests that are unfinished, and bytes that a body may come as, in chunks with all that is
    around them."""

    connections: int = 10_000
    per_peer: int = 0
    rate: int = 240
    unread: int = 1 << 30
    unfinished: int = 1 << 30
    body: int = 1 << 40


def raise_descriptors() -> int:
    """Ask the system for more descriptors than the usual 1024; returns how many there may be now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    return DESCRIPTORS if soft == resource.RLIM_INFINITY else soft


class Kept:
    """What is kept in memory for connections, together; where it is too much, who has had it longest is hung up on."""

    def __init__(self, limit: int, reason: str) -> None:
        """Keep so many bytes at most, but for those of one connection; `reason` is told of who had to go."""
        self._limit = limit
        self._reason = reason
        self._sizes: dict[Connection, int] = {}
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._sizes)

    def keep(self, connection: Connection, size: int) -> None:
        """So many bytes are kept for a connection from now on."""
        self.bytes += size - self._sizes.get(connection, 0)
        self._sizes[connection] = size
        while len(self._sizes) > 1 and self.bytes > self._limit:
            oldest = next(iter(self._sizes))
            self.drop(oldest)
            oldest.hang_up(self._reason)

    def drop(self, connection: Connection) -> bool:
        """Nothing is kept for a connection any more; whether it was the last one for which something was."""
        self.bytes -= self._sizes.get(connection, 0)
        return self._sizes.pop(connection, None) is not None and not self._sizes


class Door:
    """Counts the connections of a listener, and what is kept for their clients; its protocols share it."""

    def __init__(self, limits: Limits | None = None, refused: Callable[[str], None] = lambda reason: None) -> None:
        """Grant so much; `refused` is told why somebody was turned away or hung up on."""
        self.limits = limits or Limits()
        self._refused = refused
        self._inside = self._most = 0
        self._of_peer: Counter[str] = Counter()
        self.unread = Kept(self.limits.unread, "unread")
        """Answers that clients have not read."""
        self.unfinished = Kept(self.limits.unfinished, "unfinished")
        """Requests that clients have begun."""

    def enter(self, peer: str) -> bool:
        """Let a client in, unless there are too many."""
        full = self._inside >= self.limits.connections
        if full or 0 < self.limits.per_peer <= self._of_peer[peer]:
            self._refused("connections" if full else "connections_of_peer")
            return False
        self._inside += 1
        self._most = max(self._most, self._inside)
        self._of_peer[peer] += 1
        return True

    def leave(self, peer: str) -> None:
        """A client that was let in has gone."""
        self._inside -= 1
        self._of_peer[peer] -= 1
        if not self._of_peer[peer]:
            del self._of_peer[peer]
        if self._most > CROWD and self._inside < self._most / 4:
            self._most = self._inside
            asyncio.get_running_loop().call_later(LINGER_SECONDS, HEAP.trim)

    def refuse(self, reason: str) -> None:
        """Note why somebody was hung up on."""
        self._refused(reason)


class Pace:
    """Whether something moves: by at least `least` bytes in each window."""

    def __init__(self, rate: int) -> None:
        """At `rate` bytes a second; 0 = at all."""
        self._least = max(1, int(rate * WINDOW_SECONDS))
        self._since: float | None = None
        self._then = 0

    def rest(self) -> None:
        """Nothing is expected to move."""
        self._since = None

    def too_slow(self, now: float, total: int) -> bool:
        """Whether a window has passed in which too little was added to `total`, the bytes so far."""
        if self._since is None or total - self._then >= self._least:
            self._since, self._then = now, total
        return now - self._since > WINDOW_SECONDS


class Connection:
    """The guard of one connection; the protocol tells it what happens, and asks it now and then."""

    def __init__(self, door: Door, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        """Watch over a transport that was let in at a door."""
        self._door = door
        self._transport = transport
        self._loop = loop
        self._coming, self._going = Pace(door.limits.rate), Pace(door.limits.rate)
        self._received = self._taken = self._left = 0
        self._body_from = self._finished_at = 0
        self.receiving = False
        """Whether a body is under way."""
        self._probed = False
        self.ended = False
        """Whether the client sends no more, and waits for its answers."""
        self.parting = False
        """Whether the last answer is out, and what still comes is dropped."""

    def begin(self) -> None:
        """A body is under way from now on."""
        self.receiving = True
        self._body_from = self._received

    def heard(self, size: int) -> None:
        """The client has sent some bytes."""
        self._received += size
        if (unfinished := self._received - self._finished_at) > NOTICED_BYTES:
            self._door.unfinished.keep(self, unfinished)

    def finished(self) -> None:
        """The client has sent a whole request."""
        self.receiving = False
        if self._received - self._finished_at > NOTICED_BYTES:
            self._door.unfinished.drop(self)
        self._finished_at = self._received

    def flooded(self) -> bool:
        """Whether a body comes as more bytes than any that is not made of chunks without content."""
        return self.receiving and not self.parting and self._received - self._body_from > self._door.limits.body

    def look(self, now: float, reading: bool) -> str | None:
        """What is too slow now, `body` or `reader`; `reading` says whether we take what the client sends."""
        held = self._transport.get_write_buffer_size()
        left = held and held + _on_the_way(self._transport.get_extra_info("socket"))
        self._taken += max(0, self._left - left)
        self._left = left
        if not left:
            self._going.rest()
        elif self._going.too_slow(now, self._taken):
            return "reader"
        if not self.receiving or not reading:
            self._coming.rest()
        elif self._coming.too_slow(now, self._received):
            return "body"
        return None

    def full(self) -> None:
        """The client does not read as fast as it is answered."""
        self._door.unread.keep(self, self._transport.get_write_buffer_size())

    def empty(self) -> None:
        """It has caught up."""
        self._going.rest()
        self._door.unread.drop(self)

    def lost(self) -> None:
        """The connection is gone; its memory is not needed when there is nothing more to keep for any client."""
        if self._door.unread.drop(self) | self._door.unfinished.drop(self):
            self._loop.call_later(LINGER_SECONDS, HEAP.trim)

    def hang_up(self, reason: str) -> None:
        """End it now, whatever is under way."""
        self._door.refuse(reason)
        self._transport.abort()

    def part(self) -> None:
        """Close after the last answer: with a client that still sends, only when it has had time to see that.

        A socket that is closed with unread bytes in it is reset, and what was sent is lost with it.
        """
        if self.parting or self._transport.is_closing():
            return
        if self.ended or not self.receiving:
            self._transport.close()
            return
        self.parting = True
        self._transport.resume_reading()
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self._loop.call_later(LINGER_SECONDS, self._transport.abort)

    def end(self, busy: bool, answering: Callable[[], bool], may_probe: bool) -> bool:
        """The client sends no more; whether the connection stays open for the answers it still waits for, which `busy`
        says, and `answering()` later on.

        One that has closed altogether looks the same, until it is sent something: after a moment it is told to continue
        (RFC 9110, 15.2 lets any client of HTTP/1.1 be), and then it is gone or not.
        """
        if self.parting or self.receiving or not busy or self._transport.get_extra_info("ssl_object"):
            return False
        self.ended = True
        self._loop.call_later(PROBE_SECONDS, self._probe, answering, may_probe)
        return True

    def is_there(self) -> bool:
        """Whether the client of a plain request still waits, as far as it can be told without waiting for the loop."""
        socket = self._transport.get_extra_info("socket")
        if self._transport.is_closing() or self._transport.get_extra_info("ssl_object"):
            return not self._transport.is_closing()
        if not _polled(socket, select.POLLRDHUP):
            return True
        if not self._probed:
            self._probed = True
            self._transport.write(PROBE)
        return not _reset(socket)

    def left(self, may_probe: bool) -> bool:
        """Whether a client has left that is not read from, as it has asked for more than it has answers to.

        One that has closed one side, or both, is asked as by `end()`, and is known at the next look.
        """
        poller = select.poll()
        poller.register(self._transport.get_extra_info("socket").fileno(), select.POLLRDHUP)
        happened = sum(event for _, event in poller.poll(0))
        if happened == select.POLLRDHUP and may_probe and not self._transport.get_extra_info("ssl_object"):
            self._transport.write(PROBE)
        return bool(happened & (select.POLLHUP | select.POLLERR))

    def _probe(self, answering: Callable[[], bool], send: bool, pause: float = 0.01) -> None:
        """Ask once, then look ever less often whether the client is there: nobody reads that would be told."""
        if self._transport.is_closing() or not answering():
            return
        if send and not self._probed:
            self._probed = True
            self._transport.write(PROBE)
        if _reset(self._transport.get_extra_info("socket")):
            self._transport.abort()
        else:
            self._loop.call_later(pause, self._probe, answering, False, min(2 * pause, 5.0))


class Flow(FlowControl):
    """Reads on only when no request waits for the one before it: a client that does not wait for answers waits itself.

    uvicorn reads on with each answer, by more requests than that one.
    """

    def __init__(self, transport: asyncio.Transport, waiting: Collection[Any]) -> None:
        """Look at the requests that are `waiting`."""
        super().__init__(transport)
        self._waiting = waiting

    def resume_reading(self) -> None:
        """Read on, unless somebody waits."""
        if not self._waiting:
            super().resume_reading()


class TurnedAway(asyncio.Protocol):
    """Who came when there were too many already."""

    def __init__(self, transport: asyncio.Transport) -> None:
        """Say so, and close."""
        transport.set_protocol(self)
        transport.write(REFUSAL)
        transport.close()


def peer_of(place: object) -> str:
    """A client by the name that its socket has; those of a Unix socket have one together."""
    return place[0] if isinstance(place, tuple) else "unix"


def _on_the_way(socket: Any) -> int:
    """The bytes that the system holds for a client: it takes some in large steps from us, and hands them on in small
    ones, by which a slow reader is told from one that does not read (tcp(7), SIOCOUTQ)."""
    return int.from_bytes(fcntl.ioctl(socket.fileno(), termios.TIOCOUTQ, bytes(4)), sys.byteorder)


def _reset(socket: Any) -> bool:
    """Whether the peer of a connected socket has closed it in both directions."""
    return _polled(socket, 0)


def _polled(socket: Any, events: int) -> bool:
    """Whether one of these has happened to a socket, or its end."""
    poller = select.poll()
    poller.register(socket.fileno(), events)
    return bool(poller.poll(0))
