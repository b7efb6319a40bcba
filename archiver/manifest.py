"""MAR-INF/MANIFEST.json as a type: what a model is called, which version it is, and which files make it up."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from .entry import safe_name
from .errors import ArchiveError
from .limits import DEFAULT_LIMITS

MANIFEST_NAME = "MAR-INF/MANIFEST.json"
RUNTIMES = ("python", "python3", "LSP")
DEFAULT_VERSION = "1.0"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_\-.]*")


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """The manifest's `model` object; None stands for a key that is absent."""

    name: str | None = None
    version: str = DEFAULT_VERSION
    handler: str | None = None
    serialized_file: str | None = None
    model_file: str | None = None
    requirements_file: str | None = None
    config_file: str | None = None
    envelope: str | None = None
    source_vocab: str | None = None

    @property
    def files(self) -> dict[str, str]:
        """The files that must be in the archive, by the manifest key that names them."""
        named = {
            "serializedFile": self.serialized_file,
            "modelFile": self.model_file,
            "requirementsFile": self.requirements_file,
            "configFile": self.config_file,
        }
        return {key: name for key, name in named.items() if name}


@dataclass(frozen=True, slots=True)
class Manifest:
    """What an archive says about itself."""

    created_on: str | None = None
    runtime: str = "python"
    archiver_version: str | None = None
    description: str | None = None
    model: ModelEntry = ModelEntry()
    raw: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)
    """The JSON object exactly as stored; empty where the archive has no manifest."""

    @classmethod
    def parse(cls, text: str | bytes) -> Manifest:
        """Read a manifest. Raises ArchiveError, beginning with the sentence TorchServe answers with."""
        raw = json_object(text)
        model = raw.get("model")
        if model is None:
            raise ArchiveError("Missing Model entry in manifest file.")
        if not isinstance(model, dict):
            _unparsable("model is not an object")
        if raw.get("runtime") not in RUNTIMES:
            met = json.dumps(raw.get("runtime"))[:100]
            raise ArchiveError(f"Runtime is not defined or invalid. It is {met}; known are {', '.join(RUNTIMES)}.")
        return cls(
            created_on=text_of(raw, "createdOn"),
            runtime=raw["runtime"],
            archiver_version=text_of(raw, "archiverVersion"),
            description=text_of(raw, "description"),
            model=_model_entry(model),
            raw=raw,
        )

    def text(self) -> str:
        """The manifest as it is stored."""
        return json.dumps(self.raw, indent=2)


def check_name(name: str, what: str = "model") -> None:
    """Raise ArchiveError where a model, or a workflow, may not be called so."""
    if not _NAME.fullmatch(name):
        raise ArchiveError(
            f"{what.capitalize()} name contains special characters.\n"
            f"The allowed regular expression filter for {what} name is: ^[A-Za-z0-9][A-Za-z0-9_\\-.]*$"
        )


def json_object(text: str | bytes) -> dict[str, Any]:
    """The JSON object in `text`, or ArchiveError."""
    try:
        # Java's reader, which wrote the contract, skips a byte order mark
        decoded = text.decode("utf-8-sig") if isinstance(text, bytes) else text.removeprefix("\ufeff")
        raw = json.loads(decoded, parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        _unparsable(f"not UTF-8: {error.reason} at byte {error.start}", error)
    except RecursionError as error:
        _unparsable("nested too deeply", error)
    except ValueError as error:
        _unparsable(f"not JSON: {error}", error)
    if not isinstance(raw, dict):
        _unparsable(f"an object was expected, a {type(raw).__name__} was found")
    return raw


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON value")


def _unparsable(detail: str, cause: Exception | None = None) -> NoReturn:
    raise ArchiveError(f"Failed to parse signature.json. MANIFEST.json: {detail}") from cause


def _model_entry(model: dict[str, Any]) -> ModelEntry:
    """The `model` object as a type, its paths checked."""
    if "modelVersion" in model and model["modelVersion"] is None:
        raise ArchiveError("Model version is not defined.")
    entry = ModelEntry(
        name=text_of(model, "modelName"),
        version=text_of(model, "modelVersion") or DEFAULT_VERSION,
        handler=text_of(model, "handler"),
        serialized_file=text_of(model, "serializedFile"),
        model_file=text_of(model, "modelFile"),
        requirements_file=text_of(model, "requirementsFile"),
        config_file=text_of(model, "configFile"),
        envelope=text_of(model, "envelope"),
        source_vocab=text_of(model, "sourceVocab"),
    )
    for key, name in entry.files.items():
        check_inside(f"model.{key}", name)
    if entry.handler:
        check_inside("model.handler", entry.handler.partition(":")[0])
    return entry


def check_inside(key: str, name: str) -> None:
    """Raise ArchiveError where a path that the manifest has under `key` leads out of the archive."""
    try:
        safe_name(name, DEFAULT_LIMITS)
    except ArchiveError as error:
        raise ArchiveError(f"MANIFEST.json: {key} names no file of the archive: {error}") from error


def text_of(holder: dict[str, Any], key: str) -> str | None:
    """The string under `key`; a number counts as its text, as it does in TorchServe."""
    value = holder.get(key)
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, (int, float)):
        return json.dumps(value)
    _unparsable(f"{key} is no text")
