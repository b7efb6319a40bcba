"""The load generator's side of HTTP/1.1: a request as bytes, and answers out of bytes, however these are cut."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)[ \t]*\r\n", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:[^\r]*chunked[ \t]*\r\n", re.IGNORECASE)
_CLOSE = re.compile(rb"\r\nconnection:[^\r]*close", re.IGNORECASE)
MAX_HEAD = 1 << 16
BODILESS = (204, 304)


class BadAnswer(Exception):
    """The bytes are no HTTP/1.1 response, or more than one."""


class Answer(NamedTuple):
    """A response; `body` is empty where bodies are not kept, `last` tells that the connection ends with it."""

    status: int
    body: bytes
    last: bool


def request_bytes(method: str, path: str, host: str, headers: Mapping[str, str], body: bytes) -> bytes:
    """A request with its length; `headers` are others than Host and Content-Length."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode("latin-1") + body


class ResponseParser:
    """The answers of one connection, one after the other; the next request goes out when the last is answered."""

    def __init__(self, keep: bool = False) -> None:
        """Throw bodies away, or `keep` them."""
        self._keep = keep
        self._reset()

    def _reset(self) -> None:
        self._buffer = b""
        self._body: list[bytes] = []
        self._status = 0
        self._last = False
        self._left = 0
        self._read = self._read_head

    @property
    def begun(self) -> bool:
        """Whether part of an answer has come."""
        return bool(self._status or self._buffer)

    def feed(self, data: bytes) -> Answer | None:
        """Take what has come; the answer when it is whole.

        Raises: BadAnswer where this is no response, or bytes follow it.
        """
        return self._read(data)

    def end(self) -> Answer | None:
        """The connection has ended: the answer that this completes, if it is one without a length."""
        return self._done() if self._status and self._read == self._read_to_end else None

    def _read_head(self, data: bytes) -> Answer | None:
        data = self._buffer + data if self._buffer else data
        end = data.find(b"\r\n\r\n")
        if end < 0:
            if len(data) > MAX_HEAD or not b"HTTP/1.".startswith(data[:7]):
                raise BadAnswer(f"no response: {data[:40]!r}")
            self._buffer = data
            return None
        head, rest = data[: end + 2], data[end + 4 :]
        if not head.startswith(b"HTTP/1.") or not head[9:12].isdigit():
            raise BadAnswer(f"no response: {head[:40]!r}")
        status = int(head[9:12])
        if status < 200:  # an interim response; the real one follows
            self._reset()
            return self._read_head(rest)
        self._status, self._buffer = status, b""
        self._last = _CLOSE.search(head) is not None
        if _CHUNKED.search(head):
            self._read = self._read_chunks
        elif length := _LENGTH.search(head):
            self._left = int(length[1])
            self._read = self._read_length
        elif status in BODILESS:
            self._read = self._read_length
        else:
            self._last = True
            self._read = self._read_to_end
        return self._read(rest)

    def _read_length(self, data: bytes) -> Answer | None:
        self._left -= len(data)
        if self._left < 0:
            raise BadAnswer(f"{-self._left} bytes more than the response has")
        if self._keep and data:
            self._body.append(data)
        return None if self._left else self._done()

    def _read_to_end(self, data: bytes) -> None:
        if self._keep:
            self._body.append(data)

    def _read_chunks(self, data: bytes) -> Answer | None:
        """A chunk's data, the empty line after it, the next one's size; trailers after the last."""
        self._buffer += data
        while self._buffer:
            if self._left:
                piece, self._buffer = self._buffer[: self._left], self._buffer[self._left :]
                self._left -= len(piece)
                if self._keep:
                    self._body.append(piece)
                continue
            line, found, rest = self._buffer.partition(b"\r\n")
            if not found:
                return None
            self._buffer = rest
            if self._read == self._read_chunks and line:
                self._left = _size(line)
                if not self._left:
                    self._read = self._read_trailers
                    return self._read_trailers(b"")
        return None

    def _read_trailers(self, data: bytes) -> Answer | None:
        self._buffer += data
        while True:
            line, found, rest = self._buffer.partition(b"\r\n")
            if not found:
                return None
            self._buffer = rest
            if not line:
                if rest:
                    raise BadAnswer(f"{len(rest)} bytes more than the response has")
                return self._done()

    def _done(self) -> Answer:
        answer = Answer(self._status, b"".join(self._body), self._last)
        self._reset()
        return answer


def _size(line: bytes) -> int:
    """The size of a chunk, from its line with extensions."""
    try:
        return int(line.split(b";")[0].strip(), 16)
    except ValueError:
        raise BadAnswer(f"no size of a chunk: {line[:40]!r}") from None
