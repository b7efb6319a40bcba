"""What an archive holds, for people and for programs: `model-archiver inspect`."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ..plugins import load
from .archive import model_folder, read_entries, read_manifest
from .entry import Entry
from .limits import DEFAULT_LIMITS, Limits
from .manifest import Manifest

DETECT = "numserve.engine.formats:detect"
PIECE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Item:
    """A file in the archive."""

    name: str
    size: int
    stored: int | None
    """Bytes in the archive; None in a tar.gz, which is compressed as a whole."""
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Contents:
    """An archive's manifest and files."""

    container: str
    archive_bytes: int
    manifest: Manifest
    items: tuple[Item, ...]
    weights_format: str | None
    """What the engine takes the serialized file for; None where the manifest names none that is there."""

    def as_json(self) -> dict[str, Any]:
        """The contents as plain JSON values."""
        return {
            "container": self.container,
            "archiveBytes": self.archive_bytes,
            "manifest": dict(self.manifest.raw),
            "weightsFormat": self.weights_format,
            "files": [asdict(item) for item in self.items],
        }


def inspect(source: Path, *, sha256: bool = False, limits: Limits = DEFAULT_LIMITS) -> Contents:
    """Look into an archive or a model folder; nothing in it is run. Raises ArchiveError."""
    manifest = read_manifest(source, limits)
    weights = manifest.model.serialized_file
    items, weights_format = [], None
    for entry, pieces in _files(source, limits):
        item = Item(entry.name, entry.size, entry.stored)
        if sha256 or entry.name == weights:
            with tempfile.NamedTemporaryFile(prefix="model-archiver-", suffix=Path(entry.name).suffix) as copy:
                digest = hashlib.sha256()
                for piece in pieces:
                    digest.update(piece)
                    if entry.name == weights:
                        copy.write(piece)
                copy.flush()
                item = replace(item, sha256=digest.hexdigest() if sha256 else None)
                if entry.name == weights:
                    weights_format = load(DETECT)(Path(copy.name))
        items.append(item)
    size = sum(item.size for item in items) if source.is_dir() else source.stat().st_size
    return Contents(_container(source), size, manifest, tuple(items), weights_format)
