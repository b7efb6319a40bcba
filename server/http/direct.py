"""The short way of a prediction: from the parser's events to the queue, and from the queue to the socket.

uvicorn makes of each request a scope, a cycle and a task, for whatever application there is. For a plain prediction all
three can be spared, which is most of what it costs. Whatever is not plain goes uvicorn's way, to the dispatcher.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from ..api.bodies import AT_ONCE, is_form, plain_headers
from ..api.direct import Direct, Place, Whole, find_place, header_lines
from ..api.listener import CLIENT_LEFT, client_name
from ..api.responses import Headers
from ..batching.batch import Answer
from ..logs import Exchange, new_id
from ..messages import InferenceResponse, Pieces
from .guards import Door
from .heads import KnownHead
from .protocol import HEADER_BYTES, HEADER_COUNT, CarefulProtocol, HeadTooLarge, Joined

JOINED = 1 << 16
"""Bytes up to which a body is copied behind its head: sending two pieces costs more than that."""
UNUSUAL = {"transfer-encoding", "content-encoding", "expect", "upgrade", "http2-settings"}
"""Headers of requests that go the long way."""
KEPT_ALIVE = "keep-alive"
LEARNED = 8
"""Heads that are learned in vain, one after the other, before a connection's are no more."""
HEAD_OF_DIRECT: Any = {"type": "http", "http_version": "1.1"}
"""What of a scope is looked at when there is no application to look at more."""

OF_PROTOCOL = (
    *("app", "client", "config", "cycle", "expect_100_continue", "flow", "headers", "loop", "parser", "pipeline"),
    *("scope", "server_state", "timeout_keep_alive", "transport", "url", "on_response_complete", "_start_asgi_task"),
)
OF_CYCLE = ("body", "disconnected", "keep_alive", "message_event", "more_body", "response_complete", "response_started")
"""What the two ways rely on in uvicorn; where one of them is missing, all requests go the long way."""


def missing_in_uvicorn(config: Config) -> list[str]:
    """What this uvicorn lacks that the short way needs."""
    protocol = HttpToolsProtocol(config, ServerState(), {})
    protocol.on_message_begin()
    needed = [name for name in OF_PROTOCOL if not hasattr(protocol, name)]
    try:
        cycle = _cycle_of(protocol, HEAD_OF_DIRECT, keep_alive=True)
    except (TypeError, AttributeError) as error:
        return [*needed, str(error)]
    return [*needed, *(f"cycle.{name}" for name in OF_CYCLE if not hasattr(cycle, name))]


