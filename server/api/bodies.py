"""Request body → InferenceRequest, InferenceResponse → headers. JSON stays bytes here: the worker decodes it."""

from __future__ import annotations

import re
from binascii import a2b_qp
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from contextlib import suppress
from functools import lru_cache
from math import inf
from typing import Any

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from ..errors import InvalidRequest
from ..messages import InferenceRequest, InferenceResponse, Part, Trace
from .errors import TooLarge
from .responses import Headers, sendable

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

MAX_PARTS = 1000
WITHOUT_BODY = (204, 304)
FORM = b"application/x-www-form-urlencoded"
MULTIPART = b"multipart/form-data"
AT_ONCE = 1 << 18
"""Bytes of a form above which the event loop does not take it apart itself: made to cost much, a MB takes 0.2 s."""
LONE_PERCENT = re.compile(rb"%(?![0-9a-fA-F]{2})")
QUOTED = bytes.maketrans(b"%+", b"= ")
OURS_TO_ASK = "describe"
"""The header by which management asks a handler to describe itself; who predicts has no business with it."""
TIMEOUT = "x-request-timeout"
"""The header by which a client says how many seconds it waits for its answer."""
OCTETS = "application/octet-stream"


class ClientLeft(Exception):
    """The client hung up before it had its answer."""


async def read_body(headers: Iterable[tuple[bytes, bytes]], receive: Receive, limit: int) -> bytes | bytearray:
    """The whole body.

    Raises: TooLarge by the announced length, before anything is read, or as soon as more has come; ClientLeft.
    """
    for name, value in headers:
        if name == b"content-length" and int(value) > limit:
            raise TooLarge(limit)
    message = await receive()
    body: bytes | bytearray = message.get("body", b"")
    if message.get("more_body"):
        body = bytearray(body)
    while True:
        if message["type"] == "http.disconnect":
            raise ClientLeft
        if len(body) > limit:
            raise TooLarge(limit)
        if not message.get("more_body"):
            return body
        message = await receive()
        body += message.get("body", b"")


def plain_headers(headers: Headers) -> dict[str, str]:
    """Headers as handlers have them; the last of a name counts."""
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in headers}


def to_inference_request(
    identity: str,
    headers: dict[str, str],
    body: bytes | bytearray,
    extra: Mapping[str, str],
    query: bytes | None = None,
    trace: Trace | None = None,
) -> InferenceRequest:
    """Take the request apart into named parts; `extra` are what we add to its headers, which are ours now.

    The query counts only on the routes that TorchServe hands it on for (contract: inference API, section 4).
    Raises: InvalidRequest where a multipart body is malformed, or the client's time-out is no number of seconds.
    """
    content_type = headers.get("content-type")
    parts = _parts(content_type, body) if is_form(content_type) else (Part("body", content_type, body),)
    if query is not None:
        parts = _last_wins((*_fields(query), *parts))
    headers.pop(OURS_TO_ASK, None)
    timeout = _seconds(headers[TIMEOUT]) if TIMEOUT in headers else 0
    headers.update(extra)
    return InferenceRequest(identity, parts, headers, trace, timeout)


@lru_cache(64)
def is_form(content_type: str | None) -> bool:
    """Whether a body of this type is taken apart here."""
    return _kind(content_type) in (FORM, MULTIPART)


def to_response(response: InferenceResponse) -> tuple[int, Headers, bytes | bytearray | memoryview]:
    """Status, headers and body of a handler's answer; a status that HTTP cannot carry becomes 500."""
    if response.status in WITHOUT_BODY:
        return response.status, sendable(response.headers), b""
    headers = sendable(response.headers) if response.headers else []
    if response.content_type:
        headers.append((b"content-type", _content_type(response.content_type)))
    headers.append((b"content-length", b"%d" % len(response.body)))
    return (response.status if 200 <= response.status <= 599 else 500), headers, response.body


