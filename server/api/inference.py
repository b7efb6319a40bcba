"""The inference listener beside its predictions, which are the dispatcher's: health, metadata and the description."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Response

from ... import __version__
from ..registry import ModelRegistry
from ..settings import Settings
from ..workflows import WorkflowRegistry
from .faces import ANY, PrettyJSON, description_of_model, make_app, object_of, operation
from .open_inference import add_open_inference
from .openapi import REFUSAL
from .probes import ping

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


def inference_routes(
    registry: ModelRegistry,
    settings: Settings,
    secured: bool = False,
    workflows: WorkflowRegistry | None = None,
) -> FastAPI:
    """All that the inference listener answers but predictions; `secured` says that a gate before it asks for tokens."""
    app = make_app("numserve inference", __version__, operator=False, secured=secured)

    async def health() -> Response:
        status, told = ping(registry)
        return PrettyJSON(told, status)

    async def describe_model(model_name: str) -> Response:
        registry.get(model_name)
        document = app.openapi()
        unversioned = {path: item for path, item in document["paths"].items() if "{model_version}" not in path}
        return PrettyJSON(description_of_model(model_name, document | {"paths": unversioned}))

    healthy = object_of(status={"type": "string", "enum": ["Healthy", "Unhealthy"]})
    described = operation("ping", "Whether every model has its workers", answers={200: healthy, 500: healthy})
    app.add_api_route("/ping", health, methods=["GET"], **described)
    app.add_api_route("/ping", health, methods=[m for m in ANY if m != "GET"], include_in_schema=False)
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
    return app


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
