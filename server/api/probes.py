"""What machines ask every few seconds, without the framework that answers people: health and metrics."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl

from ..metrics.metrics import CONTENT_TYPE, Metrics
from ..registry import ModelRegistry
from .bodies import Receive, Scope, Send
from .listener import App, send_whole
from .responses import JSON, Headers, pretty

NOT_READY = 400
"""The Open Inference Protocol wants a status from 400 to 499 for "not ready"; this is Triton's."""

Told = tuple[int, dict[str, Any]]
"""A status, and what is to be told as JSON."""
Answer = Callable[[Scope], Awaitable[tuple[int, Headers, bytes]]]


class Probes:
    """Answers GET for some paths itself and hands everything else to `app`, which would answer those alike."""

    def __init__(self, app: App, answers: Mapping[str, Answer]) -> None:
        """Answer by path."""
        self._app = app
        self._answers = answers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        answer = self._answers.get(scope["path"]) if scope["method"] == "GET" else None
        if answer is None:
            await self._app(scope, receive, send)
        else:
            await send_whole(send, *await answer(scope))


def ping(registry: ModelRegistry) -> Told:
    """Whether every model has its workers."""
    if registry.stopping:
        return 500, {"status": "Unhealthy", "reason": "the server is stopping"}
    unhealthy = registry.unhealthy()
    if not unhealthy:
        return 200, {"status": "Healthy"}
    found = f"{len(unhealthy)} of {len(registry.names())} models cannot be served"
    return 500, {"status": "Unhealthy", "reason": f"{found}; the management API says why"}


def live() -> Told:
    """It answers, so it lives."""
    return 200, {"live": True}


def ready(registry: ModelRegistry) -> Told:
    """Whether everything that should be served can be."""
    unready = registry.unready()
    if not unready:
        return 200, {"ready": True}
    return NOT_READY, {"ready": False, "error": f"not ready: {', '.join(unready)}"}


async def exposition(metrics: Metrics, query: bytes) -> bytes:
    """The metrics that a query asks for, in Prometheus's text format."""
    wanted = [value for name, value in parse_qsl(query.decode("latin-1"), keep_blank_values=True) if name == "name[]"]
    await metrics.measure_workers()
    return await metrics.exposed(wanted)


def of_health(registry: ModelRegistry, open_inference: bool) -> dict[str, Answer]:
    """What the inference listener is asked all the time."""
    answers = {"/ping": _json(lambda: ping(registry))}
    if open_inference:
        answers |= {"/v2/health/live": _json(live), "/v2/health/ready": _json(lambda: ready(registry))}
    return answers


def of_metrics(metrics: Metrics) -> dict[str, Answer]:
    """What the metrics listener is asked all the time."""

    async def scrape(scope: Scope) -> tuple[int, Headers, bytes]:
        text = await exposition(metrics, scope["query_string"])
        return 200, [(b"content-type", CONTENT_TYPE.encode()), (b"content-length", b"%d" % len(text))], text

    return {"/metrics": scrape}


def _json(tell: Callable[[], Told]) -> Answer:
    async def answer(scope: Scope) -> tuple[int, Headers, bytes]:
        status, told = tell()
        body = pretty(told)
        return status, [(b"content-length", b"%d" % len(body)), JSON], body

    return answer
