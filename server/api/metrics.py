"""The metrics listener: Prometheus text at /metrics."""

from __future__ import annotations

from fastapi import FastAPI, Request, Response
from fastapi.responses import PlainTextResponse

from ... import __version__
from ..metrics.metrics import CONTENT_TYPE, Metrics
from .faces import ANY, make_app, operation
from .probes import exposition

PARAMETERS = {"name[]": "only the samples of this name; may be repeated"}


def metrics_routes(metrics: Metrics, secured: bool = False) -> FastAPI:
    """All that the metrics listener answers; `secured` says that a gate before it asks for tokens."""
    app = make_app("numserve metrics", __version__, operator=False, secured=secured)

    async def scrape(request: Request) -> Response:
        text = await exposition(metrics, request.scope["query_string"])
        return Response(text, headers={"content-type": CONTENT_TYPE})

    described = operation("metrics", "Every metric in Prometheus's text format", PARAMETERS)
    described["response_class"] = PlainTextResponse
    app.add_api_route("/metrics", scrape, methods=["GET"], **described)
    app.add_api_route("/metrics", scrape, methods=[m for m in ANY if m != "GET"], include_in_schema=False)
    app.add_api_route("/metrics/{rest:path}", scrape, methods=ANY, include_in_schema=False)
    return app
