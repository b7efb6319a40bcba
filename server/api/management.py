"""The management listener: register, list, describe, scale, unregister, set the default version."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import quote

from fastapi import Request, Response

from ... import __version__
from ..auth import Authority
from ..errors import InvalidRequest, NoWorkers
from ..memory import measured
from ..registry import Model, ModelRegistry, Registration
from ..settings import Settings
from .descriptions import describe
from .errors import NotAllowed, TookTooLong
from .faces import description_of_model, make_app, operation
from .listener import App
from .parameters import Parameters
from .responses import PrettyJSON, status

PAGE = 100
RUNTIMES = ("python", "python3", "LSP")
HOW_TO_ENABLE = "The model API is off: start with --enable-model-api, or set enable_model_api=true."

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
RENEWING = {"type": "management or inference"}
DESCRIBING = {"customized": "also ask the model's handler (false)"}


def management_app(
    registry: ModelRegistry,
    settings: Settings,
    authority: Authority | None = None,
    changed: Callable[[], None] = lambda: None,
) -> App:
    """The application of the management listener; `changed` is called after each change of what is served."""
    app = make_app("numserve management", __version__, operator=True)
    face = _Management(registry, settings, changed)
    model, version = "/models/{model_name}", "/models/{model_name}/{model_version}"
    add = app.add_api_route

    async def tell(model_name: str, model_version: str | None = None) -> Response:
        registry.get(model_name, None if model_version == "all" else model_version)
        return PrettyJSON(description_of_model(model_name, app.openapi()["paths"]))

    add("/models", face.list, methods=["GET"], **operation("listModels", "List models", LISTING))
    add("/models", face.register, methods=["POST"], **operation("registerModel", "Register a model", REGISTERING))
    for path, prefix in ((model, ""), (version, "version_")):
        add(path, face.describe, methods=["GET"], **operation(f"{prefix}describeModel", "Describe a model", DESCRIBING))
        add(path, face.scale, methods=["PUT"], **operation(f"{prefix}setAutoScale", "Scale a model", SCALING))
        add(path, face.unregister, methods=["DELETE"], **operation(f"{prefix}unregisterModel", "Unregister a model"))
        add(path, tell, methods=["OPTIONS"], include_in_schema=False)
    add(
        f"{version}/set-default",
        face.set_default,
        methods=["PUT"],
        **operation("setDefault", "Set the default version"),
    )
    if authority and (keys := authority.keys):

        async def renew(request: Request) -> Response:
            keys.renew(Parameters.of_query(request).text("type") or "")
            return Response(b"\n", media_type="application/json")

        add("/token", renew, methods=["POST"], **operation("renewKey", "Make a new key of a type", RENEWING))
        add("/token", renew, methods=["GET", "PUT"], include_in_schema=False)
    add("/v1/models/{model_name}", face.ready, methods=["GET"], **operation("readiness", "Whether a model is ready"))
    return app


class _Management:
    """One method an operation; the texts are TorchServe's."""

    def __init__(self, registry: ModelRegistry, settings: Settings, changed: Callable[[], None]) -> None:
        self._registry = registry
        self._settings = settings
        self._changed = changed

    async def list(self, request: Request) -> Response:
        """List models by name, a page at a time."""
        asked = Parameters.of_query(request)
        limit, begin = asked.integer_or("limit", PAGE), max(0, asked.integer_or("next_page_token", 0))
        if not 0 <= limit <= PAGE:
            limit = PAGE
        names = sorted(self._registry.names())
        page = [self._registry.get(name) for name in names[begin : begin + limit]]
        found: dict[str, Any] = {"nextPageToken": str(begin + limit)} if begin + limit <= len(names) else {}
        return PrettyJSON(found | {"models": [{"modelName": m.name, "modelUrl": m.url} for m in page]})

    async def register(self, request: Request) -> Response:
        """Register a model, and start its workers."""
        self._require_model_api()
        registration = _registration(await Parameters.of(request))
        model = await self._registry.register(registration)
        self._changed()
        workers = model.config.min_workers
        if workers and not registration.synchronous:
            followed = f"/models/{quote(model.name, safe='')}/{quote(model.version, safe='')}"
            return status("Processing worker updates...", 202, {"location": followed})
        text = f'Model "{model.name}" Version: {model.version} registered with {workers} initial workers'
        return status(text if workers else f"{text}. Use scale workers API to add workers for the model.")

    async def describe(self, request: Request, model_name: str, model_version: str | None = None) -> Response:
        """Describe a version, or all of them."""
        if model_version == "all":
            models = self._registry.versions(model_name)
            held = await _memory_of(models)
            return PrettyJSON([describe(model, held) for model in models])
        model = self._registry.get(model_name, model_version)
        customized = Parameters.of_query(request).flag("customized", False)
        told = await _customized(model) if customized else None
        return PrettyJSON([describe(model, await _memory_of([model]), told)])

    async def scale(self, request: Request, model_name: str, model_version: str | None = None) -> Response:
        """Change how many workers a version has."""
        asked = Parameters.of_query(request)
        version = model_version or asked.text("model_version") or None
        minimum = asked.integer_or("min_worker", 1)
        maximum = asked.integer_or("max_worker", minimum)
        model = self._registry.get(model_name, version)
        if maximum < minimum:
            raise InvalidRequest("max_worker cannot be less than min_worker.")
        if minimum < 0:
            raise InvalidRequest("min_worker cannot be negative.")
        synchronous = asked.flag("synchronous", False)
        await model.scale(minimum, maximum, synchronous)
        self._changed()
        if not synchronous:
            return status("Processing worker updates...", 202)
        return status(
            f"Workers scaled to {minimum} for model: {model_name}" + (f", version: {version}" if version else "")
        )

    async def unregister(self, model_name: str, model_version: str | None = None) -> Response:
        """Take a version away, and its unpacked files with it."""
        self._require_model_api()
        try:
            async with asyncio.timeout(self._settings.unregister_model_timeout):
                await self._registry.unregister(model_name, model_version)
        except TimeoutError as error:
            raise TookTooLong(f"Timed out while cleaning resources: {model_name}") from error
        self._changed()
        return status(f'Model "{model_name}" unregistered')

    async def set_default(self, model_name: str, model_version: str) -> Response:
        """Say which version answers those who name none."""
        self._registry.set_default(model_name, model_version)
        self._changed()
        return status(f'Default version successfully updated for model "{model_name}" to "{model_version}"')

    async def ready(self, model_name: str) -> Response:
        """KServe's question; true when the default version can answer."""
        return PrettyJSON({"name": model_name, "ready": self._registry.get(model_name).status().state == "ready"})

    def _require_model_api(self) -> None:
        if not self._settings.enable_model_api:
            raise NotAllowed(HOW_TO_ENABLE)


