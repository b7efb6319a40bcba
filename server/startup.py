"""What is served from the start: the models of `load_models`, loaded side by side."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
from contextlib import suppress
from pathlib import Path

from ..archiver import ArchiveError
from .errors import ModelNotFound, ServingError
from .registry import Model, ModelRegistry, Registration
from .settings import ModelConfig, Settings

logger = logging.getLogger(__name__)

ARCHIVES = (".mar", ".model", ".tar.gz")
POLL_SECONDS = 0.02


async def load_startup_models(registry: ModelRegistry, settings: Settings) -> list[str]:
    """Register what is configured, and wait until each model is ready or has failed; returns what went wrong.

    What fails keeps nobody from starting; the registry keeps it, and says why when asked.
    """
    cores = asyncio.Semaphore(os.cpu_count() or 1)

    wished = _registrations(settings)
    done = itertools.count(1)

    async def load(registration: Registration) -> str | None:
        url = registration.url
        async with cores:
            try:
                model = await registry.register(registration)
                await _settled(model)
            except ServingError as error:
                return _problem(url, error.explained())
            except ArchiveError as error:
                return _problem(url, str(error))
            except Exception as error:  # a border: one model must not keep the others from being served
                logger.exception("%s", url)
                return _problem(url, f"{type(error).__name__}: {error}")
            status = model.status()
            logger.info(
                "%d of %d models: %s %s is %s", next(done), len(wished), model.name, model.version, status.state
            )
            return _problem(url, status.reason or status.state) if status.state == "failing" else None

    registry.starting = True
    try:
        problems = await asyncio.gather(*map(load, wished))
        _set_defaults(registry, settings)
    finally:
        registry.starting = False
    return [problem for problem in problems if problem]


def wanted(settings: Settings) -> list[tuple[str | None, str]]:
    """The name (None: the manifest's) and the address of each model that `load_models` asks for."""
    items = settings.load_models
    if any(item.lower() == "all" for item in items):
        return [(None, entry.name) for entry in sorted(archives_of(settings.model_store))]
    pairs = (item.split("=", 1) for item in items)
    return [(pair[0], pair[1]) if len(pair) == 2 else (None, pair[0]) for pair in pairs]


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


def archives_of(store: Path | None) -> list[Path]:
    """What `all` stands for."""
    entries = store.iterdir() if store else ()
    return [e for e in entries if not e.name.startswith(".") and (e.is_dir() or e.name.endswith(ARCHIVES))]


async def _settled(model: Model) -> None:
    """Wait until the workers of a model have loaded it, or one has failed to."""
    while (status := model.status()).state == "loading" or len(status.workers) < model.config.min_workers:
        await asyncio.sleep(POLL_SECONDS)


def _problem(url: str, reason: str) -> str:
    problem = f"Failed to load model: {url}: {reason}"
    logger.error("%s", problem)
    return problem
