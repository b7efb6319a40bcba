"""What to pack: the flags of `model-archiver` as a type, under the names scripts use with torch-model-archiver."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, fields
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

from .manifest import RUNTIMES


class ArchiveFormat(StrEnum):
    """How the files are held together."""

    DEFAULT = "default"
    ZIP_STORE = "zip-store"
    TGZ = "tgz"
    NO_ARCHIVE = "no-archive"


@dataclass(frozen=True, slots=True)
class ModelArchiverConfig:
    """One run of the archiver."""

    model_name: str
    handler: str
    version: str
    serialized_file: str | None = None
    model_file: str | None = None
    extra_files: str | None = None
    runtime: str = "python"
    export_path: str = field(default_factory=os.getcwd)
    archive_format: str = ArchiveFormat.DEFAULT
    force: bool = False
    requirements_file: str | None = None
    config_file: str | None = None

    def __post_init__(self) -> None:
        """Raise ValueError for a choice that is none."""
        ArchiveFormat(self.archive_format)
        if self.runtime not in RUNTIMES:
            raise ValueError(f"{self.runtime!r} is not a runtime; there are: {', '.join(RUNTIMES)}")

    @classmethod
    def from_args(cls, namespace: object) -> Self:
        """Take the fields from an object that has them as attributes, such as argparse's namespace."""
        given: dict[str, Any] = {each.name: getattr(namespace, each.name, None) for each in fields(cls)}
        return cls(**{name: value for name, value in given.items() if value is not None})

    @property
    def output(self) -> Path:
        """Where the archive is written."""
        suffix = {ArchiveFormat.TGZ: ".tar.gz", ArchiveFormat.NO_ARCHIVE: ""}.get(ArchiveFormat(self.archive_format))
        return Path(self.export_path) / f"{self.model_name}{'.mar' if suffix is None else suffix}"