@lru_cache(64)
def _content_type(said: str) -> bytes:
    [(_, value)] = sendable({"x": said})
    return value


def _seconds(said: str) -> float:
    """How long a client waits."""
    with suppress(ValueError):
        if 0 < (seconds := float(said)) < inf:
            return seconds
    raise InvalidRequest(f"{TIMEOUT}: met {said!r}; expected seconds, more than 0, as in 0.25")


def _parts(content_type: str | None, body: bytes | bytearray) -> tuple[Part, ...]:
    if _kind(content_type) == FORM:
        return _last_wins(_fields(bytes(body)))
    if boundary := parse_options_header(content_type)[1].get(b"boundary"):
        return _last_wins(_multipart(boundary, bytes(body)))
    return (Part("body", content_type, body),)


def _kind(content_type: str | None) -> bytes:
    media, _, _ = (content_type or "").partition(";")
    return media.strip().lower().encode("latin-1")


def _fields(encoded: bytes) -> list[Part]:
    """Percent-encoded fields; a piece without `=` is no field, which is what `curl -d '{"a": 1}'` runs into."""
    pairs = [pair.split(b"=", 1) for pair in encoded.split(b"&", MAX_PARTS + 1) if b"=" in pair]
    if len(pairs) > MAX_PARTS:
        raise InvalidRequest(f"The form has more than {MAX_PARTS} fields.")
    return [Part(_plain(name).decode("utf-8", "replace"), None, _plain(value)) for name, value in pairs]


def _plain(encoded: bytes) -> bytes:
    """Percent-encoded text as it was; a `%` that begins no code stands for itself.

    The standard library's reader takes 0.6 µs for each of these, and has them all in a list; that of quoted-printable
    (RFC 2045, 6.7), which differs by its sign, is written in C.
    """
    whole = LONE_PERCENT.sub(b"%25", encoded)
    return a2b_qp(whole.replace(b"=", b"=3D").translate(QUOTED))


def _last_wins(parts: Iterable[Part]) -> tuple[Part, ...]:
    return tuple({part.name: part for part in parts}.values())


def _multipart(boundary: bytes, body: bytes) -> list[Part]:
    reader = _MultipartReader()
    try:
        parser = MultipartParser(boundary, reader.callbacks())
        parser.write(body)
        parser.finalize()
    except FormParserError as error:
        raise InvalidRequest(f"The multipart body is malformed: {error}") from error
    if not reader.ended:
        raise InvalidRequest("The multipart body is malformed: its closing boundary is missing.")
    return reader.parts


class _MultipartReader:
    """Collects parts while python-multipart walks over a body."""

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self.ended = False
        self._name = bytearray()
        self._value = bytearray()
        self._headers: dict[bytes, bytes] = {}
        self._data = bytearray()

    def callbacks(self) -> Any:
        """The table python-multipart calls back by."""
        return {
            "on_part_begin": self._begin,
            "on_header_field": lambda data, start, end: self._name.extend(data[start:end]),
            "on_header_value": lambda data, start, end: self._value.extend(data[start:end]),
            "on_header_end": self._header,
            "on_part_data": lambda data, start, end: self._data.extend(data[start:end]),
            "on_part_end": self._end,
            "on_end": self._all,
        }

    def _begin(self) -> None:
        if len(self.parts) >= MAX_PARTS:
            raise InvalidRequest(f"The form has more than {MAX_PARTS} parts.")
        self._headers = {}
        self._data = bytearray()

    def _header(self) -> None:
        self._headers[bytes(self._name).lower()] = bytes(self._value)
        self._name.clear()
        self._value.clear()

    def _end(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        if b"name" not in options:
            raise InvalidRequest("The multipart body is malformed: a part has no name.")
        declared = self._headers.get(b"content-type", OCTETS.encode()).decode("latin-1")
        self.parts.append(
            Part(options[b"name"].decode("utf-8", "replace"), declared if b"filename" in options else None, self._data)
        )

    def _all(self) -> None:
        self.ended = True
