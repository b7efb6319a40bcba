"""ModelRegistry: name → version → Model; how models come, change and go."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import re
from bisect import bisect_left, insort
from collections.abc import Sequence, Set
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..archiver import ArchiveError, Manifest
from .autoscaler import Autoscaler
from .environments import Environments
from .errors import (
    DefaultVersionInUse,
    InvalidRequest,
    ModelConflict,
    ModelNotFound,
    ModelVersionNotFound,
    ServingError,
    Unavailable,
)
from .garbage import Garbage
from .health import Health
from .metrics.metrics import Metrics
from .model import Model, Role
from .settings import ModelConfig, Settings
from .status import ModelStatus, QueueStatus, WorkerStatus
from .store import ModelStore, Unpacked, stem_of
from .workers.base import LEAST_SECONDS

__all__ = ["Model", "ModelRegistry", "ModelStatus", "QueueStatus", "Registration", "WorkerStatus"]

logger = logging.getLogger(__name__)

FIRST_WORKER = 9000
NAME = re.compile(r"(?!\.*\Z)(?!\s)[^/\\%\x00-\x1f\x7f-\x9f\u2028\u2029]{1,256}(?<!\s)")
"""What a path, a log line or a page takes for nothing else."""
SAYS_NOTHING = ModelConfig.model_validate({})


@dataclass(frozen=True, slots=True)
class Registration:
    """What somebody wants served; None leaves it to the archive, to the settings, to the defaults, in this order."""

    url: str
    model_name: str | None = None
    handler: str | None = None
    runtime: str | None = None
    batch_size: int | None = None
    max_batch_delay: float | None = None
    initial_workers: int | None = None
    synchronous: bool = True
    response_timeout: float | None = None
    startup_timeout: float | None = None
    at_startup: bool = False
    role: Role = "model"
    restored: ModelConfig | None = None
    """What a snapshot says; it goes before everything else."""


@dataclass
class _Versions:
    """The versions of one name; the first that was registered is the default until told otherwise."""

    default: str
    models: dict[str, Model] = field(default_factory=dict)
    files: dict[str, Unpacked[Manifest]] = field(default_factory=dict)


class ModelRegistry:
    """All models of a server."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        """Be empty; `close()` removes what will have been unpacked."""
        self._settings = settings
        self._metrics = metrics
        self._names: dict[str, _Versions] = {}
        self._listed: list[str] = []
        self._health = Health(self._default)
        self._garbage = Garbage()
        self._store = ModelStore(settings.model_store, settings.temp_dir, settings.allowed_urls)
        self._environments = Environments(
            settings.environments,
            settings.model_environment_timeout,
            settings.blacklist_env_vars,
            settings.require_package_hashes,
        )
        self._autoscaler = Autoscaler() if settings.autoscaling else None
        self._numbers = itertools.count(FIRST_WORKER)
        self._closed = False
        self.starting = False
        """True while the models of the start-up are loaded."""
        self.stopping = False
        """True once the server is about to stop."""

    async def register(self, registration: Registration) -> Model:
        """Unpack an archive, record the model and start its workers; if synchronous, wait until they are loaded.

        When that fails, everything is taken back. A model of the start-up is kept, to say what is wrong with it.
        Raises: ArchiveError, InvalidRequest, ModelNotFound, ModelConflict, DownloadFailed, EnvironmentFailed,
        ModelLoadFailed
        """
        phase, files, model = "unpack", None, None
        try:
            files = await self._store.fetch(registration.url)
            phase = "install"
            python = await self._python_for(registration, files)
            phase = "configure"
            model = self._enter(registration, files, python)
            if workers := model.config.min_workers:
                await model.scale(workers, model.config.max_workers, registration.synchronous)
        except BaseException as error:
            if model:
                await self._take_out(model, drain_timeout=0)
            elif files:
                await self._store.discard(files)
            if registration.at_startup and isinstance(error, ServingError | ArchiveError):
                self._record_failure(registration, error, phase, files.manifest if files else Manifest())
            raise
        return model

    def get(self, name: str, version: str | None = None) -> Model:
        """The model of this name, in its default version unless one is given.

        Raises: ModelNotFound, ModelVersionNotFound
        """
        versions = self._of(name)
        model = versions.models.get(versions.default if version is None else version)
        if model is None:
            raise ModelVersionNotFound(f"Model version: {version} does not exist for model: {name}")
        return model

    def names(self) -> list[str]:
        """The names of all models."""
        return list(self._names)

    def listed(self) -> Sequence[str]:
        """The names of all models, in their order, but for workflows' functions, which nobody registered as models."""
        return self._listed

    def versions(self, name: str) -> list[Model]:
        """All versions of a model, the oldest registration first. Raises ModelNotFound."""
        return list(self._of(name).models.values())

    def default_version(self, name: str) -> str:
        """The version that answers those who name none. Raises ModelNotFound."""
        return self._of(name).default

    def set_default(self, name: str, version: str) -> None:
        """Have another version answer those who name none. Raises ModelNotFound, ModelVersionNotFound."""
        versions = self._of(name)
        if version not in versions.models:
            raise ModelVersionNotFound(f"Model version {version} does not exist for model {name}")
        versions.default = version
        self._health.changed(name)

    async def unregister(self, name: str, version: str | None = None) -> None:
        """Take a version away, the default one if none is given: it gets no more requests, and serves those it has.

        Raises: ModelNotFound, ModelVersionNotFound, DefaultVersionInUse
        """
        model = self.get(name, version)
        versions = self._of(name)
        if model.version == versions.default and len(versions.models) > 1:
            raise DefaultVersionInUse(f"Cannot remove default version for model {name}")
        await self._take_out(model)

    async def withdraw(self, model: Model, drain_timeout: float | None = None) -> None:
        """Take a model away, whichever version of its name it is; one that is gone already is passed over."""
        await self._take_out(model, drain_timeout)

    async def renew(self) -> None:
        """Replace the workers of all models, one after the other, while they serve."""
        for model in [model for versions in self._names.values() for model in versions.models.values()]:
            await model.renew()

    async def close(self, drain_timeout: float) -> None:
        """Take no more registrations, let all models serve what they have for a time, and end everything."""
        self._closed = True
        models = [model for versions in self._names.values() for model in versions.models.values()]
        for name in self._names:
            self._health.changed(name)
        self._names.clear()
        self._listed.clear()
        try:
            await asyncio.gather(*(model.close(drain_timeout) for model in models))
        finally:
            self._store.close()  # with the files of all

    def healthy(self) -> bool:
        """Whether the default version of each model has the workers it should have."""
        return not self.stopping and not self.unhealthy()

    def unhealthy(self) -> Set[str]:
        """The models whose default version has not the workers it should have, and will not get them."""
        return self._health.unhealthy()

    def unready(self) -> list[str]:
        """Why not everything can answer that should; empty where it can. No model is named: anybody may ask.

        A model is missing whose default version should have workers and has none that is ready; its reason is in
        status(). One scaled to none is as it should be. A server of nothing is not ready either, unless it may be.
        """
        missing, models = len(self._health.missing()), len(self._names)
        return (
            [f"{missing} of {models} models"] * bool(missing)
            + ["no models"] * (not models and not self._settings.ready_without_models)
            + ["start-up"] * self.starting
            + ["shut-down"] * self.stopping
        )

    def _default(self, name: str) -> Model | None:
        """The version that answers those who name none; None where there is no such model."""
        versions = self._names.get(name)
        return versions.models[versions.default] if versions else None

    def _of(self, name: str) -> _Versions:
        versions = self._names.get(name)
        if versions is None:
            raise ModelNotFound(f"Model not found: {name}")
        return versions

    async def _python_for(self, registration: Registration, files: Unpacked[Manifest]) -> str | None:
        """The interpreter with the packages that an archive asks for; None where it asks for none, or may not.

        Raises: EnvironmentFailed, InvalidRequest
        """
        entry, settings = files.manifest.model, self._settings
        if not entry.requirements_file or not settings.install_py_dep_per_model:
            return None
        name = registration.model_name or entry.name or files.stem
        if settings.worker_backend == "inline":
            raise InvalidRequest("install_py_dep_per_model needs workers of their own; worker_backend is inline")
        return str(await self._environments.python_for(name, files.model_dir, entry.requirements_file))

    def _enter(self, registration: Registration, files: Unpacked[Manifest], python: str | None) -> Model:
        """Record a model whose files are there. Raises InvalidRequest, ModelConflict."""
        if self._closed:
            raise Unavailable("The server is stopping.")
        manifest = files.manifest
        name = registration.model_name or manifest.model.name or files.stem
        if not NAME.fullmatch(name):
            raise InvalidRequest(
                f"{name!r} cannot be the name of a model: 1 to 256 characters, no / \\ % or control, not dots alone"
            )
        self._refuse_twice(name, manifest.model.version)
        manifest = replace(manifest, runtime=registration.runtime or manifest.runtime)
        if manifest.runtime == "LSP":
            raise InvalidRequest(f"The runtime of model {name} is LSP, the C++ backend, which is not here")
        handler = registration.handler or manifest.model.handler or self._settings.default_service_handler
        if not handler:
            raise InvalidRequest(
                f"The archive of model {name} names no handler: give one with `handler`, or set default_service_handler"
            )
        model = Model(
            name,
            registration.url,
            manifest,
            configure(registration, name, files, self._settings),
            self._settings,
            self._metrics,
            self._numbers.__next__,
            model_dir=str(files.model_dir),
            handler=handler,
            loaded_at_startup=registration.at_startup,
            role=registration.role,
            python=python,
            autoscaler=self._autoscaler,
            changed=self._health.changed,
        )
        self._put(model, files)
        logger.info("Model %s loaded.", name)
        return model

    def _refuse_twice(self, name: str, version: str) -> None:
        """A version that is there stays; only a start-up failure, which has nothing to serve, gives way."""
        versions = self._names.get(name)
        known = versions.models.get(version) if versions else None
        if known and not known.failure:
            raise ModelConflict(f"Model version {version} is already registered for model {name}")
        failed = [model for model in versions.models.values() if model.failure] if versions else []
        for model in failed:
            self._drop(model)
            model.forget()

    def _record_failure(self, registration: Registration, error: Exception, phase: str, manifest: Manifest) -> None:
        """Keep what came to no workers visible, with the reason, unless a model of that name serves."""
        name = registration.model_name or manifest.model.name or stem_of(Path(registration.url).name)
        if name in self._names or self._closed:
            return
        reason = error.explained() if isinstance(error, ServingError) else str(error)
        config = ModelConfig.model_validate({"job_queue_size": self._settings.job_queue_size})
        failed = Model(
            name,
            registration.url,
            manifest,
            config,
            self._settings,
            self._metrics,
            self._numbers.__next__,
            loaded_at_startup=True,
            failure=f"{phase} failed: {type(error).__name__}: {reason}",
        )
        self._put(failed, None)

    def _put(self, model: Model, files: Unpacked[Manifest] | None) -> None:
        name = model.name
        if name not in self._names:
            self._names[name] = _Versions(model.version)
            if model.role != "function":
                insort(self._listed, name)
        versions = self._names[name]
        versions.models[model.version] = model
        if files:
            versions.files[model.version] = files
        self._health.changed(name)
        self._garbage.come()

    def _drop(self, model: Model) -> Unpacked[Manifest] | None:
        """Forget a model; returns its files, which nobody looks after any more."""
        versions = self._names.get(model.name)
        if versions is None or versions.models.get(model.version) is not model:
            return None
        del versions.models[model.version]
        files = versions.files.pop(model.version, None)
        if not versions.models:
            del self._names[model.name]
            if model.role != "function":
                del self._listed[bisect_left(self._listed, model.name)]
        elif versions.default == model.version:
            versions.default = next(iter(versions.models))
        self._health.changed(model.name)
        return files

    async def _take_out(self, model: Model, drain_timeout: float | None = None) -> None:
        """Forget a model, end its workers and remove its files, even when cancelled meanwhile."""
        files = self._drop(model)
        try:
            await model.close(drain_timeout)
        finally:
            if files:
                await asyncio.shield(asyncio.ensure_future(self._store.discard(files)))
            self._garbage.gone()


