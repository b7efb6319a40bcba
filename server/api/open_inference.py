"""The Open Inference Protocol beside its predictions: health, readiness, metadata. Errors here have an `error` too.

Source: github.com/kserve/open-inference-protocol, specification/protocol/inference_rest.md. Predictions go the
dispatcher's way; their tensors are read where the model runs (handlers/open_inference.py).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI, Response

from ..registry import ModelRegistry
from .faces import PrettyJSON, object_of, operation
from .metadata import model_metadata, server_metadata
from .probes import NOT_READY, Told, live, ready

MODEL = "/v2/models/{model_name}"
VERSION = MODEL + "/versions/{model_version}"
Endpoint = Callable[..., Awaitable[Response]]
TENSOR = object_of(name="string", datatype="string", shape={"type": "array", "items": {"type": "integer"}})
LIST = {"type": "array", "items": {"type": "string"}}
SERVER = object_of(name="string", version="string", extensions=LIST)
LIVE, READY, MODEL_READY = (
    object_of(live="boolean"),
    object_of(ready="boolean"),
    object_of(name="string", ready="boolean"),
)
TENSORS = object_of(
    name="string",
    versions=LIST,
    platform="string",
    inputs={"type": "array", "items": TENSOR},
    outputs={"type": "array", "items": TENSOR},
)


def add_open_inference(app: FastAPI, registry: ModelRegistry) -> None:
    """Give the app the protocol's routes."""
    face = _OpenInference(registry)

    def add(path: str, endpoint: Endpoint, summary: str, answers: dict[int, Any], identity: str) -> None:
        app.add_api_route(path, endpoint, methods=["GET"], **operation(identity, summary, answers=answers))
        app.add_api_route(path, endpoint, methods=["HEAD"], include_in_schema=False)

    add("/v2", face.server, "The server's name, version and extensions", {200: SERVER}, "serverMetadata")
    add("/v2/health/live", face.live, "Whether the server answers", {200: LIVE}, "serverLive")
    add("/v2/health/ready", face.ready, "Whether every model can answer", {200: READY, NOT_READY: READY}, "serverReady")
    tensors, of_model = "A model's versions, inputs and outputs", "Whether a model can answer"
    add(MODEL, face.model, tensors, {200: TENSORS}, "modelMetadata")
    add(VERSION, face.version, tensors, {200: TENSORS}, "version_modelMetadata")
    answers = {200: MODEL_READY, NOT_READY: MODEL_READY}
    add(f"{MODEL}/ready", face.model_ready, of_model, answers, "modelReady")
    add(f"{VERSION}/ready", face.version_ready, of_model, answers, "version_modelReady")


class _OpenInference:
    """One method an operation."""

    def __init__(self, registry: ModelRegistry) -> None:
        self._registry = registry

    async def server(self) -> Response:
        """What serves here."""
        return PrettyJSON(server_metadata())

    async def live(self) -> Response:
        """It answers, so it lives."""
        return _told(live())

    async def ready(self) -> Response:
        """Whether everything that should be served can be."""
        return _told(ready(self._registry))

    async def model(self, model_name: str) -> Response:
        """The default version's tensors."""
        return self._told(model_name)

    async def version(self, model_name: str, model_version: str) -> Response:
        """A version's tensors."""
        return self._told(model_name, model_version)

    async def model_ready(self, model_name: str) -> Response:
        """Whether the default version has a worker that is ready."""
        return self._readiness(model_name)

    async def version_ready(self, model_name: str, model_version: str) -> Response:
        """Whether a version has a worker that is ready."""
        return self._readiness(model_name, model_version)

    def _told(self, model_name: str, model_version: str | None = None) -> Response:
        return PrettyJSON(model_metadata(self._registry, model_name, model_version))

    def _readiness(self, model_name: str, model_version: str | None = None) -> Response:
        status = self._registry.get(model_name, model_version).status()
        if status.ready:
            return PrettyJSON({"name": model_name, "ready": True})
        told = {"name": model_name, "ready": False, "error": f"the model is {status.state}"}
        return PrettyJSON(told, NOT_READY)


def _told(told: Told) -> Response:
    status, content = told
    return PrettyJSON(content, status)
