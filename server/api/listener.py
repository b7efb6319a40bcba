"""What surrounds every request of a listener: its id, the common headers, its log line, the last catch."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from math import ceil

from ..errors import QueueFull, Unauthorized
from ..logs import AccessLog, Exchange, new_id
from ..metrics.metrics import Metrics
from ..settings import Settings
from .bodies import ClientLeft, Message, Receive, Scope, Send
from .responses import ALWAYS, JSON, Headers, cors, error_body

logger = logging.getLogger(__name__)

App = Callable[[Scope, Receive, Send], Awaitable[None]]
EXCHANGE = "numserve.exchange"
RETRY_AT_MOST = 60
"""Seconds: who is told to come back later than this would not."""
CLIENT_LEFT = 499
"""What the log shows for a request whose client hung up, as nginx does."""


class Listener:
    """An ASGI application around another one; all that is the same for inference, management and metrics."""

    def __init__(
        self,
        app: App,
        settings: Settings,
        metrics: Metrics,
        access_log: AccessLog,
        operator: bool,
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        """Wrap `app`; `operator` says whether error details may be shown to who asks here.

        While `stopping`, each connection ends with its next answer.
        """
        self.app = app
        self.stopping = stopping
        self._metrics = metrics
        self._access_log = access_log
        self._operator = operator
        self._common = ALWAYS + cors(
            (
                (b"access-control-allow-origin", settings.cors_allowed_origin),
                (b"access-control-allow-methods", settings.cors_allowed_methods),
                (b"access-control-allow-headers", settings.cors_allowed_headers),
            )
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            raise RuntimeError(f"{scope['type']} is not spoken here")
        scope["path"] = scope["path"].rstrip("/") or "/"
        await self.serve(Exchange(new_id()), self.app, scope, receive, send)

    async def serve(self, exchange: Exchange, app: App, scope: Scope, receive: Receive, send: Send) -> None:
        """Have `app` answer a request, and account for it."""
        scope[EXCHANGE] = exchange
        sent = 0

        async def send_dressed(message: Message) -> None:
            nonlocal sent
            if message["type"] == "http.response.start":
                sent = message["status"]
                message["headers"] = self.dress(message["headers"], exchange.id, sent < 400 and self._goes_on(scope))
            await send(message)

        try:
            await app(scope, receive, send_dressed)
        except ClientLeft:
            sent = sent or CLIENT_LEFT
        except Exception as error:
            logger.exception("request %s failed", exchange.id)
            if not sent:
                await send_error(error, self._operator, scope, send_dressed)
        finally:
            self.account(exchange, client_name(scope.get("client")), _request(scope), sent)

    def account(self, exchange: Exchange, client: str, request: str, sent: int) -> None:
        """Count and log a request that is over; `sent` is its answer's status, 0 where there was none."""
        status = sent or 500
        self._metrics.request_answered(status)
        if exchange.model is not None:
            self._metrics.prediction_answered(exchange.model, exchange.version or "", status)
        self._access_log.note(client, request, sent, time.perf_counter() - exchange.began, exchange)

    def _goes_on(self, scope: Scope) -> bool:
        """Whether the client may use the connection again: not after it asked for an upgrade, as it may speak otherwise
        from then on. TorchServe says yes even to those who asked to close."""
        said = [value.lower() for name, value in scope["headers"] if name == b"connection"]
        closing = any(b"close" in value or b"upgrade" in value for value in said)
        return scope["http_version"] == "1.1" and not closing and not self.stopping()

    def dress(self, headers: Headers, identity: str, keep: bool) -> Headers:
        """An answer's headers with those that all answers have; `keep` says that the connection goes on."""
        connection = b"keep-alive" if keep else b"close"
        return [*headers, (b"x-request-id", identity.encode()), *self._common, (b"connection", connection)]


async def send_error(error: Exception, operator: bool, scope: Scope, send: Send) -> None:
    """Answer with an error."""
    await send_whole(send, *error_response(error, operator, scope["path"]))


def error_response(error: Exception, operator: bool, path: str) -> tuple[int, Headers, bytes]:
    """An error's status and JSON, and a header that tells how to go on where there is one."""
    status, body = error_body(error, operator, path)
    headers = [JSON, (b"content-length", b"%d" % len(body))]
    if isinstance(error, QueueFull):
        headers.append((b"retry-after", b"%d" % max(1, min(RETRY_AT_MOST, ceil(error.retry_after)))))
    elif isinstance(error, Unauthorized):
        headers.append((b"www-authenticate", b"Bearer"))
    return status, headers, body


async def send_whole(send: Send, status: int, headers: Headers, body: bytes | bytearray | memoryview) -> None:
    """Send an answer in one piece."""
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def client_name(client: tuple[str, int] | None) -> str:
    """A client as the log has it."""
    return f"{client[0]}:{client[1]}" if client else "unix"


def request_line(method: str, target: bytes, version: str = "1.1") -> str:
    """A request as the log has it."""
    return f"{method} {target.decode('latin-1')} HTTP/{version}"


def _request(scope: Scope) -> str:
    query = b"?" + scope["query_string"] if scope["query_string"] else b""
    target = (scope.get("raw_path") or scope["path"].encode()) + query
    return request_line(scope["method"], target, scope["http_version"])