def configure(registration: Registration, name: str, files: Unpacked[Manifest], settings: Settings) -> ModelConfig:
    """How a model is run: the registration's word first, then the archive's YAML, `models`, the server's defaults."""
    archived = _archived(files)
    listed = settings.models.get(name, {}).get(files.manifest.model.version, SAYS_NOTHING)
    asked = _asked(registration)
    restored = registration.restored or SAYS_NOTHING
    config = restored.over(asked, archived, listed, _defaults(registration, settings))
    least = config.min_workers
    return config.model_copy(update={"max_workers": max(least, config.max_workers), "document": archived.document})


def _archived(files: Unpacked[Manifest]) -> ModelConfig:
    """The archive's YAML; one that is no YAML is a fault of the archive."""
    config_file = files.manifest.model.config_file
    if not config_file or not (files.model_dir / config_file).is_file():
        return SAYS_NOTHING
    try:
        return ModelConfig.read(files.model_dir / config_file)
    except ValueError as error:
        raise InvalidRequest(f"The configuration of the archive cannot be read: {error}") from error


def _asked(registration: Registration) -> ModelConfig:
    """What the registration itself sets."""
    workers = registration.initial_workers if (registration.initial_workers or 0) > 0 else None
    values = {
        "batch_size": registration.batch_size,
        "max_batch_delay": registration.max_batch_delay,
        "min_workers": workers,
        "max_workers": workers,
        "response_timeout": _at_least(registration.response_timeout),
        "startup_timeout": _at_least(registration.startup_timeout),
    }
    return ModelConfig.model_validate({key: value for key, value in values.items() if value is not None})


def _at_least(seconds: float | None) -> float | None:
    return None if seconds is None else max(LEAST_SECONDS, seconds)


def _defaults(registration: Registration, settings: Settings) -> ModelConfig:
    """The server's defaults; at start-up, a model that does not say gets one worker per core."""
    workers = settings.default_workers_per_model
    if registration.initial_workers is not None:
        workers = max(0, registration.initial_workers)
    elif registration.at_startup and not workers:
        workers = os.cpu_count() or 1
    return ModelConfig.model_validate(
        {
            "min_workers": workers,
            "max_workers": workers,
            "response_timeout": settings.default_response_timeout,
            "startup_timeout": settings.default_startup_timeout,
            "job_queue_size": settings.job_queue_size,
        }
    )
