"""The Open Inference Protocol beside its predictions: health, readiness, metadata. Errors here have an `error` too.

Source: github.com/kserve/open-inference-protocol, specification/protocol/inference_rest.md. Predictions go the
dispatcher's way; their tensors are read where the model runs (handlers/open_inference.py).
"""

from __future__ import annotations

from fastapi import FastAPI, Response

from ... import __version__
from ..registry import ModelRegistry
from .faces import operation
from .responses import PrettyJSON

EXTENSIONS = ["binary_tensor_data", "classification"]
PLATFORM = "numserve_handler"
MODEL = "/v2/models/{model_name}"
VERSION = MODEL + "/versions/{model_version}"
NOT_READY = 400
"""The protocol wants a status from 400 to 499 for "not ready"; this is Triton's."""


def add_open_inference(app: FastAPI, registry: ModelRegistry) -> None:
    """Give the app the protocol's routes."""
    face = _OpenInference(registry)

    def add(path: str, endpoint: object, identity: str, summary: str) -> None:
        app.add_api_route(path, endpoint, methods=["GET"], **operation(identity, summary))  # type: ignore[arg-type]
        app.add_api_route(path, endpoint, methods=["HEAD"], include_in_schema=False)  # type: ignore[arg-type]

    add("/v2", face.server, "serverMetadata", "The server's name, version and extensions")
    add("/v2/health/live", face.live, "serverLive", "Whether the server answers")
    add("/v2/health/ready", face.ready, "serverReady", "Whether every model can answer")
    for path, prefix in ((MODEL, ""), (VERSION, "version_")):
        add(path, face.model, f"{prefix}modelMetadata", "A model's versions, inputs and outputs")
        add(f"{path}/ready", face.model_ready, f"{prefix}modelReady", "Whether a model can answer")


class _OpenInference:
    """One method an operation."""

    def __init__(self, registry: ModelRegistry) -> None:
        self._registry = registry

    async def server(self) -> Response:
        """What serves here."""
        return PrettyJSON({"name": "numserve", "version": __version__, "extensions": EXTENSIONS})

    async def live(self) -> Response:
        """It answers, so it lives."""
        return PrettyJSON({"live": True})

    async def ready(self) -> Response:
        """Whether everything that should be served can be."""
        unready = self._registry.unready()
        if not unready:
            return PrettyJSON({"ready": True})
        return PrettyJSON({"ready": False, "error": f"not ready: {', '.join(unready)}"}, NOT_READY)

    async def model(self, model_name: str, model_version: str | None = None) -> Response:
        """A model's versions and tensors."""
        model = self._registry.get(model_name, model_version)
        versions = [each.version for each in self._registry.versions(model_name)]
        return PrettyJSON({"name": model_name, "versions": versions, "platform": PLATFORM, **model.signature()})

    async def model_ready(self, model_name: str, model_version: str | None = None) -> Response:
        """Whether a model has a worker that is ready."""
        status = self._registry.get(model_name, model_version).status()
        if status.state == "ready":
            return PrettyJSON({"name": model_name, "ready": True})
        told = {"name": model_name, "ready": False, "error": f"the model is {status.state}"}
        return PrettyJSON(told, NOT_READY)
