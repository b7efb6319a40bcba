"""pack(), unpack() and read_manifest(): from files to an archive and back, whole or not at all."""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol, TypeVar

from .config import ArchiveFormat, ModelArchiverConfig
from .entry import Entry
from .errors import ArchiveError
from .folder import make_room, private_folder, whole_file, whole_folder
from .limits import DEFAULT_LIMITS, Limits
from .manifest import MANIFEST_NAME, Manifest
from .sources import Member, gather
from .tar_reader import read_tar
from .writers import Tell, write_folder, write_tgz, write_zip
from .zip_reader import ZipReader

M = TypeVar("M")
ZIP_SUFFIXES = (".mar", ".war")
"""Files that are read as ZIP; any other one is read as tar.gz."""
Progress = Callable[[int], AbstractContextManager[Tell]]

log = logging.getLogger(__name__)


class Output(Protocol):
    """Where an archive is to be written."""

    @property
    def export_path(self) -> str:
        """The folder."""

    @property
    def force(self) -> bool:
        """Whether what is there may be overwritten."""

    @property
    def output(self) -> Path:
        """The file or folder."""


@contextmanager
def silence(total: int) -> Iterator[Tell]:
    """Show no progress."""
    yield lambda count: None


class ModelArchiver:
    """The archiver under the name that scripts call it by."""

    @staticmethod
    def generate_model_archive(config: ModelArchiverConfig) -> None:
        """Pack what `config` names."""
        pack(config)


def pack(config: ModelArchiverConfig, progress: Progress = silence, more: Sequence[Member] = ()) -> Path:
    """Write the archive and return its path; a run that fails leaves nothing behind. Raises ArchiveError.

    `progress` is given the number of bytes to come, and what it yields is called with the count of each piece; `more`
    are members beside those that the configuration names, and in their place where the names are the same.
    """
    members, manifest = gather(config)
    members = [each for each in members if each.name not in {other.name for other in more}] + [*more]
    with saving(config, "model"), progress(sum(member.path.stat().st_size for member in members)) as tell:
        kind = ArchiveFormat(config.archive_format)
        write_archive(config.output, kind, config.model_name, members, manifest.text().encode(), tell, config.force)
    return config.output


@contextmanager
def saving(config: Output, what: str) -> Iterator[None]:
    """See that the output may be written, and say in our words why it could not be. Raises ArchiveError."""
    _prepare(config)
    try:
        yield
    except FileExistsError as error:  # another run was faster
        raise _exists(config.output) from error
    except OSError as error:
        raise ArchiveError(
            f'Failed to save the {what}-archive to {what}-path "{config.export_path}". '
            f"Check the file permissions and retry. ({error})"
        ) from error


def unpack(source: Path, into: Path, limits: Limits = DEFAULT_LIMITS) -> Manifest:
    """Unpack `source` into the new folder `into` (mode 0700) and return its manifest.

    A name that ends in .mar is read as ZIP, any other file as tar.gz without the first component of its paths. A folder
    is not copied: `into` becomes a link to it, or to its only sub-folder. `into` must be missing or empty.
    Raises: ArchiveError for what is wrong with the archive, OSError where the disk fails; nothing is left then.
    """
    return unpack_checked(source, into, limits, _checked_manifest)


def unpack_checked(source: Path, into: Path, limits: Limits, check: Callable[[Path, Limits], M]) -> M:
    """Unpack as `unpack` does, and return what `check` finds in the folder; an error of its own leaves nothing."""
    with readable(source):
        if source.is_dir():
            folder = model_folder(source)
            found = check(folder, limits)
            make_room(into)
            into.symlink_to(folder, target_is_directory=True)
            return found
        with private_folder(into) as private:
            for entry, pieces in read_entries(source, limits):
                private.write(entry, pieces)
            return check(into, limits)


def read_manifest(source: Path, limits: Limits = DEFAULT_LIMITS) -> Manifest:
    """The manifest of an archive, which is not unpacked; a default one where it has none. Raises ArchiveError."""
    with readable(source):
        if source.is_dir():
            return _folder_manifest(model_folder(source), limits)
        for entry, pieces in read_entries(source, limits):
            if entry.name == MANIFEST_NAME and not entry.directory:
                _check_manifest_size(entry.size, limits)
                return Manifest.parse(b"".join(pieces))
    return Manifest()


