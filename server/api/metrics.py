"""The metrics listener: Prometheus text at /metrics."""

from __future__ import annotations

from fastapi import Request, Response
from fastapi.responses import PlainTextResponse

from ... import __version__
from ..metrics.metrics import CONTENT_TYPE, Metrics
from .faces import ANY, make_app, operation
from .listener import App

PARAMETERS = {"name[]": "only the samples of this name; may be repeated"}


def metrics_app(metrics: Metrics, secured: bool = False) -> App:
    """The application of the metrics listener; `secured` says that a gate before it asks for tokens."""
    app = make_app("numserve metrics", __version__, operator=False, secured=secured)

    async def scrape(request: Request) -> Response:
        await metrics.measure_workers()
        text = await metrics.exposed(request.query_params.getlist("name[]"))
        return Response(text, headers={"content-type": CONTENT_TYPE})

    described = operation("metrics", "Every metric in Prometheus's text format", PARAMETERS)
    described["response_class"] = PlainTextResponse
    app.add_api_route("/metrics", scrape, methods=["GET"], **described)
    app.add_api_route("/metrics", scrape, methods=[m for m in ANY if m != "GET"], include_in_schema=False)
    app.add_api_route("/metrics/{rest:path}", scrape, methods=ANY, include_in_schema=False)
    return app
