"""The management listener: register, list, describe, scale, unregister, set the default version."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import FastAPI, Request, Response

from ... import __version__
from ..auth import Authority
from ..registry import ModelRegistry
from ..settings import Settings
from ..workflows import WorkflowRegistry
from .faces import PrettyJSON, description_of_model, make_app, object_of, operation, status
from .operations import Done, Operations
from .parameters import Parameters
from .workflows import add_workflows

LISTING = {"limit": "models a page, at most 100", "next_page_token": "where the page begins"}
REGISTERING = {
    "url": "a file or folder of the model store, or an allowed URL",
    "model_name": "the name to serve under, instead of the manifest's",
    "handler": "the handler, instead of the manifest's",
    "runtime": "python, python3 or LSP",
    "batch_size": "rows a worker is given at once, at most",
    "max_batch_delay": "milliseconds a request may wait for others to share its batch",
    "initial_workers": "workers to start",
    "synchronous": "wait until they have loaded the model (true)",
    "response_timeout": "seconds a batch may take",
    "startup_timeout": "seconds a worker may take to load the model",
}
SCALING = {
    "min_worker": "workers to have (1)",
    "max_worker": "workers at most (min_worker)",
    "model_version": "the version, where the path names none",
    "synchronous": "wait until they have loaded the model (false)",
}
CHANGED = {200: object_of(status="string")}
CHANGING = CHANGED | {202: object_of(status="string")}
"""What a change answers: 202 where it goes on after the answer."""
RENEWING = {"type": "management or inference"}
DESCRIBING = {"customized": "also ask the model's handler (false)"}


def management_routes(
    registry: ModelRegistry,
    settings: Settings,
    authority: Authority | None = None,
    changed: Callable[[], None] = lambda: None,
    workflows: WorkflowRegistry | None = None,
) -> FastAPI:
    """All that the management listener answers; `changed` is called after each change of what is served."""
    app = make_app("numserve management", __version__, operator=True, secured=authority is not None)
    face = _Management(Operations(registry, settings, changed))
    model, version = "/models/{model_name}", "/models/{model_name}/{model_version}"
    add = app.add_api_route

    async def tell(model_name: str, model_version: str | None = None) -> Response:
        registry.get(model_name, None if model_version == "all" else model_version)
        return PrettyJSON(description_of_model(model_name, app.openapi()))

    add("/models", face.list, methods=["GET"], **operation("listModels", "List models", LISTING))
    add(
        "/models",
        face.register,
        methods=["POST"],
        **operation("registerModel", "Register a model", REGISTERING, CHANGING),
    )
    for path, prefix in ((model, ""), (version, "version_")):
        add(path, face.describe, methods=["GET"], **operation(f"{prefix}describeModel", "Describe a model", DESCRIBING))
        add(path, face.scale, methods=["PUT"], **operation(f"{prefix}setAutoScale", "Scale a model", SCALING, CHANGING))
        add(
            path,
            face.unregister,
            methods=["DELETE"],
            **operation(f"{prefix}unregisterModel", "Unregister a model", answers=CHANGED),
        )
        add(path, tell, methods=["OPTIONS"], include_in_schema=False)
    add(
        f"{version}/set-default",
        face.set_default,
        methods=["PUT"],
        **operation("setDefault", "Set the default version", answers=CHANGED),
    )
    if authority and (keys := authority.keys):

        async def renew(request: Request) -> Response:
            keys.renew(Parameters.of_query(request).text("type") or "")
            return Response(b"\n", media_type="application/json")

        add("/token", renew, methods=["POST"], **operation("renewKey", "Make a new key of a type", RENEWING))
        add("/token", renew, methods=["GET", "PUT"], include_in_schema=False)
    if workflows:
        add_workflows(app, workflows, settings)
    add("/v1/models/{model_name}", face.ready, methods=["GET"], **operation("readiness", "Whether a model is ready"))
    return app


class _Management:
    """One method a route: parameters in, an operation, its answer as a response."""

    def __init__(self, operations: Operations) -> None:
        self._operations = operations

    async def list(self, request: Request) -> Response:
        """List models by name, a page at a time."""
        return PrettyJSON(self._operations.page(Parameters.of_query(request)))

    async def register(self, request: Request) -> Response:
        """Register a model, and start its workers."""
        self._operations.require_model_api()
        return _response(await self._operations.register(await Parameters.of(request)))

    async def describe(self, request: Request, model_name: str, model_version: str | None = None) -> Response:
        """Describe a version, or all of them."""
        customized = Parameters.of_query(request).flag("customized", False)
        return PrettyJSON(await self._operations.describe(model_name, model_version, customized))

    async def scale(self, request: Request, model_name: str, model_version: str | None = None) -> Response:
        """Change how many workers a version has."""
        asked = Parameters.of_query(request)
        version = model_version or asked.text("model_version") or None
        return _response(await self._operations.scale(model_name, version, asked))

    async def unregister(self, model_name: str, model_version: str | None = None) -> Response:
        """Take a version away, and its unpacked files with it."""
        return _response(await self._operations.unregister(model_name, model_version))

    async def set_default(self, model_name: str, model_version: str) -> Response:
        """Say which version answers those who name none."""
        return _response(self._operations.set_default(model_name, model_version))

    async def ready(self, model_name: str) -> Response:
        """KServe's question; true when the default version can answer."""
        return PrettyJSON({"name": model_name, "ready": self._operations.ready(model_name)})


def _response(done: Done) -> Response:
    return status(done.text, done.code, {"location": done.location} if done.location else None)
