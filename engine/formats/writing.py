"""Writing a file as a whole: readers see the old one or the new one, never a half; zip records that can be mapped."""

from __future__ import annotations

import os
import secrets
import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from .mapping import FilePath

_ALIGNMENT = 64
_PADDING = 0x4246  # the id of the extra field that torch pads with: "FB"
_LOCAL_HEADER = 30
_ZIP64_FROM = 1 << 30  # zipfile decides by file size; we say so ourselves, because it moves the data by 20 bytes
_ZIP64_FIELD = 20


@contextmanager
def replacing(path: FilePath) -> Iterator[IO[bytes]]:
    """A file to write to that takes the place of `path` at the end; on an exception nothing has changed."""
    target = Path(path)
    partial = target.with_name(f".{target.name}.{secrets.token_hex(4)}.partial")
    try:
        with open(partial, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)


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
