"""What management does, whoever asks: list, describe, register, scale, unregister, set the default version."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from ..errors import InvalidRequest, NoWorkers
from ..memory import measured
from ..registry import Model, ModelRegistry, Registration
from ..settings import Settings
from .descriptions import describe
from .errors import NotAllowed, TookTooLong
from .parameters import Parameters

PAGE = 100
RUNTIMES = ("python", "python3", "LSP")
HOW_TO_ENABLE = "The model API is off: start with --enable-model-api, or set enable_model_api=true."


@dataclass(frozen=True, slots=True)
class Done:
    """What has come of an operation: a sentence, HTTP's status for it, and the path where it can be followed."""

    text: str
    code: int = 200
    location: str | None = None


class Operations:
    """One method an operation; the texts are TorchServe's."""

    def __init__(self, registry: ModelRegistry, settings: Settings, changed: Callable[[], None]) -> None:
        """Manage the registry's models; `changed` is called after each change of what is served."""
        self._registry = registry
        self._settings = settings
        self._changed = changed

    def page(self, asked: Parameters) -> dict[str, Any]:
        """Models by name, a page at a time."""
        page, found = page_of(self._registry.listed(), asked)
        models = [self._registry.get(name) for name in page]
        return found | {"models": [{"modelName": m.name, "modelUrl": m.url} for m in models]}

    async def register(self, asked: Parameters) -> Done:
        """Register a model, and start its workers."""
        self.require_model_api()
        registration = _registration(asked)
        model = await self._registry.register(registration)
        self._changed()
        workers = model.config.min_workers
        if workers and not registration.synchronous:
            followed = f"/models/{quote(model.name, safe='')}/{quote(model.version, safe='')}"
            return Done("Processing worker updates...", 202, followed)
        text = f'Model "{model.name}" Version: {model.version} registered with {workers} initial workers'
        return Done(text if workers else f"{text}. Use scale workers API to add workers for the model.")

    async def describe(self, name: str, version: str | None, customized: bool) -> list[dict[str, Any]]:
        """A version, or all of them where `version` is "all"; `customized` also asks the handler of the one."""
        if version == "all":
            models = self._registry.versions(name)
            held = await _memory_of(models)
            return [describe(model, held) for model in models]
        model = self._registry.get(name, version)
        told = await _customized(model) if customized else None
        return [describe(model, await _memory_of([model]), told)]

    async def scale(self, name: str, version: str | None, asked: Parameters) -> Done:
        """Change how many workers a version has."""
        minimum = asked.integer_or("min_worker", 1)
        maximum = asked.integer_or("max_worker", minimum)
        model = self._registry.get(name, version)
        if maximum < minimum:
            raise InvalidRequest("max_worker cannot be less than min_worker.")
        if minimum < 0:
            raise InvalidRequest("min_worker cannot be negative.")
        synchronous = asked.flag("synchronous", False)
        await model.scale(minimum, maximum, synchronous)
        self._changed()
        if not synchronous:
            return Done("Processing worker updates...", 202)
        return Done(f"Workers scaled to {minimum} for model: {name}" + (f", version: {version}" if version else ""))

    async def unregister(self, name: str, version: str | None) -> Done:
        """Take a version away, and its unpacked files with it."""
        self.require_model_api()
        try:
            async with asyncio.timeout(self._settings.unregister_model_timeout):
                await self._registry.unregister(name, version)
        except TimeoutError as error:
            raise TookTooLong(f"Timed out while cleaning resources: {name}") from error
        self._changed()
        return Done(f'Model "{name}" unregistered')

    def set_default(self, name: str, version: str) -> Done:
        """Say which version answers those who name none."""
        self._registry.set_default(name, version)
        self._changed()
        return Done(f'Default version successfully updated for model "{name}" to "{version}"')

    def ready(self, name: str) -> bool:
        """Whether the default version can answer."""
        return self._registry.get(name).status().ready

    def require_model_api(self) -> None:
        """Raises NotAllowed where registering and unregistering are switched off."""
        require_model_api(self._settings)


def require_model_api(settings: Settings) -> None:
    """Raises NotAllowed where registering and unregistering are switched off."""
    if not settings.enable_model_api:
        raise NotAllowed(HOW_TO_ENABLE)


def page_of(ordered: Sequence[str], asked: Parameters) -> tuple[list[str], dict[str, Any]]:
    """A page of names, in their order, and the token of the next one where there may be one."""
    limit, begin = asked.integer_or("limit", PAGE), max(0, asked.integer_or("next_page_token", 0))
    if not 0 <= limit <= PAGE:
        limit = PAGE
    found = {"nextPageToken": str(begin + limit)} if begin + limit <= len(ordered) else {}
    return list(ordered[begin : begin + limit]), found


def archive_url(asked: Parameters) -> str:
    """Where an archive is to be had. Raises InvalidRequest."""
    url = asked.text("url")
    if url is None:
        raise InvalidRequest("Parameter url is required.")
    if asked.flag("s3_sse_kms", False):
        raise InvalidRequest("s3_sse_kms is not served: give a presigned URL, which needs no credentials here.")
    return url


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
    url = archive_url(asked)
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
