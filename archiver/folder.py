"""Files that appear whole or not at all, and folders that only their owner can enter."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from .entry import Entry
from .errors import ArchiveError

FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
NEW_FILE_FLAGS = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW


class PrivateFolder:
    """A folder only its owner can enter; what is created in it never goes through a link."""

    def __init__(self, descriptor: int) -> None:
        """`descriptor` is the open folder."""
        self._descriptor = descriptor

    def write(self, entry: Entry, pieces: Iterable[bytes]) -> None:
        """Create the entry's folders and, where it is a file, the file; it must not be there yet."""
        *parents, last = entry.name.split("/")
        folder = self._open([*parents, last] if entry.directory else parents)
        try:
            if not entry.directory:
                with os.fdopen(os.open(last, NEW_FILE_FLAGS, 0o600, dir_fd=folder), "wb") as file:
                    file.writelines(pieces)
        except FileExistsError as error:  # the names differ, but not to this file system
            raise ArchiveError(f"member {entry.name!r} is there twice; the archive is refused") from error
        finally:
            os.close(folder)

    def _open(self, parts: list[str]) -> int:
        """The folder `parts` below this one, made where it is missing."""
        folder = os.dup(self._descriptor)
        for part in parts:
            try:
                if not _exists(part, folder):
                    os.mkdir(part, 0o700, dir_fd=folder)
                deeper = os.open(part, FOLDER_FLAGS, dir_fd=folder)
            finally:
                os.close(folder)
            folder = deeper
        return folder


@contextmanager
def private_folder(path: Path) -> Iterator[PrivateFolder]:
    """Make `path`, or take it where it is empty; an error in the `with` empties and removes it."""
    make_room(path)
    path.mkdir(0o700)
    try:
        descriptor = os.open(path, FOLDER_FLAGS)
        try:
            yield PrivateFolder(descriptor)
        finally:
            os.close(descriptor)
    except BaseException:
        shutil.rmtree(path)
        raise


def make_room(path: Path) -> None:
    """Remove the empty folder at `path`; raises ArchiveError where something else is there."""
    try:
        path.rmdir()
    except FileNotFoundError:
        return
    except OSError as error:
        raise ArchiveError(f"{path} is there already and is not an empty folder: {error.strerror}") from error


@contextmanager
def whole_file(target: Path, *, replace: bool) -> Iterator[BinaryIO]:
    """A new file that takes its name when the `with` ends well; until then, and on an error, nothing bears it.

    Raises: FileExistsError where `target` is there and may not be replaced.
    """
    temporary = temporary_beside(target)
    try:
        with os.fdopen(os.open(temporary, NEW_FILE_FLAGS, 0o666), "w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        _give_name(temporary, target, replace)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(target.parent)


@contextmanager
def whole_folder(target: Path, *, merge: bool) -> Iterator[Path]:
    """Like `whole_file` for a folder; with `merge`, its files go over those of a folder that is there."""
    temporary = temporary_beside(target)
    temporary.mkdir()
    try:
        yield temporary
        if merge and target.is_dir():
            _merge(temporary, target)
        elif target.exists():
            raise FileExistsError(f"{target} exists")
        else:
            temporary.rename(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    sync_folder(target.parent)


def temporary_beside(target: Path) -> Path:
    """A name next to `target` that nobody else has; the server does not take it for an archive."""
    return target.with_name(f".{target.name}.{secrets.token_hex(8)}.part")


def sync_folder(path: Path) -> None:
    """See to it that the names in the folder survive a power failure."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _give_name(temporary: Path, target: Path, replace: bool) -> None:
    if not replace:
        try:
            os.link(temporary, target)  # unlike rename, refuses where another run was faster
            return
        except FileExistsError:
            raise
        except OSError:  # a file system without hard links
            if os.path.lexists(target):
                raise FileExistsError(f"{target} exists") from None
    os.replace(temporary, target)


def _merge(source: Path, target: Path) -> None:
    for path in sorted(source.rglob("*")):
        if path.is_file():
            place = target / path.relative_to(source)
            place.parent.mkdir(parents=True, exist_ok=True)
            os.replace(path, place)


def _exists(name: str, folder: int) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True