async def _memory_of(models: Iterable[Model]) -> dict[int, int]:
    """The memory that the processes of models' workers hold."""
    return await measured(w.pid for model in models for w in model.status().workers if w.pid is not None)


async def _customized(model: Model) -> dict[str, Any]:
    try:
        return await model.describe_by_handler() or {}
    except NoWorkers as error:
        raise NoWorkers(
            f'Model "{model.name}" has no worker to serve describe request. '
            "Please use scale workers API to add workers."
        ) from error


def _registration(asked: Parameters) -> Registration:
    """What a client wants registered; None stands for what it left open."""
    url = asked.text("url")
    if url is None:
        raise InvalidRequest("Parameter url is required.")
    if asked.flag("s3_sse_kms", False):
        raise InvalidRequest("s3_sse_kms is not served: give a presigned URL, which needs no credentials here.")
    runtime = asked.text("runtime")
    if runtime and runtime not in RUNTIMES:
        raise InvalidRequest(f"Invalid RuntimeType value: {runtime}")
    batch_size, delay = asked.integer("batch_size"), asked.integer("max_batch_delay")
    response, startup = asked.integer("response_timeout"), asked.integer("startup_timeout")
    return Registration(
        url=url,
        model_name=asked.text("model_name") or None,
        handler=asked.text("handler") or None,
        runtime=runtime or None,
        batch_size=batch_size if batch_size and batch_size > 0 else None,
        max_batch_delay=delay / 1000 if delay is not None and delay >= 0 else None,
        initial_workers=asked.integer("initial_workers"),
        synchronous=asked.flag("synchronous", True),
        response_timeout=None if response is None else float(response),
        startup_timeout=None if startup is None else float(startup),
    )
