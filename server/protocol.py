"""uvicorn's HTTP/1.1 protocol with limits of our own: what a client may send, and how long it may take."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from .api.responses import pretty

HEADER_BYTES = 65536
HEADER_COUNT = 200
UNFINISHED_BYTES = 1 << 20
"""What may arrive before a head is complete: the parser keeps an unfinished header to itself."""
HEADER_SECONDS = 10.0
BODY_IDLE_SECONDS = 30.0
LOOK_SECONDS = 5.0


class HeadTooLarge(Exception):
    """More or longer headers than anybody needs."""


class Joined:
    """A transport that sends the first two writes of a turn of the loop as one: the head of an answer and its body."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        """Stand before a transport."""
        self._transport = transport
        self._loop = loop
        self._held: bytes | None = None
        self._flushing = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Send, at the latest when the loop turns."""
        held, self._held = self._held, None
        if held is not None:
            self._transport.writelines((held, data))
            return
        self._held = data
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def close(self) -> None:
        """Send what is held, and close."""
        self._send_held()
        self._transport.close()

    def _flush(self) -> None:
        self._flushing = False
        self._send_held()

    def _send_held(self) -> None:
        held, self._held = self._held, None
        if held is not None and not self._transport.is_closing():
            self._transport.write(held)


class CarefulProtocol(HttpToolsProtocol):
    """Refuses endless headers, and hangs up on those who do not finish what they began."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to watch."""
        super().connection_made(Joined(transport, self.loop))  # type: ignore[arg-type]
        self._head_bytes = self._head_count = self._unfinished = 0
        self._heard_at = self.loop.time()
        self._head_since: float | None = self._heard_at
        self._watch = self.loop.call_later(LOOK_SECONDS, self._look)

    def connection_lost(self, error: Exception | None) -> None:
        """Stop watching."""
        self._watch.cancel()
        super().connection_lost(error)

    def data_received(self, data: bytes) -> None:
        """Note that the client still speaks."""
        self._heard_at = self.loop.time()
        if self._head_since is not None:
            self._unfinished += len(data)
        super().data_received(data)
        if self._head_since is not None and self._unfinished > UNFINISHED_BYTES and not self.transport.is_closing():
            self.send_400_response("")

    def on_message_begin(self) -> None:
        """Count anew for this request."""
        self._head_bytes = self._head_count = 0
        self._head_since = self._heard_at
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Take a piece of the URL."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header."""
        self._head_count += 1
        self._count(len(name) + len(value))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is there in time."""
        self._head_since = None
        self._unfinished = 0
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP, or has too long a head, in our error shape."""
        large = (
            max(self._head_bytes / HEADER_BYTES, self._head_count / HEADER_COUNT, self._unfinished / UNFINISHED_BYTES)
            > 1
        )
        code, kind, text = (
            (431, "HeaderTooLargeException", "The request's headers are too large.")
            if large
            else (400, "BadRequestException", "Invalid HTTP message.")
        )
        body = pretty({"code": code, "type": kind, "message": text})
        head = f"HTTP/1.1 {code} \r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
        self.transport.write(head.encode() + b"connection: close\r\n\r\n" + body)
        self.transport.close()

    def _count(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > HEADER_BYTES or self._head_count > HEADER_COUNT:
            raise HeadTooLarge

    def _look(self) -> None:
        """Hang up where a head is not complete in time, or a body has stopped coming."""
        now = self.loop.time()
        cycle: Any = self.cycle
        stuck = self._head_since is not None and now - self._head_since > HEADER_SECONDS
        waiting = cycle is not None and cycle.more_body and not cycle.response_complete and not self.flow.read_paused
        if stuck or (waiting and now - self._heard_at > BODY_IDLE_SECONDS):
            self.transport.abort()
        else:
            self._watch = self.loop.call_later(LOOK_SECONDS, self._look)
