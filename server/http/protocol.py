"""uvicorn's HTTP/1.1 protocol with limits of our own: what a client may send, and how long it may take."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from ..api.responses import pretty
from .guards import Connection, Door, Flow, TurnedAway, peer_of

HEADER_BYTES = 65536
HEADER_COUNT = 200
UNFINISHED_BYTES = 2 * HEADER_BYTES
"""What may arrive before a head is complete: the parser keeps an unfinished header to itself."""
HEADER_SECONDS = 10.0
LOOK_SECONDS = 5.0
LAST_CALL_SECONDS = 0.5
"""How long a connection without a request stays open when the server stops: one may be on its way."""


class HeadTooLarge(Exception):
    """More or longer headers than anybody needs."""


class Joined:
    """A transport that sends the first two writes of a turn of the loop as one: the head of an answer and its body."""

    def __init__(
        self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, part: Callable[[], None] | None = None
    ) -> None:
        """Stand before a transport, which `part` closes when all is sent."""
        self._transport = transport
        self._loop = loop
        self._part = part or transport.close
        self._closed = False
        self._held: bytes | None = None
        self._flushing = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Send, at the latest when the loop turns; nothing more once it is closed."""
        if self._closed:
            return
        held, self._held = self._held, None
        if held is not None:
            self._transport.writelines((held, data))
            return
        self._held = data
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def write_whole(self, *pieces: bytes | bytearray | memoryview) -> None:
        """Send an answer that is all there, behind what is held; nothing where the connection ends."""
        if self._closed or self._transport.is_closing():
            return
        held, self._held = self._held, None
        if held is not None:
            pieces = (held, *pieces)
        if len(pieces) == 1:
            self._transport.write(pieces[0])
        else:
            self._transport.writelines(pieces)

    def close(self) -> None:
        """Send what is held, and close."""
        self._closed = True
        self._send_held()
        self._part()

    def is_closing(self) -> bool:
        """Whether nothing more can be sent."""
        return self._closed or self._transport.is_closing()

    def _flush(self) -> None:
        self._flushing = False
        self._send_held()

    def _send_held(self) -> None:
        held, self._held = self._held, None
        if held is not None and not self._transport.is_closing():
            self._transport.write(held)