class DirectProtocol(CarefulProtocol):
    """Answers plain predictions itself, by `direct`."""

    direct: Direct
    """Of the listener, as its door is."""
    cycle: Any
    """uvicorn's, or a Prediction, which looks like one to it."""

    @classmethod
    def by(cls, direct: Direct, door: Door) -> type[DirectProtocol]:
        """The protocol of a listener that predicts."""
        return type(cls.__name__, (cls,), {"direct": direct, "door": door})

    def __init__(self, *args: Any, **named: Any) -> None:
        """Have nothing under way."""
        super().__init__(*args, **named)
        self._prediction: Prediction | None = None
        self._resting_since: float | None = None
        self._known: KnownHead | None = None
        self._in_vain = 0
        self._defaults: Headers = []
        self._default_lines = b""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to watch."""
        super().connection_made(transport)
        self._joined = cast(Joined, self.transport)
        self.client_name = client_name(self.client)

    def connection_lost(self, error: Exception | None) -> None:
        """Let go of a prediction that nobody waits for any more, also when another request has come behind it."""
        if self._prediction:
            self._prediction.leave()
        super().connection_lost(error)

    def data_received(self, data: bytes) -> None:
        """Take a whole request at once whose head is known; have any other parsed."""
        resting = self._resting_since is not None and not self.flow.write_paused
        if resting and self._known and (told := self._known.read(data)):
            self._guard.heard(len(data))
            self._guard.finished()
            self._resting_since = None
            self._in_vain = 0
            headers, body = told
            self.cycle = self._prediction = Prediction(self, self._known.place, headers)
            self._prediction.ask(body)
            return
        before = self.cycle
        super().data_received(data)
        if resting and self._in_vain < LEARNED and self.cycle is not before and isinstance(self.cycle, Prediction):
            headers = self.cycle.headers
            self._known = KnownHead.of(data, self.cycle.place, headers, self._most(headers))
            self._in_vain += 1

    def on_message_begin(self) -> None:
        """Make no scope yet: who goes the short way needs none."""
        self._begin_head()
        self._resting_since = None
        self.url, self.headers, self.expect_100_continue = b"", [], False

    def on_url(self, url: bytes) -> None:
        """Take a piece of the URL."""
        self.url += url
        self._count(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header."""
        self._head_bytes += len(name) + len(value)
        self.headers.append((name.lower(), value))
        if self._head_bytes > HEADER_BYTES or len(self.headers) > HEADER_COUNT:
            raise HeadTooLarge

    def on_headers_complete(self) -> None:
        """Take the short way or the long one; or none, behind an answer that has ended the connection."""
        if self.cycle is not None and self.cycle.response_complete and self.transport.is_closing():
            return
        if found := self._plain():
            self._end_head()
            self.scope = HEAD_OF_DIRECT
            self.cycle = self._prediction = Prediction(self, *found)
            return
        url, headers = self.url, self.headers
        super().on_message_begin()
        self.url = url
        self.expect_100_continue = any(name == b"expect" and v.lower() == b"100-continue" for name, v in headers)
        self.headers += headers  # the scope holds this list
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body."""
        if self._prediction is not None and self.cycle is self._prediction:
            self._prediction.pieces.append(body)
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Ask, now that all is there."""
        if self._prediction is not None and self.cycle is self._prediction:
            self._guard.finished()
            pieces, self._prediction.pieces = self._prediction.pieces, []
            self._prediction.ask(pieces[0] if len(pieces) == 1 else b"".join(pieces))
        else:
            super().on_message_complete()

    def send_whole(self, prediction: Prediction, answer: Whole, keep: bool) -> None:
        """Write an answer, head and body at once."""
        status, lines, body = answer
        if (defaults := self.server_state.default_headers) is not self._defaults:
            self._defaults, self._default_lines = defaults, header_lines(defaults)
        before, after = self.direct.around_id[keep]
        head = (STATUS_LINE[status], self._default_lines, lines, before, prediction.exchange.id.encode(), after)
        if len(body) < JOINED:
            self._joined.write_whole(b"".join((*head, body)))
        else:
            self._joined.write_whole(b"".join(head), body)
        self.end(prediction)
        if not keep:
            self.transport.close()
        if self.pipeline or self._guard.ended or self._last_words:
            self.on_response_complete()
        else:
            self.server_state.total_requests += 1
            self._resting_since = self.loop.time()

    def send_pieces(self, prediction: Prediction, response: InferenceResponse, further: Pieces) -> None:
        """Leave an answer in pieces to uvicorn, whose application need only send it."""
        scope = {
            **HEAD_OF_DIRECT,
            "method": prediction.place.method,
            "path": prediction.place.path,
            "raw_path": prediction.place.url,
            "query_string": b"",
            "headers": [(name.encode("latin-1"), v.encode("latin-1")) for name, v in prediction.headers.items()],
            "client": self.client,
        }
        cycle = _cycle_of(self, scope, prediction.keep_alive)
        cycle.more_body = False
        self._running = cycle
        if self.cycle is prediction:
            self.cycle = cycle
        self.end(prediction)
        self._start_asgi_task(cycle, self.direct.in_pieces(response, further, prediction.exchange))

    def is_there(self) -> bool:
        """Whether the client still waits for its answer, also where the loop has yet to come to its leaving."""
        return self._guard.is_there()

    def end(self, prediction: Prediction) -> None:
        """Forget a prediction that is over, its body and its answer: the connection may rest for long."""
        prediction.response_complete, prediction.answer = True, None
        prediction.pieces.clear()
        self._prediction = None

    def _look(self) -> None:
        """Close a connection on which nobody has asked for long: uvicorn has a timer for that with each answer."""
        since = self._resting_since
        if since is not None and self.loop.time() - since > self.timeout_keep_alive:
            self.transport.close()
        else:
            super()._look()

    def _plain(self) -> tuple[Place, dict[str, str]] | None:
        """Where a request leads whose body will come whole and soon, and its headers; None for every other."""
        if self.pipeline or self.flow.write_paused or not (self.cycle is None or self.cycle.response_complete):
            return None
        place = find_place(self.parser.get_method(), self.url)
        if place is None or self.parser.get_http_version() != "1.1":
            return None
        headers = plain_headers(self.headers)
        if (
            not UNUSUAL.isdisjoint(headers)
            or headers.get("connection", KEPT_ALIVE).lower() != KEPT_ALIVE
            or int(headers.get("content-length", 0)) > self._most(headers)
            or (len(headers) < len(self.headers) and [name for name, _ in self.headers].count(b"connection") > 1)
        ):
            return None
        return place, headers

    def _most(self, headers: dict[str, str]) -> int:
        """Bytes that a body may have which is taken apart at once."""
        return min(self.direct.limit, AT_ONCE) if is_form(headers.get("content-type")) else self.direct.limit


