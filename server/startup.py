"""What is served from the start: the models of `load_models`, loaded side by side."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ..archiver import ArchiveError
from .budget import LoadBudget, estimate
from .errors import ModelNotFound, ServingError
from .memory import available_bytes
from .registry import Model, ModelRegistry, Registration
from .settings import ModelConfig, Settings
from .wanted import wanted

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.02
TELL_FROM = 10
TELL_SECONDS = 1.0
"""Whoever waits for so many models, or more, gets a line so often."""


async def load_startup_models(
    registry: ModelRegistry, settings: Settings, tell: Callable[[str], None] = lambda line: None
) -> list[str]:
    """Register what is configured, and wait until each model is ready or has failed; returns what went wrong.

    As many are loaded at once as the settings, or else the cores and the memory, allow. `tell` gets a line about the
    progress now and then. What fails keeps nobody from starting; the registry keeps it, and says why when asked.
    """
    wished = _registrations(settings)
    budget = _budget(settings)
    workers = settings.default_workers_per_model or os.cpu_count() or 1
    progress = _Progress(len(wished), tell)

    async def load(registration: Registration, needed: int) -> str | None:
        try:
            return await _load(registry, registration, progress)
        finally:
            budget.done(needed)

    registry.starting = True
    try:
        async with asyncio.TaskGroup() as group:
            tasks = []
            for registration in wished:
                needed = 0 if _idle(registration) else estimate(_place(settings, registration.url), workers)
                if not await budget.room(needed):
                    logger.warning("%s may need %d MB, which is more than there is", registration.url, needed >> 20)
                tasks.append(group.create_task(load(registration, needed)))
        _set_defaults(registry, settings)
    finally:
        registry.starting = False
    return [problem for task in tasks if (problem := task.result())]


async def _load(registry: ModelRegistry, registration: Registration, progress: _Progress) -> str | None:
    """Load one model; returns what went wrong."""
    url = registration.url
    try:
        model = await registry.register(registration)
        await _settled(model)
    except ServingError as error:
        return progress.failed(url, error.explained())
    except ArchiveError as error:
        return progress.failed(url, str(error))
    except Exception as error:  # a border: one model must not keep the others from being served
        logger.exception("%s", url)
        return progress.failed(url, f"{type(error).__name__}: {error}")
    status = model.status()
    if status.state in ("failing", "crash-loop"):
        return progress.failed(url, status.reason or status.state)
    progress.loaded(f"{model.name} {model.version} is {status.state}")
    return None


class _Progress:
    """Counts the models that are through, in the log and, once a second, for whoever waits."""

    def __init__(self, total: int, tell: Callable[[str], None]) -> None:
        self._total = total
        self._tell = tell
        self._done = 0
        self._failed = 0
        self._told_at = time.monotonic()

    def loaded(self, what: str) -> None:
        """One more is there."""
        self._count(what)

    def failed(self, url: str, reason: str) -> str:
        """One more is not; gives the line that says why."""
        self._failed += 1
        problem = f"Failed to load model: {url}: {reason}"
        logger.error("%s", problem)
        self._count(f"{url} has failed")
        return problem

    def _count(self, what: str) -> None:
        self._done += 1
        logger.info("%d of %d models: %s", self._done, self._total, what)
        if self._total >= TELL_FROM and (now := time.monotonic()) - self._told_at >= TELL_SECONDS:
            self._told_at = now
            failed = f", {self._failed} of them failed" if self._failed else ""
            self._tell(f"{self._done} of {self._total} models are through{failed}")


def _budget(settings: Settings) -> LoadBudget:
    """What the settings, or else the machine, allow to be loaded at once."""
    models = settings.load_parallelism or os.cpu_count() or 1
    limit = settings.load_memory
    return LoadBudget(models, (lambda: limit) if limit else (lambda: available_bytes() * 4 // 5))


def _idle(registration: Registration) -> bool:
    """Whether a snapshot says that the model has no workers, which would take memory."""
    config = registration.restored
    return config is not None and "min_workers" in config.model_fields_set and not config.min_workers


def _place(settings: Settings, url: str) -> Path:
    """Where an archive lies, if it does; what is downloaded is not known yet."""
    return (settings.model_store or Path()) / url


def _registrations(settings: Settings) -> list[Registration]:
    """What is to be registered: what the snapshot found served, else what `load_models` asks for."""
    if settings.model_snapshot is None:
        return [
            Registration(url=url, model_name=name, synchronous=False, at_startup=True) for name, url in wanted(settings)
        ]
    if not settings.model_snapshot:
        logger.info("Model snapshot is empty. Starting numserve without initial models.")
    entries = [(name, entry) for name, versions in settings.model_snapshot.items() for entry in versions.values()]
    return [
        Registration(
            url=str(entry.get("marName", "")),
            model_name=name,
            handler=entry.get("handler"),
            runtime=entry.get("runtimeType"),
            synchronous=False,
            at_startup=True,
            restored=ModelConfig.from_snapshot(entry),
        )
        for name, entry in entries
    ]


def _set_defaults(registry: ModelRegistry, settings: Settings) -> None:
    """Have the versions answer that answered when the snapshot was taken, as far as they are there."""
    for name, versions in (settings.model_snapshot or {}).items():
        for version, entry in versions.items():
            if entry.get("defaultVersion"):
                with suppress(ModelNotFound):
                    registry.set_default(name, version)


async def _settled(model: Model) -> None:
    """Wait until the workers of a model have loaded it, or one has failed to."""
    while (status := model.status()).state == "loading" or len(status.workers) < model.config.min_workers:
        await asyncio.sleep(POLL_SECONDS)