class CarefulProtocol(HttpToolsProtocol):
    """Refuses endless headers, and hangs up on those who do not finish what they began.

    What its connections may cost is in `guards`.
    """

    door = Door()
    """Of the listener: each has a class of its own, made by `at()`."""
    expected = False
    """Whether the door has let in the client that is to come."""

    @classmethod
    def at(cls, door: Door) -> type[CarefulProtocol]:
        """The protocol of a listener."""
        return type(cls.__name__, (cls,), {"door": door})

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to watch."""
        self._peer = peer_of(transport.get_extra_info("peername"))
        if not self.expected and not self.door.enter(self._peer):
            TurnedAway(transport)
            return
        self.expected = False
        self._guard = Connection(self.door, transport, self.loop)
        super().connection_made(Joined(transport, self.loop, self._guard.part))  # type: ignore[arg-type]
        self.flow = Flow(self.transport, self.pipeline)
        self._head_bytes = self._unfinished = 0
        self._former: Any = None
        self._running: Any = None
        self._last_words = b""
        self._head_since: float | None = self.loop.time()
        self._watch = self.loop.call_later(LOOK_SECONDS, self._look)

    def connection_lost(self, error: Exception | None) -> None:
        """Stop watching."""
        self._watch.cancel()
        self._guard.lost()
        self.door.leave(self._peer)
        if self._running is not None and not self._running.response_complete:  # uvicorn tells the newest alone
            self._running.disconnected = True
            self._running.message_event.set()
        self._former = self._running = None
        super().connection_lost(error)
        if self.cycle is not None and self.cycle.response_complete:  # it refers to us: a crowd of such pairs would be
            self.cycle = None  # type: ignore[assignment]  # the collector's, which stops everything

    def eof_received(self) -> bool:  # type: ignore[override]
        """The client sends no more; it still gets the answers it waits for."""
        self._whole_ones_wait()
        probing = self.scope is not None and self.scope["http_version"] == "1.1"
        return self._guard.end(self.answering(), self.answering, probing and not self._answer_begun())

    def shutdown(self) -> None:
        """The server stops: end with the answer that is due, or soon where none is."""
        if self.answering():
            super().shutdown()
        else:
            self.loop.call_later(LAST_CALL_SECONDS, super().shutdown)

    def pause_writing(self) -> None:
        """The client reads too slowly for now."""
        self._guard.full()
        super().pause_writing()

    def resume_writing(self) -> None:
        """It goes on."""
        self._guard.empty()
        super().resume_writing()

    def answering(self) -> bool:
        """Whether an answer is still to be sent, or to be completed."""
        return bool(self.pipeline) or (self.cycle is not None and not self.cycle.response_complete)

    def data_received(self, data: bytes) -> None:
        """Note that the client still speaks."""
        if self._guard.parting or self._last_words:
            return
        self._guard.heard(len(data))
        if self._head_since is not None:
            self._unfinished += len(data)
        super().data_received(data)
        if self._head_since is not None and self._unfinished > UNFINISHED_BYTES and not self.transport.is_closing():
            self.send_400_response("")
        if self._guard.flooded() and not self._answer_begun():
            self.door.refuse("body")
            self._refuse(413, "ContentTooLargeException", "The body's chunks hold too little for their size.")

    def on_message_begin(self) -> None:
        """Count anew for this request."""
        self._begin_head()
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Take a piece of the URL."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header."""
        super().on_header(name, value)
        self._count(len(name) + len(value))

    def on_headers_complete(self) -> None:
        """The head is there in time."""
        self._end_head()
        self._former = self.cycle
        super().on_headers_complete()
        if not self.pipeline:
            self._running = self.cycle

    def on_message_complete(self) -> None:
        """The body is there, too."""
        self._guard.finished()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Close where the client has ended its side, or was to be refused something, and has its answers."""
        if self.pipeline:
            self._running = self.pipeline[-1][0]
        super().on_response_complete()
        if self.answering():
            return
        if self._last_words:
            self._say(self._last_words)
        elif self._guard.ended:
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP, or has too long a head, in our error shape."""
        large = (
            self._head_bytes > HEADER_BYTES
            or self._unfinished > UNFINISHED_BYTES
            or len(self.headers or ()) > HEADER_COUNT
        )
        if large:
            self._refuse(431, "HeaderTooLargeException", "The request's headers are too large.")
        else:
            self._refuse(400, "BadRequestException", "Invalid HTTP message.")

    def _refuse(self, code: int, kind: str, text: str) -> None:
        """Answer without any application, behind the answers that are due, and close."""
        body = pretty({"code": code, "type": kind, "message": text})
        head = f"HTTP/1.1 {code} \r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
        words = head.encode() + b"connection: close\r\n\r\n" + body
        if self._whole_ones_wait():
            self._last_words = words
            self._guard.receiving = False
        else:
            self._say(words)

    def _say(self, last_words: bytes) -> None:
        """Write the last that there is to be told, and close."""
        self._guard.receiving = True  # whatever it was that the client was sending
        self.transport.write(last_words)
        self.transport.close()

    def _whole_ones_wait(self) -> bool:
        """Whether requests that are whole wait for their answers; one behind them that is not is forgotten."""
        if self.pipeline and self.cycle.more_body:
            self.pipeline.popleft()
            self.cycle = self._former
            self._guard.receiving = False
        return self.answering() and not self.cycle.more_body

    def _begin_head(self) -> None:
        self._head_bytes = 0
        self._head_since = self.loop.time()

    def _end_head(self) -> None:
        self._head_since = None
        self._unfinished = 0
        self._guard.begin()

    def _count(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > HEADER_BYTES or len(self.headers) > HEADER_COUNT:
            raise HeadTooLarge

    def _answer_begun(self) -> bool:
        return self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete

    def _look(self) -> None:
        """Hang up where a head is not complete in time, or a body, or the reading of an answer, hardly moves on."""
        now = self.loop.time()
        if self._guard.parting:
            return
        if self._head_since is not None and now - self._head_since > HEADER_SECONDS:
            self._give_up("head", answer=self._unfinished > 0)
        elif slow := self._guard.look(now, reading=not self.flow.read_paused):
            self._give_up(slow, answer=slow == "body" and not self._answer_begun())
        elif self.flow.read_paused and self._guard.left(may_probe=not self._answer_begun()):
            self.transport.abort()
        else:
            self._watch = self.loop.call_later(LOOK_SECONDS, self._look)

    def _give_up(self, reason: str, answer: bool) -> None:
        """End a connection that costs more than it should, with 408 where the client may read that."""
        if answer and not self.transport.is_closing():
            self.door.refuse(reason)
            self._refuse(408, "RequestTimeoutException", "The request was not sent in time.")
        else:
            self._guard.hang_up(reason)
