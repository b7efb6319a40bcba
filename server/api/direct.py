"""Predictions for a protocol that brings whole requests and takes whole answers: the dispatcher's steps, no ASGI."""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable
from functools import lru_cache
from typing import Any, NamedTuple

from ..logs import Exchange
from ..messages import InferenceResponse, Pieces
from .bodies import Receive, Scope, Send, to_response
from .dispatch import Dispatcher
from .errors import EXPECTED
from .listener import Listener, error_response, request_line, send_error
from .pieces import send_in_pieces
from .responses import Headers
from .targets import Target, find_target

logger = logging.getLogger(__name__)

METHODS = {b"POST", b"PUT", b"GET", b"DELETE", b"PATCH"}
PLAIN_URL = re.compile(rb"/[!$&-.0-;=@-Z_a-z~/]{1,255}")
"""A path that says what it means: nothing to decode in it, and no query."""
MARK = "\0"

Whole = tuple[int, bytes, bytes | bytearray | memoryview]
"""An answer: its status, its own headers as they stand in a head, its body."""


class Place(NamedTuple):
    """Where a request leads, and its first line: in parts, and as the log has it."""

    target: Target
    method: str
    url: bytes
    path: str
    line: str


@lru_cache(1024)
def find_place(method: bytes, url: bytes) -> Place | None:
    """Where a request leads, or None where it is no prediction's, or one that only the dispatcher understands."""
    if method not in METHODS or not PLAIN_URL.fullmatch(url):
        return None
    path = url.decode().rstrip("/") or "/"
    target = find_target(path.split("/"))
    if target is None or target.model is None or target.workflow:
        return None
    return Place(target, method.decode(), url, path, request_line(method.decode(), url))


def header_lines(headers: Headers) -> bytes:
    """Headers as they stand in a head."""
    return b"".join([part for name, value in headers for part in (name.lower(), b": ", value, b"\r\n")])


@lru_cache(64)
def _type_and_length(kind: str) -> bytes:
    """The own headers of the usual answer, up to its length."""
    _, headers, _ = to_response(InferenceResponse(200, "", kind, {}, b""))
    return header_lines(headers).removesuffix(b"0\r\n")


class Direct:
    """What a listener and its dispatcher do for a prediction, one step at a time."""

    def __init__(self, listener: Listener, dispatcher: Dispatcher) -> None:
        """Answer as the two would."""
        self.limit = dispatcher.limit
        self._listener = listener
        self._dispatcher = dispatcher
        self.ask, self.account = dispatcher.ask, listener.account
        self.around_id: list[tuple[bytes, bytes]] = []
        """The rest of a head, before and after the id: where the connection ends, and where it goes on."""
        for keep in (False, True):
            before, after = header_lines(listener.dress([], MARK, keep)).split(MARK.encode())
            self.around_id.append((before, after + b"\r\n"))

    @classmethod
    def of(cls, app: object) -> Direct | None:
        """That of a listener whose predictions anybody may ask for; None where a gate or another face is between."""
        if isinstance(app, Listener) and isinstance(app.app, Dispatcher):
            return cls(app, app.app)
        return None

    def answered(self, response: InferenceResponse) -> Whole:
        """A handler's answer, which must not be in pieces."""
        status, body = response.status, response.body
        if status == 200 and not response.headers and (kind := response.content_type):
            return status, b"%b%d\r\n" % (_type_and_length(kind), len(body)), body
        status, headers, body = to_response(response)
        return status, header_lines(headers), body

    def refused(self, error: Exception, place: Place, exchange: Exchange) -> Whole:
        """The answer to a request that has none."""
        if isinstance(error, EXPECTED):
            self._dispatcher.count_refusal(error)
        else:
            logger.error("request %s failed", exchange.id, exc_info=error)
        status, headers, body = error_response(error, False, place.path)
        return status, header_lines(headers), body

    def goes_on(self, status: int) -> bool:
        """Whether the connection may be used again after an answer."""
        return status < 400 and not self._listener.stopping()

    def in_pieces(self, response: InferenceResponse, further: Pieces, exchange: Exchange) -> Any:
        """An ASGI application that sends an answer in pieces, and accounts for it."""

        async def send_pieces(scope: Scope, receive: Receive, send: Send) -> None:
            try:
                await send_in_pieces(response, further, scope, receive, send)
            except EXPECTED as error:
                await send_error(error, False, scope, send)

        def app(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
            return self._listener.serve(exchange, send_pieces, scope, receive, send)

        return app
