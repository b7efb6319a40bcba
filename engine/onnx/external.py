"""Tensor data in files beside the model: read from inside the model's folder alone, and only from plain files there."""

from __future__ import annotations

import mmap
import os
import re
import stat
from pathlib import Path, PurePosixPath

import numpy as np

from ..dtype import Array
from ..errors import FormatError
from ..formats.limits import quote
from ..formats.mapping import window
from .records import TensorRecord

_KEYS = {"location", "offset", "length", "checksum", "basepath"}  # onnx/onnx.proto, TensorProto.external_data


class Folder:
    """The folder that a model lies in; None for a model that has none. Each file in it is mapped once."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._files: dict[str, mmap.mmap] = {}

    def bytes_of(self, record: TensorRecord, expected: int) -> Array:
        """The bytes that a tensor says are its own."""
        unknown = record.external.keys() - _KEYS
        if unknown:
            raise FormatError(f"tensor {quote(record.name)}: external data with the key {quote(min(unknown))}")
        offset = _size(record, "offset", 0)
        length = _size(record, "length", expected)
        if not length:
            return np.empty(0, np.uint8)
        data = self._file(record.external.get("location", ""))
        if offset + length > len(data):
            raise FormatError(
                f"tensor {quote(record.name)}: external data up to byte {quote(offset + length)} of {len(data)}"
            )
        return window(data, offset, length)

    def _file(self, location: str) -> mmap.mmap:
        if location not in self._files:
            if self._path is None:
                raise FormatError(f"external data {quote(location)}: the model was not read from a folder")
            self._files[location] = _mapped(self._path, location)
        return self._files[location]


def _size(record: TensorRecord, key: str, default: int) -> int:
    given = record.external.get(key)
    if given is None:
        return default
    if not re.fullmatch(r"[0-9]{1,18}", given):
        raise FormatError(f"tensor {quote(record.name)}: external data with {key} {quote(given)}")
    return int(given)


def _mapped(folder: Path, location: str) -> mmap.mmap:
    """The file, opened part by part so that no link can lead out of the folder."""
    parts = PurePosixPath(location).parts
    if not parts or location.startswith("/") or "\\" in location or "\0" in location or ".." in parts:
        raise FormatError(f"external data at {quote(location)}, which is not inside the model's folder")
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for part in parts[:-1]:
            inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=opened)
            os.close(opened)
            opened = inner
        # Without O_NONBLOCK a pipe would keep us waiting for its writer.
        file = os.open(parts[-1], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=opened)
    except (OSError, ValueError) as error:
        raise FormatError(f"external data {quote(location)} cannot be read: {error}") from error
    finally:
        os.close(opened)
    try:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
            raise FormatError(f"external data {quote(location)} is no plain file of its own (a device, pipe or link)")
        if not status.st_size:
            raise FormatError(f"external data {quote(location)} is empty")
        return mmap.mmap(file, 0, access=mmap.ACCESS_COPY)
    finally:
        os.close(file)