def read_entries(source: Path, limits: Limits = DEFAULT_LIMITS) -> Iterator[tuple[Entry, Iterator[bytes]]]:
    """The members of an archive file, each with its data in pieces, to be taken before the next one is asked for."""
    with source.open("rb") as file:
        if source.suffix in ZIP_SUFFIXES:
            reader = ZipReader(file, limits)
            yield from ((member.entry, reader.read(member)) for member in reader.members)
        else:
            yield from read_tar(file, limits)


def model_folder(source: Path) -> Path:
    """Where the files of a model kept as a folder are: in it, or in the one folder that is all it holds."""
    inside = list(source.iterdir())
    if len(inside) == 1 and inside[0].is_dir() and inside[0].name != "MAR-INF":
        return inside[0].resolve()
    return source.resolve()


def write_archive(
    output: Path, kind: ArchiveFormat, name: str, members: Sequence[Member], manifest: bytes, tell: Tell, replace: bool
) -> None:
    """Write members and manifest in one of the formats; nothing half bears the output's name."""
    match kind:
        case ArchiveFormat.NO_ARCHIVE:
            with whole_folder(output, merge=replace) as folder:
                write_folder(folder, members, manifest, tell)
        case ArchiveFormat.TGZ:
            with whole_file(output, replace=replace) as file:
                write_tgz(file, name, members, manifest, tell)
        case _:
            with whole_file(output, replace=replace) as file:
                write_zip(file, members, manifest, tell, store=kind is ArchiveFormat.ZIP_STORE)


def _prepare(config: Output) -> None:
    """See that the export path is a folder and that the output may be written."""
    export = Path(config.export_path)
    if not export.exists():
        log.warning("Export directory (%s) does not exist. Creating...", export)
        export.mkdir(parents=True)
    if not export.is_dir():
        raise ArchiveError(
            f"Given export-path {config.export_path} is not a directory. Point to a valid export-path directory."
        )
    refuse_existing(config)
    if os.path.lexists(config.output):
        log.warning("Overwriting %s ...", config.output)


def refuse_existing(config: Output) -> None:
    """Raise ArchiveError where the output is there and may not be overwritten."""
    if os.path.lexists(config.output) and not config.force:
        raise _exists(config.output)


def _exists(output: Path) -> ArchiveError:
    return ArchiveError(
        f"{output} already exists.\n"
        "Please specify --force/-f option to overwrite the model archive output file.\n"
        "See -h/--help for more details."
    )


@contextmanager
def readable(source: Path) -> Iterator[None]:
    """Name the archive in what goes wrong with it."""
    try:
        if not (source.is_file() or source.is_dir()):
            raise ArchiveError("there is no such file or folder")
        yield
    except ArchiveError as error:
        raise ArchiveError(f"{source.name}: {error}") from error


def _checked_manifest(folder: Path, limits: Limits) -> Manifest:
    """The manifest in `folder`, every file that it names being there."""
    manifest = _folder_manifest(folder, limits)
    for key, name in manifest.model.files.items():
        if not (folder / name).is_file():
            raise ArchiveError(f"the manifest names {name!r} as model.{key}, and the archive holds no such file")
    return manifest


def _folder_manifest(folder: Path, limits: Limits) -> Manifest:
    text = manifest_bytes(folder / MANIFEST_NAME, limits)
    return Manifest() if text is None else Manifest.parse(text)


def manifest_bytes(path: Path, limits: Limits) -> bytes | None:
    """A manifest's file, or None where there is none. Raises ArchiveError where it is too large."""
    if not path.is_file():
        return None
    with path.open("rb") as file:
        _check_manifest_size(file.seek(0, io.SEEK_END), limits)
        file.seek(0)
        return file.read()


def _check_manifest_size(size: int, limits: Limits) -> None:
    if size > limits.manifest_bytes:
        raise ArchiveError(f"MANIFEST.json has {size} bytes; the most that is accepted is {limits.manifest_bytes}")
