"""Which archives are served from the start, and what can be seen of them before anything is loaded."""

from __future__ import annotations

from itertools import chain
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, get_args

from .messages import Needs
from .needs import needs_of_archive

if TYPE_CHECKING:
    from .settings import Settings

ARCHIVES = (".mar", ".model", ".tar.gz")
FEW = 8
"""Archives that are looked into before the server is there; of more, one will need the engine."""


def wanted(settings: Settings) -> list[tuple[str | None, str]]:
    """The name (None: the manifest's) and the address of each model that `load_models` asks for."""
    items = settings.load_models
    if any(item.lower() == "all" for item in items):
        return [(None, entry.name) for entry in sorted(archives_of(settings.model_store, settings.log_location))]
    return [_named(item) for item in items]


def _named(item: str) -> tuple[str | None, str]:
    """`name=file`, or an address alone, which may have an equals sign of its own."""
    name, equals, address = item.partition("=")
    return (name, address) if equals and "://" not in name else (None, item)


def archives_of(store: Path | None, logs: Path | None = None) -> list[Path]:
    """What `all` stands for; the server's own `logs` may be in the same folder."""
    entries = [each for each in store.iterdir() if not each.name.startswith(".")] if store else []
    return [each for each in entries if each.name.endswith(ARCHIVES) or (each.is_dir() and not _is_other(each, logs))]


def _is_other(folder: Path, logs: Path | None) -> bool:
    """Whether a folder is no model: a workflow, or that of the logs."""
    return (folder / "WAR-INF").is_dir() or (logs is not None and folder.resolve() == logs.resolve())


def needs_from_start(settings: Settings) -> Needs:
    """What the models need that are served from the start, as far as can be told at once by their archives."""
    if settings.model_snapshot is None:
        files = [url for _, url in wanted(settings)]
    else:
        entries = chain.from_iterable(versions.values() for versions in settings.model_snapshot.values())
        files = [str(entry.get("marName", "")) for entry in entries]
    if len(files) > FEW:
        return "engine"
    store = settings.model_store or Path()
    found = [needs_of_archive(store / PurePosixPath(file).name) for file in files if file]
    return max(found, key=get_args(Needs).index, default="python")
