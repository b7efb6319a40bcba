"""Writing a file as a whole: readers see the old one or the new one, never a half; zip records that can be mapped."""

from __future__ import annotations

import io
import os
import secrets
import struct
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import IO, Any

from .mapping import FilePath

Progress = Callable[[int], None]

_ALIGNMENT = 64
_PADDING = 0x4246  # the id of the extra field that torch pads with: "FB"
_LOCAL_HEADER = 30
_ZIP64_FROM = 1 << 30  # zipfile decides by file size; we say so ourselves, because it moves the data by 20 bytes
_ZIP64_FIELD = 20
_SLICE = 8 << 20  # bytes between two reports
_PROGRESS: ContextVar[Progress | None] = ContextVar("progress", default=None)


@contextmanager
def reporting(progress: Progress) -> Iterator[None]:
    """Tell the number of bytes of all that is written in between, part by part."""
    token = _PROGRESS.set(progress)
    try:
        yield
    finally:
        _PROGRESS.reset(token)


@contextmanager
def staged(path: FilePath) -> Iterator[Path]:
    """A place for a file that takes the place of `path` at the end; on an exception nothing has changed."""
    target = Path(path)
    partial = target.with_name(f".{target.name}.{secrets.token_hex(4)}.partial")
    try:
        yield partial
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def replacing(path: FilePath) -> Iterator[IO[bytes]]:
    """A file to write to that takes the place of `path` at the end; on an exception nothing has changed."""
    with staged(path) as partial, _Watched(io.FileIO(partial, "xb"), _PROGRESS.get()) as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


class _Watched(io.BufferedWriter):
    """A file that tells how much was written."""

    def __init__(self, raw: io.FileIO, progress: Progress | None) -> None:
        super().__init__(raw)
        self._progress = progress

    def write(self, content: Any, /) -> int:
        """Write all of it."""
        if self._progress is None:
            return super().write(content)
        data = memoryview(content).cast("B")
        for start in range(0, len(data), _SLICE):
            self._progress(super().write(data[start : start + _SLICE]))
        return len(data)


def add_record(archive: zipfile.ZipFile, file: IO[bytes], name: str, content: bytes | memoryview) -> None:
    """Store a record uncompressed, so that its content begins at a multiple of 64 bytes of the archive's file."""
    info = zipfile.ZipInfo(name)
    size = memoryview(content).nbytes
    wide = size >= _ZIP64_FROM
    start = file.tell() + _LOCAL_HEADER + len(info.filename.encode()) + 4 + (_ZIP64_FIELD if wide else 0)
    padding = -start % _ALIGNMENT
    info.extra = struct.pack("<2H", _PADDING, padding) + b"\0" * padding
    info.file_size = size
    with archive.open(info, "w", force_zip64=wide) as record:
        record.write(content)
