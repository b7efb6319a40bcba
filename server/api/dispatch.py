"""The predict path as a raw ASGI application; whatever is no prediction goes on to the FastAPI app."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import parse_qs

from ...archiver import ArchiveError
from ..errors import InvalidRequest, ModelNotFound, ServingError
from ..logs import Exchange
from ..messages import InferenceRequest, InferenceResponse
from ..metrics import Metrics
from ..registry import ModelRegistry
from ..settings import Settings
from .bodies import ClientLeft, Receive, Scope, Send, read_body, to_inference_request, to_response
from .errors import TooLarge, WireError
from .listener import EXCHANGE, App, send_error, send_whole
from .pieces import send_in_pieces
from .responses import JSON, error_body

WATCH_AFTER = 0.01
"""Seconds before a waiting request is worth a look at whether its client is still there."""
DRAIN_SECONDS = 1.0
"""How long an oversized body is read on, so that its sender gets to see the answer."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a prediction's path leads. No model: it stands in the query or the form."""

    model: str | None
    version: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    with_query: bool = False


class Dispatcher:
    """Serves predictions itself and hands everything else to `app`."""

    def __init__(self, app: App, registry: ModelRegistry, settings: Settings, metrics: Metrics) -> None:
        """Predict by the registry's models."""
        self._app = app
        self._registry = registry
        self._metrics = metrics
        self._limit = settings.max_request_size

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Route one request."""
        target = None if scope["method"] == "OPTIONS" else find_target(scope["path"].split("/"))
        if target is None:
            await self._app(scope, receive, send)
            return
        try:
            await self._serve(target, scope, receive, send)
        except TooLarge as error:
            await _refuse_and_drain(error, receive, send)
        except (ServingError, ArchiveError, WireError) as error:
            if isinstance(error, ModelNotFound):
                self._metrics.request_rejected("unknown_model")
            await send_error(error, False, send)

    async def _serve(self, target: Target, scope: Scope, receive: Receive, send: Send) -> None:
        response = await self._answer(target, scope, receive)
        if response.further is None:
            await send_whole(send, *to_response(response))
        else:
            await send_in_pieces(response, response.further, scope, receive, send)

    async def _answer(self, target: Target, scope: Scope, receive: Receive) -> InferenceResponse:
        exchange: Exchange = scope[EXCHANGE]
        body = await read_body(scope["headers"], receive, self._limit)
        request = to_inference_request(exchange.id, scope, body, target.headers, target.with_query, exchange.trace)
        name = target.model or self._named_in(scope, request)
        model = self._registry.get(name, target.version)
        exchange.model, exchange.version = name, model.version
        answer = model.predict(request, version_given=target.version is not None)
        return await _answer_or_leave(answer, receive)

    def _named_in(self, scope: Scope, request: InferenceRequest) -> str:
        """The model of /invocations: the query's, the only model's, or the form's."""
        query: bytes = scope["query_string"]
        if named := parse_qs(query.decode("latin-1")).get("model_name"):
            return named[0]
        if len(names := self._registry.names()) == 1:
            return names[0]
        for part in request.parts:
            if part.name == "model_name":
                return bytes(part.body).decode("utf-8", "replace")
        raise InvalidRequest("Parameter model_name is required.")


def find_target(path: list[str]) -> Target | None:
    """Where a path leads, or None where it is no prediction's (contract: inference API, section 2)."""
    match path:
        case ["", "predictions" | "explanations" as route, model, *rest] if model:
            explain = str(route == "explanations")
            return Target(model, rest[0] if rest else None, {"url_path": "/".join(rest[1:]), "explain": explain})
        case ["", "v1", "models", named] if ":predict" in named or ":explain" in named:
            model, _, _ = named.partition(":")
            return Target(model, None, {"explain": str(":predict" not in named)})
        case ["", "v2", "models", model, "infer" | "explain" as verb]:
            return Target(model, None, {"explain": str(verb == "explain")})
        case ["", "invocations"]:
            return Target(None, with_query=True)
        case ["", "models", model, "invoke"]:
            return Target(model, with_query=True)
        case ["", model, "predict"]:
            return Target(model, with_query=True)
        case ["", model, version, "predict"]:
            return Target(model, version, with_query=True)
    return None


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


async def _refuse_and_drain(error: TooLarge, receive: Receive, send: Send) -> None:
    """Answer at once, then read on a little: closing a socket with unread bytes in it would discard the answer."""
    status, body = error_body(error, operator=False)
    headers = [JSON, (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": True})
    with suppress(TimeoutError):
        async with asyncio.timeout(DRAIN_SECONDS):
            while (await receive()).get("more_body"):
                continue
    await send({"type": "http.response.body", "body": b""})
