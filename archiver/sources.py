"""From flags to files: which file goes into the archive under which name, and the manifest that says so."""

from __future__ import annotations

import filecmp
import logging
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from glob import glob
from pathlib import Path
from typing import Any

from .. import __version__
from .config import ModelArchiverConfig
from .entry import Entry, Names, safe_name
from .errors import ArchiveError, MissingFile
from .limits import DEFAULT_LIMITS
from .manifest import MANIFEST_NAME, Manifest, check_name

HANDLERS = (
    "base_handler", "image_classifier", "image_segmenter", "object_detector", "tensor", "text_classifier",
)  # fmt: skip
FOREIGN_HANDLERS = ("dali_image_classifier", "trt_llm_handler", "vllm_handler")
LSP_HANDLERS = ("BaseHandler", "TorchScriptHandler")
CREATED_ON_FORMAT = "%d/%m/%Y %H:%M:%S"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Member:
    """A file to pack: its name in the archive, where it is, and whether it holds weights."""

    name: str
    path: Path
    weights: bool = False


@dataclass(frozen=True, slots=True)
class Handler:
    """The handler as the manifest names it, and its file where it is the user's own."""

    name: str
    path: Path | None


def gather(config: ModelArchiverConfig) -> tuple[list[Member], Manifest]:
    """The members in the order they are packed, and the manifest. Raises ArchiveError, MissingFile."""
    check_name(config.model_name)
    handler = find_handler(config.handler, config.runtime)
    return distinct(_members(config, handler)), _manifest(config, handler)


def find_handler(text: str, runtime: str) -> Handler:
    """What `--handler` means: a built-in name, `file.py`, `file`, or either with `:function`."""
    if text in (LSP_HANDLERS if runtime == "LSP" else HANDLERS):
        return Handler(text, None)
    if runtime == "LSP":
        return _handler_file(text, ".dylib" if sys.platform == "darwin" else ".so")
    if text in FOREIGN_HANDLERS:
        raise ArchiveError(
            f"handler {text} is not in this release. There are {', '.join(HANDLERS)}. "
            f"For a file of your own of that name write --handler {text}.py"
        )
    return _handler_file(text, ".py")


def _handler_file(text: str, suffix: str) -> Handler:
    stem, colon, function = text.partition(":")
    path = Path(stem if stem.endswith(suffix) else stem + suffix)
    if not path.is_file():
        builtin = f"; the built-in handlers are {', '.join(HANDLERS)}" if suffix == ".py" else ""
        raise MissingFile(f"--handler {text}: there is no file {path}{builtin}")
    return Handler(f"{path.stem}:{function}" if colon else Path(text).name, path)


def _members(config: ModelArchiverConfig, handler: Handler) -> Iterator[Member]:
    if config.model_file:
        yield named_member("--model-file", config.model_file)
    if config.serialized_file:
        yield named_member("--serialized-file", config.serialized_file, weights=True)
    if handler.path:
        yield Member(handler.path.name, handler.path)
    yield from extra_members(config.extra_files or "")
    if config.requirements_file:
        yield named_member("--requirements-file", config.requirements_file)
    if config.config_file:
        yield named_member("--config-file", config.config_file)


def named_member(flag: str, text: str, *, weights: bool = False) -> Member:
    """The file that a flag names. Raises MissingFile."""
    path = Path(text)
    if not path.is_file():
        raise MissingFile(f"{flag} {text}: there is no such file in {Path.cwd()}")
    return Member(path.name, path, weights)


def extra_members(text: str) -> Iterator[Member]:
    """The files that `--extra-files` names: files, patterns, folders for their contents, `NAME=` for a place."""
    for item in text.split(","):
        if item.strip():
            yield from _extra_item(item if Path(item).exists() else item.strip())


def _extra_item(item: str) -> Iterator[Member]:
    place, equals, text = ("", "", item) if Path(item).exists() else item.rpartition("=")
    pattern = any(sign in text for sign in "*?") or ("[" in text and "]" in text)
    if not pattern:
        yield from _extra_path(Path(text), text, place)
        return
    found = sorted(glob(text))
    if not found:
        log.warning("Given wildcard pattern did not match any file: %s", text)
    for path in map(Path, found):
        if not (path.is_dir() and _skipped(path.name)):
            yield from _extra_path(path, str(path), f"{place}/{path.name}" if equals and path.is_file() else place)


def _extra_path(path: Path, item: str, place: str) -> Iterator[Member]:
    if path.is_file():
        yield Member(place or path.name, path)
    elif path.is_dir():
        yield from _tree(path, f"{place}/" if place else "", ())
    elif path.exists():
        raise ArchiveError(f"Invalid extra file given {item}")
    else:
        raise MissingFile(f"File does not exist: {item}")


def _tree(folder: Path, prefix: str, above: tuple[Path, ...]) -> Iterator[Member]:
    """The files below a folder, through links too, but never round in a circle."""
    real = folder.resolve()
    if real in above:
        raise ArchiveError(f"{folder} is a link to a folder that it is in")
    for path in sorted(folder.iterdir()):
        if not path.is_dir():
            yield from _extra_path(path, str(path), prefix + path.name)
        elif not _skipped(path.name):
            yield from _tree(path, f"{prefix}{path.name}/", (*above, real))


def _skipped(folder: str) -> bool:
    return folder in ("__MACOSX", "__pycache__") or folder.startswith(".")


def distinct(members: Iterable[Member], manifest_name: str = MANIFEST_NAME) -> list[Member]:
    """The members, each name once; raises ArchiveError where two different files would get the same name."""
    kept: dict[str, Member] = {}
    names = Names()
    for member in members:
        safe_name(member.name, DEFAULT_LIMITS)
        if member.name == manifest_name:
            raise ArchiveError(f"{member.path}: the archiver writes {manifest_name} itself; leave yours out")
        if first := kept.get(member.name):
            _check_same(first, member)
            continue
        names.add(Entry(member.name, 0, None))
        kept[member.name] = member
    if len(kept) >= DEFAULT_LIMITS.entries:
        raise ArchiveError(f"{len(kept)} files are too many: an archive may hold {DEFAULT_LIMITS.entries}")
    return list(kept.values())


def _check_same(first: Member, second: Member) -> None:
    if not filecmp.cmp(first.path, second.path, shallow=False):
        raise ArchiveError(
            f"{first.path} and {second.path} would both be {first.name} in the archive, and they differ; "
            "rename one, or give it a place with --extra-files NAME=PATH"
        )


def _manifest(config: ModelArchiverConfig, handler: Handler) -> Manifest:
    model = {
        "modelName": config.model_name,
        "serializedFile": base_name(config.serialized_file),
        "handler": handler.name,
        "modelFile": base_name(config.model_file),
        "modelVersion": config.version,
        "requirementsFile": base_name(config.requirements_file),
        "configFile": base_name(config.config_file),
    }
    raw: dict[str, Any] = {
        "createdOn": datetime.now().strftime(CREATED_ON_FORMAT),
        "runtime": config.runtime,
        "model": {key: value for key, value in model.items() if value},
        "archiverVersion": __version__,
    }
    manifest = Manifest(raw=raw)
    return Manifest.parse(manifest.text())


def base_name(path: str | None) -> str | None:
    """What a file is called in the archive; None where there is none."""
    return Path(path).name if path else None
