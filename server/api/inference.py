"""The inference listener: predictions by the dispatcher; health and the description by FastAPI."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Response

from ... import __version__
from ..metrics.metrics import Metrics
from ..registry import ModelRegistry
from ..settings import Settings
from ..workflows import WorkflowRegistry
from .dispatch import Dispatcher
from .faces import ANY, description_of_model, make_app, object_of, operation
from .listener import App
from .open_inference import add_open_inference
from .openapi import REFUSAL
from .responses import PrettyJSON

WORKFLOW = "/wfpredict/{workflow_name}"
PREDICTIONS = {
    "/predictions/{model_name}": ("predictions", "Predict with the default version"),
    "/predictions/{model_name}/{model_version}": ("version_predictions", "Predict with a version"),
    "/v1/models/{model_name}:predict": ("predictions_v1", "Predict by KServe's v1 path"),
    "/explanations/{model_name}": ("explanations", "Explain a prediction of the default version"),
    "/explanations/{model_name}/{model_version}": ("version_explanations", "Explain a prediction of a version"),
    "/v2/models/{model_name}/infer": ("predictions_v2", "Predict by the Open Inference Protocol"),
    "/v2/models/{model_name}/versions/{model_version}/infer": (
        "version_predictions_v2",
        "Predict by the Open Inference Protocol with a version",
    ),
    WORKFLOW: ("workflow_predictions", "Predict with a workflow"),
}
"""What the dispatcher serves, for the description: path → operation id, summary."""


def inference_app(
    registry: ModelRegistry,
    settings: Settings,
    metrics: Metrics,
    secured: bool = False,
    workflows: WorkflowRegistry | None = None,
) -> App:
    """The application of the inference listener; `secured` says that a gate before it asks for tokens."""
    app = make_app("numserve inference", __version__, operator=False, secured=secured)

    async def ping() -> Response:
        if registry.stopping:
            return PrettyJSON({"status": "Unhealthy", "reason": "the server is stopping"}, 500)
        unhealthy = registry.unhealthy()
        if not unhealthy:
            return PrettyJSON({"status": "Healthy"})
        found = f"{len(unhealthy)} of {len(registry.names())} models cannot be served"
        return PrettyJSON({"status": "Unhealthy", "reason": f"{found}; the management API says why"}, 500)

    async def describe_model(model_name: str) -> Response:
        registry.get(model_name)
        document = app.openapi()
        unversioned = {path: item for path, item in document["paths"].items() if "{model_version}" not in path}
        return PrettyJSON(description_of_model(model_name, document | {"paths": unversioned}))

    health = object_of(status={"type": "string", "enum": ["Healthy", "Unhealthy"]})
    described = operation("ping", "Whether every model has its workers", answers={200: health, 500: health})
    app.add_api_route("/ping", ping, methods=["GET"], **described)
    app.add_api_route("/ping", ping, methods=[m for m in ANY if m != "GET"], include_in_schema=False)
    app.add_api_route("/predictions/{model_name}", describe_model, methods=["OPTIONS"], include_in_schema=False)
    if workflows:

        async def describe_workflow(workflow_name: str) -> Response:
            workflows.get(workflow_name)
            path = WORKFLOW.replace("workflow_name", "model_name")
            paths = {path: _prediction(path, *PREDICTIONS[WORKFLOW])}
            return PrettyJSON(description_of_model(workflow_name, app.openapi() | {"paths": paths}))

        app.add_api_route(WORKFLOW, describe_workflow, methods=["OPTIONS"], include_in_schema=False)
    if settings.ts_open_inference_protocol:
        add_open_inference(app, registry)
    _describe_predictions(app)
    return Dispatcher(app, registry, settings, metrics, workflows)


def _describe_predictions(app: FastAPI) -> None:
    """Add to the description what FastAPI does not route."""
    plain = app.openapi
    described: dict[str, Any] = {}

    def openapi() -> dict[str, Any]:
        if not described:
            described.update(plain())
            described["paths"] |= {path: _prediction(path, *texts) for path, texts in PREDICTIONS.items()}
        return described

    app.openapi = openapi  # type: ignore[method-assign]


def _prediction(path: str, identity: str, summary: str) -> dict[str, Any]:
    named = [part.split("}")[0] for part in path.split("{")[1:]]
    return {
        "post": {
            "operationId": identity,
            "summary": summary,
            "parameters": [{"name": n, "in": "path", "required": True, "schema": {"type": "string"}} for n in named],
            "requestBody": {"content": {"*/*": {"schema": {"type": "string", "format": "binary"}}}},
            "responses": {
                "200": {"description": "What the model's handler answers", "content": {"*/*": {"schema": {}}}},
                "default": REFUSAL,
            },
        }
    }
