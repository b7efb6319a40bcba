"""What an archive holds, for people and for programs: `model-archiver inspect`."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from ..plugins import load
from .archive import model_folder, read_entries, read_manifest, readable
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
    items, weights_format = [], None
    with readable(source):
        for entry, pieces in _files(source, limits):
            digest = None
            if entry.name == manifest.model.serialized_file:
                digest, weights_format = _weights(entry, pieces)
            elif sha256:
                digest = _digest(pieces)
            items.append(Item(entry.name, entry.size, entry.stored, digest if sha256 else None))
    size = sum(item.size for item in items) if source.is_dir() else source.stat().st_size
    return Contents(_container(source), size, manifest, tuple(items), weights_format)


def _files(source: Path, limits: Limits) -> Iterator[tuple[Entry, Iterator[bytes]]]:
    """The files of an archive or of a folder, with their data in pieces."""
    entries = _folder_files(model_folder(source)) if source.is_dir() else read_entries(source, limits)
    return (each for each in entries if not each[0].directory)


def _folder_files(folder: Path) -> Iterator[tuple[Entry, Iterator[bytes]]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            size = path.stat().st_size
            yield Entry(path.relative_to(folder).as_posix(), size, size), _pieces(path)


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            yield piece


def _digest(pieces: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()


def _weights(entry: Entry, pieces: Iterable[bytes]) -> tuple[str, str]:
    """The checksum of the serialized file, and what the engine takes it for; it needs a file of its own for that."""
    with tempfile.NamedTemporaryFile(prefix="model-archiver-", suffix=Path(entry.name).suffix) as copy:
        digest = _digest(_copied(pieces, copy))
        copy.flush()
        return digest, load(DETECT)(Path(copy.name))


def _copied(pieces: Iterable[bytes], copy: IO[bytes]) -> Iterator[bytes]:
    for piece in pieces:
        copy.write(piece)
        yield piece


def _container(source: Path) -> str:
    if source.is_dir():
        return "folder"
    return "zip" if source.suffix == ".mar" else "tar.gz"
