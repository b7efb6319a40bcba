"""What surrounds every request of a listener: its id, the common headers, its log line, the last catch."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from math import ceil
from uuid import uuid4

from ..errors import QueueFull, Unauthorized
from ..logs import AccessLog, Exchange
from ..metrics import Metrics
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
        self._app = app
        self._stopping = stopping
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
        began = time.perf_counter()
        exchange = scope[EXCHANGE] = Exchange(str(uuid4()))
        scope["path"] = scope["path"].rstrip("/") or "/"
        sent = 0

        async def send_dressed(message: Message) -> None:
            nonlocal sent
            if message["type"] == "http.response.start":
                sent = message["status"]
                message["headers"] = self._dress(message["headers"], exchange.id, sent < 400 and self._goes_on(scope))
            await send(message)

        try:
            await self._app(scope, receive, send_dressed)
        except ClientLeft:
            sent = sent or CLIENT_LEFT
        except Exception as error:
            logger.exception("request %s failed", exchange.id)
            if not sent:
                await send_error(error, self._operator, scope, send_dressed)
        finally:
            self._metrics.request_answered(sent or 500)
            if exchange.model is not None:
                self._metrics.prediction_answered(exchange.model, exchange.version or "", sent or 500)
            self._access_log.note(_client(scope), _request(scope), sent, time.perf_counter() - began, exchange)

    def _goes_on(self, scope: Scope) -> bool:
        """Whether the client may use the connection again: not after it asked for an upgrade, as it may speak otherwise
        from then on. TorchServe says yes even to those who asked to close."""
        said = [value.lower() for name, value in scope["headers"] if name == b"connection"]
        closing = any(b"close" in value or b"upgrade" in value for value in said)
        return scope["http_version"] == "1.1" and not closing and not self._stopping()

    def _dress(self, headers: Headers, identity: str, keep: bool) -> Headers:
        connection = b"keep-alive" if keep else b"close"
        return [*headers, (b"x-request-id", identity.encode()), *self._common, (b"connection", connection)]


async def send_error(error: Exception, operator: bool, scope: Scope, send: Send) -> None:
    """Answer with an error's status and JSON, and a header that tells how to go on where there is one."""
    status, body = error_body(error, operator, scope["path"])
    headers = [JSON, (b"content-length", b"%d" % len(body))]
    if isinstance(error, QueueFull):
        headers.append((b"retry-after", b"%d" % max(1, min(RETRY_AT_MOST, ceil(error.retry_after)))))
    elif isinstance(error, Unauthorized):
        headers.append((b"www-authenticate", b"Bearer"))
    await send_whole(send, status, headers, body)


async def send_whole(send: Send, status: int, headers: Headers, body: bytes | bytearray | memoryview) -> None:
    """Send an answer in one piece."""
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _client(scope: Scope) -> str:
    client = scope.get("client")
    return f"{client[0]}:{client[1]}" if client else "unix"


def _request(scope: Scope) -> str:
    query = b"?" + scope["query_string"] if scope["query_string"] else b""
    target = (scope.get("raw_path") or scope["path"].encode()) + query
    return f"{scope['method']} {target.decode('latin-1')} HTTP/{scope['http_version']}"