class Prediction:
    """A request that goes the short way. To uvicorn it looks like one of its cycles, so that others wait behind it."""

    __slots__ = (
        "answer",
        "disconnected",
        "exchange",
        "headers",
        "keep_alive",
        "more_body",
        "pieces",
        "place",
        "protocol",
        "response_complete",
        "response_started",
    )

    def __init__(self, protocol: DirectProtocol, place: Place, headers: dict[str, str]) -> None:
        """Wait for the body."""
        self.protocol = protocol
        self.place, self.headers = place, headers
        self.exchange = Exchange(new_id())
        self.pieces: list[bytes] = []
        self.answer: asyncio.Future[InferenceResponse] | None = None
        self.more_body = self.keep_alive = True
        self.response_started = self.response_complete = self.disconnected = False

    @property
    def message_event(self) -> Prediction:
        """What uvicorn rings when something has happened: nobody listens, as whoever rings tells us more."""
        return self

    def set(self) -> None:
        """Be rung."""

    def ask(self, body: bytes) -> None:
        """Have the model answer."""
        self.more_body = False
        try:
            answer = self.answer = self.protocol.direct.ask(self.place.target, self.headers, body, b"", self.exchange)
        except Exception as error:
            self._send(self.protocol.direct.refused(error, self.place, self.exchange))
        else:
            if isinstance(answer, Answer):
                answer.is_awaited = self.protocol.is_there
                answer.tell(self._answered)
            else:
                answer.add_done_callback(self._answered)

    def leave(self) -> None:
        """The client has hung up."""
        if self.answer is not None:
            self.answer.cancel()
        elif not self.response_complete:
            self._left()

    def _answered(self, answer: asyncio.Future[InferenceResponse]) -> None:
        direct = self.protocol.direct
        if answer.cancelled():
            self._left()
            return
        try:
            response = answer.result()
            if response.further is not None:
                self.protocol.send_pieces(self, response, response.further)
                return
            whole = direct.answered(response)
        except Exception as error:
            whole = direct.refused(error, self.place, self.exchange)
        self._send(whole)

    def _send(self, answer: Whole) -> None:
        direct, status = self.protocol.direct, answer[0]
        self.protocol.send_whole(self, answer, direct.goes_on(status) and self.keep_alive)
        direct.account(self.exchange, self.protocol.client_name, self.place.line, status)

    def _left(self) -> None:
        self.protocol.end(self)
        self.protocol.transport.abort()  # a queue may find out before the loop: nobody else would close it then
        self.protocol.direct.account(self.exchange, self.protocol.client_name, self.place.line, CLIENT_LEFT)


def _cycle_of(protocol: HttpToolsProtocol, scope: Any, keep_alive: bool) -> RequestResponseCycle:
    """uvicorn's own cycle of a request."""
    return RequestResponseCycle(
        scope=scope,
        transport=protocol.transport,
        flow=protocol.flow,
        logger=protocol.logger,
        access_logger=protocol.access_logger,
        access_log=protocol.access_log,
        default_headers=protocol.server_state.default_headers,
        message_event=asyncio.Event(),
        expect_100_continue=False,
        keep_alive=keep_alive,
        on_response=protocol.on_response_complete,
    )
