"""The predict path as a raw ASGI application; whatever is no prediction goes on to the FastAPI app."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from urllib.parse import parse_qs

from ..errors import InvalidRequest, ModelNotFound
from ..logs import Exchange
from ..messages import InferenceRequest, InferenceResponse
from ..metrics.metrics import UNKNOWN_MODEL, Metrics
from ..registry import ModelRegistry
from ..settings import Settings
from ..workflows import Workflow, WorkflowRegistry
from .bodies import (
    AT_ONCE,
    ClientLeft,
    Receive,
    Scope,
    Send,
    is_form,
    plain_headers,
    read_body,
    to_inference_request,
    to_response,
)
from .encoding import CONTENT_ENCODING, decoded
from .errors import EXPECTED, NoRoute, TooLarge
from .listener import EXCHANGE, App, send_error, send_whole
from .pieces import send_in_pieces
from .targets import Target, find_target

WATCH_AFTER = 0.01
"""Seconds before a waiting request is worth a look at whether its client is still there."""
IN_THREAD = 1 << 14
"""Bytes of a compressed body above which the event loop does not unpack it itself."""


class Dispatcher:
    """Serves predictions itself and hands everything else to `app`."""

    def __init__(
        self,
        app: App,
        registry: ModelRegistry,
        settings: Settings,
        metrics: Metrics,
        workflows: WorkflowRegistry | None = None,
    ) -> None:
        """Predict by the registry's models, and by workflows where they are served."""
        self._app = app
        self._registry = registry
        self._workflows = workflows
        self._metrics = metrics
        self.limit = settings.max_request_size

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Route one request."""
        target = find_target(scope["path"].split("/"))
        if target and target.model and not target.workflow and scope["method"] == "OPTIONS":
            scope = {**scope, "path": f"/predictions/{target.model}"}
        if target is None or scope["method"] == "OPTIONS":
            await self._app(scope, receive, send)
            return
        try:
            await self._serve(target, scope, receive, send)
        except EXPECTED as error:
            self.count_refusal(error)
            await send_error(error, False, scope, send)

    def count_refusal(self, error: Exception) -> None:
        """Count a request that came to no model; all others are counted as their model's."""
        if isinstance(error, TooLarge):
            self._metrics.request_rejected("too_large")
        elif isinstance(error, ModelNotFound):
            self._metrics.request_rejected("unknown_model")
            self._metrics.prediction_answered(UNKNOWN_MODEL, "", 404)

    async def _serve(self, target: Target, scope: Scope, receive: Receive, send: Send) -> None:
        response = await self._answer(target, scope, receive)
        if response.further is None:
            await send_whole(send, *to_response(response))
        else:
            await send_in_pieces(response, response.further, scope, receive, send)

    async def _answer(self, target: Target, scope: Scope, receive: Receive) -> InferenceResponse:
        exchange: Exchange = scope[EXCHANGE]
        body = await read_body(scope["headers"], receive, self.limit)
        if target.open_inference:
            body = await _plain(scope, body, self.limit)
        headers, query = plain_headers(scope["headers"]), scope["query_string"]
        if len(body) <= AT_ONCE or not is_form(headers.get("content-type")):
            return await _answer_or_leave(self.ask(target, headers, body, query, exchange), receive)
        asked = query if target.with_query else None
        request = await asyncio.to_thread(
            to_inference_request, exchange.id, headers, body, target.headers, asked, exchange
        )
        return await _answer_or_leave(self._predict(target, request, query, exchange), receive)

    def ask(
        self, target: Target, headers: dict[str, str], body: bytes | bytearray, query: bytes, exchange: Exchange
    ) -> asyncio.Future[InferenceResponse]:
        """Have the model that a request is for predict: its answer-to-be; cancelling that is how a client leaves.

        The headers are ours from here on.

        Raises: EXPECTED
        """
        asked = query if target.with_query else None
        request = to_inference_request(exchange.id, headers, body, target.headers, asked, exchange)
        return self._predict(target, request, query, exchange)

    def _predict(
        self, target: Target, request: InferenceRequest, query: bytes, exchange: Exchange
    ) -> asyncio.Future[InferenceResponse]:
        name = self._named_in(query, request) if target.model is None else target.model
        served = self._workflow(name) if target.workflow else self._registry.get(name, target.version)
        exchange.model, exchange.version = name, served.version
        return served.predict(request, version_given=target.version is not None)

    def _workflow(self, name: str) -> Workflow:
        if self._workflows is None:
            raise NoRoute
        return self._workflows.get(name)

    def _named_in(self, query: bytes, request: InferenceRequest) -> str:
        """The model of /invocations: the query's, the only model's, or the form's."""
        if named := parse_qs(query.decode("latin-1")).get("model_name"):
            return named[0]
        if len(names := self._registry.listed()) == 1:
            return names[0]
        for part in request.parts:
            if part.name == "model_name":
                return bytes(part.body).decode("utf-8", "replace")
        raise InvalidRequest("Parameter model_name is required.")


async def _plain(scope: Scope, body: bytes | bytearray, limit: int) -> bytes | bytearray:
    """The body without its Content-Encoding, and the header gone with it; a large one is unpacked in a thread."""
    encodings = [value.decode("latin-1") for name, value in scope["headers"] if name == CONTENT_ENCODING]
    if not encodings:
        return body
    scope["headers"] = [(name, value) for name, value in scope["headers"] if name != CONTENT_ENCODING]
    if len(body) < IN_THREAD:
        return decoded(", ".join(encodings), body, limit)
    return await asyncio.to_thread(decoded, ", ".join(encodings), body, limit)


async def _answer_or_leave(answer: asyncio.Future[InferenceResponse], receive: Receive) -> InferenceResponse:
    """The answer; when the client hangs up first, the future is cancelled, and the job with it.

    A quick answer costs one timer; only a slow one gets a task that listens for the hang-up.
    """
    watchers: list[asyncio.Task[None]] = []
    loop = asyncio.get_running_loop()
    timer = loop.call_later(WATCH_AFTER, lambda: watchers.append(loop.create_task(_cancel_when_left(answer, receive))))
    try:
        return await answer
    except asyncio.CancelledError:
        if watchers and watchers[0].done():
            raise ClientLeft from None
        raise
    finally:
        timer.cancel()
        for watcher in watchers:
            watcher.cancel()
            with suppress(asyncio.CancelledError):
                await watcher


async def _cancel_when_left(answer: asyncio.Future[InferenceResponse], receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        continue
    answer.cancel()
