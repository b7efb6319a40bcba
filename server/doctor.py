"""`numserve doctor`: reads what a TorchServe installation has, and says what works here, what does not, and why."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..archiver import ArchiveError, Manifest, unpack
from ..archiver.trial import attempt_folder
from .auth import check_exposure, static_tokens
from .grpc import INSTALL, asked_for, installed, served
from .logs import OF_LOG4J, read_config
from .metrics.metrics import Metrics, choice_of
from .model_config import UNSERVED
from .properties import InvalidConfiguration
from .settings import Settings
from .sources import read_config_file
from .wanted import archives_of, wanted
from .yaml_files import read_yaml

Mark = Literal["works", "note", "fails"]
LOAD_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; a `note` is what a user should know and need not change."""

    mark: Mark
    what: str
    text: str

    def __str__(self) -> str:
        """The line that is printed."""
        return f"{self.mark:<5}  {self.what}: {self.text}"


def examine(path: Path, load: bool) -> Iterator[Finding]:
    """Look at a configuration file and its model store, at a store, or at one archive.

    With `load`, each model is loaded once, which runs the code in its archive.
    """
    if path.is_dir() and not (path / "MAR-INF").is_dir():
        yield from examine_store(path, load, path / "logs")
    elif path.is_dir() or path.name.endswith((".mar", ".tar.gz", ".model")):
        yield from examine_archive(path, load)
    else:
        yield from examine_configuration(path, load)


def examine_configuration(path: Path, load: bool) -> Iterator[Finding]:
    """The keys, the values, whether a server would start with them, then its models."""
    try:
        settings, warnings = _settings(path)
    except InvalidConfiguration as error:
        yield Finding("fails", path.name, str(error))
        return
    for warning in warnings:
        yield Finding("note", path.name, warning.removeprefix(f"{path} "))
    try:
        check_exposure(settings)
        if not static_tokens(settings) and settings.disable_token_authorization is None:
            yield Finding("note", path.name, "no tokens are asked for, as only this machine gets in")
    except InvalidConfiguration as error:
        yield Finding("fails", path.name, str(error).removeprefix("Invalid configuration: "))
    if settings.number_of_gpu:
        yield Finding("note", path.name, "number_of_gpu: models run on the CPU")
    if not settings.allowed_urls:
        yield Finding("note", path.name, "allowed_urls is not set: no archive is fetched by URL")
    yield from _certificate(settings)
    yield from _grpc(settings)
    yield from _files(settings)
    store = settings.model_store
    if store is None:
        yield Finding("note", path.name, "there is no model_store; it must be given as --model-store")
    elif not store.is_dir():
        yield Finding("fails", "model_store", f"there is no folder {store} here")
    else:
        yield Finding("works", path.name, f"{len(settings.changed())} keys are set")
        yield from _missing(settings, store)
        yield from examine_store(store, load, settings.log_location)


def examine_store(store: Path, load: bool, logs: Path) -> Iterator[Finding]:
    """Each archive that `load_models=all` would serve, where the server's `logs` are none."""
    archives = sorted(archives_of(store, logs))
    if not archives:
        yield Finding("note", str(store), "there are no archives")
    for archive in archives:
        yield from examine_archive(archive, load)


def examine_archive(path: Path, load: bool) -> Iterator[Finding]:
    """One archive: what it holds that is not served, and whether its model loads."""
    with tempfile.TemporaryDirectory(prefix="numserve-doctor-") as scratch:
        folder = Path(scratch, "model")
        try:
            manifest = unpack(path, folder)
        except (ArchiveError, OSError) as error:
            yield Finding("fails", path.name, f"cannot be unpacked: {error}")
            return
        yield from _unserved(path, folder, manifest)
        if load:
            verdict = attempt_folder(folder, LOAD_SECONDS)
            handler = f" (handler {verdict.handler})" if verdict.handler else ""
            if verdict.ok:
                yield Finding("works", path.name, f"loads in {verdict.seconds:.2f} s{handler}")
            else:
                told = [
                    verdict.error,
                    verdict.where and f"at {verdict.where}",
                    verdict.hint and f"hint: {verdict.hint}",
                ]
                yield Finding("fails", path.name, f"does not load ({verdict.phase}): {'; '.join(filter(None, told))}")
        else:
            yield Finding("works", path.name, f"can be unpacked (handler {manifest.model.handler})")


def _settings(path: Path) -> tuple[Settings, tuple[str, ...]]:
    """What a file alone says. Raises InvalidConfiguration."""
    file = read_config_file(path, Settings.known_keys(), os.environ)
    return Settings.load(ts_config=path, config_alone=True), file.warnings


def _certificate(settings: Settings) -> Iterator[Finding]:
    of_http = any(getattr(settings, f"{face}_address").tls for face in ("inference", "management", "metrics"))
    what = "https" if of_http else "enable_grpc_ssl"
    files = {"private_key_file": settings.private_key_file, "certificate_file": settings.certificate_file}
    for key, file in files.items() if of_http or (settings.enable_grpc_ssl and served(settings)) else ():
        if file is None or not file.is_file():
            yield Finding("fails", key, f"{what} needs it, as PEM" if file is None else f"there is no file {file} here")


def _grpc(settings: Settings) -> Iterator[Finding]:
    if settings.enable_grpc and not installed():
        yield Finding("fails", "enable_grpc", f"gRPC is an extra: {INSTALL}")
    elif (keys := asked_for(settings)) and not installed() and settings.enable_grpc is None:
        yield Finding("note", ", ".join(keys), f"gRPC is an extra, and not served without it: {INSTALL}")


def _files(settings: Settings) -> Iterator[Finding]:
    """What declares metrics and says where the log goes."""
    if settings.log_config and settings.log_config.suffix in OF_LOG4J:
        yield Finding("note", "log_config", "log4j2 files are not read; log_format and log_level say how it looks")
    for read in (lambda: Metrics(choice=choice_of(settings)), lambda: read_config(settings.log_config)):
        try:
            read()
        except InvalidConfiguration as error:
            yield Finding("fails", "configuration", str(error).removeprefix("Invalid configuration: "))


def _missing(settings: Settings, store: Path) -> Iterator[Finding]:
    """What load_models names and the store lacks."""
    for _, url in wanted(settings):
        if "://" in url and not settings.allowed_urls:
            yield Finding("fails", "load_models", f"{url} is a URL, and allowed_urls permits none")
        elif "://" not in url and not (store / url).exists():
            yield Finding("fails", "load_models", f"there is no {url} in {store}")


def _unserved(path: Path, folder: Path, manifest: Manifest) -> Iterator[Finding]:
    model = manifest.model
    if manifest.runtime == "LSP":
        yield Finding("fails", path.name, "its handler is C++ (runtime LSP); handlers are Python here")
    if model.requirements_file:
        text = (
            f"{model.requirements_file} is not installed here, and by a server only with install_py_dep_per_model=true"
        )
        yield Finding("note", path.name, text)
    if model.config_file and (folder / model.config_file).is_file():
        try:
            values, lines = read_yaml(folder / model.config_file)
        except ValueError as error:
            yield Finding("fails", path.name, str(error))
            return
        for key in values.keys() & UNSERVED.keys():
            place = f"{model.config_file} line {lines.get(key, 1)}"
            yield Finding("note", path.name, f"{place}: {key} is not served and is ignored: {UNSERVED[key]}")
