"""Snapshots: what is served, written down after each change, so that a start without a word restores it.

They are Java properties with `model_snapshot` among them, in `<log_location>/config`; the names and the form are
TorchServe's (contract: configuration, section 8).
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
from datetime import datetime
from typing import Any, Literal

from .. import __version__
from .effective import as_property
from .errors import ModelNotFound
from .registry import Model, ModelRegistry
from .settings import Settings

logger = logging.getLogger(__name__)

KEPT = 100
"""Snapshots that are kept; older ones are removed."""
AT_ONCE = 500
"""Models up to which a change is written down before it is answered: that takes some milliseconds."""
REST = 9
"""With more of them, times as long as it took that nothing is written afterwards, so that many changes share one."""

Occasion = Literal["startup", "snapshot", "shutdown"]


class Snapshots:
    """Writes what a registry serves, with the settings that lead there."""

    def __init__(self, settings: Settings, registry: ModelRegistry) -> None:
        """Write nothing yet."""
        self._settings = settings
        self._registry = registry
        self._folder = settings.log_location / "config"
        self._seconds = 0.0
        self._later: asyncio.Task[None] | None = None

    def changed(self) -> None:
        """Write down what is served now: at once, or soon where there are many models."""
        if len(self._registry.listed()) <= AT_ONCE:
            self.write("snapshot")
        elif self._later is None and self._settings.config_snapshots:
            self._later = asyncio.get_running_loop().create_task(self._write_later())

    async def _write_later(self) -> None:
        try:
            await asyncio.sleep(REST * self._seconds)
        finally:
            self._later = None  # who comes from here on is told of in the next one
        await asyncio.to_thread(self.write, "snapshot")

    def write(self, occasion: Occasion) -> None:
        """Write one, unless snapshots are off; a disk that takes none is named in the log."""
        if not self._settings.config_snapshots:
            return
        name = f"{datetime.now():%Y%m%d%H%M%S%f}"[:-3] + f"-{occasion}.cfg"
        draft = self._folder / f".{name}.{os.getpid()}"
        began = time.monotonic()
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            draft.write_text(self._text(name), encoding="utf-8")
            draft.replace(self._folder / name)
            for old in sorted(self._folder.glob("*.cfg"))[:-KEPT]:
                old.unlink(missing_ok=True)
        except OSError as error:
            logger.warning("the snapshot %s cannot be written: %s", self._folder / name, error.strerror)
        self._seconds = time.monotonic() - began

    def _text(self, name: str) -> str:
        settings = self._settings
        changed = settings.changed()
        changed.pop("model_snapshot", None)
        about = {"tsConfigFile": settings.ts_config or "", "version": __version__}
        found = {model: self._versions(model) for model in self._registry.names()}
        models = {model: versions for model, versions in found.items() if versions}
        content = {
            "name": name,
            "modelCount": sum(map(len, models.values())),
            "created": round(time.time() * 1000),
            "models": models,
        }
        values = changed | about | {"model_snapshot": json.dumps(content)}
        return "".join(as_property(key, value) + "\n" for key, value in values.items())

    def _versions(self, name: str) -> dict[str, Any]:
        try:
            default, versions = self._registry.default_version(name), self._registry.versions(name)
        except ModelNotFound:  # it has gone meanwhile
            return {}
        return {
            model.version: described(model, model.version == default) for model in versions if model.role == "model"
        }


def described(model: Model, default: bool) -> dict[str, Any]:
    """One version of a model as a snapshot has it; `handler` where it is not the archive's own."""
    if model.failure:
        return {"defaultVersion": default, "marName": model.url}
    config = model.config
    found: dict[str, Any] = {
        "defaultVersion": default,
        "marName": model.url,
        "minWorkers": config.min_workers,
        "maxWorkers": config.max_workers,
        "batchSize": config.batch_size,
        "maxBatchDelay": round(config.max_batch_delay * 1000),
        "responseTimeout": _seconds(config.response_timeout),
        "startupTimeout": _seconds(config.startup_timeout),
        "runtimeType": model.manifest.runtime,
    }
    if config.adaptive and config.says_nothing_of_batches:
        found["batching"] = "adaptive"
    if model.handler != model.manifest.model.handler:
        found["handler"] = model.handler
    return found


def _seconds(value: float) -> float:
    """A duration, as TorchServe writes it where it is whole."""
    return int(value) if value == int(value) else round(value, 3)
