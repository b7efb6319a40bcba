"""Opening a file as memory: mapped privately, so that its pages are shared until somebody writes to them."""

from __future__ import annotations

import mmap
import stat
from os import PathLike
from pathlib import Path

import numpy as np

from ..dtype import Array
from ..errors import FormatError

FilePath = str | PathLike[str]


def map_file(path: FilePath) -> mmap.mmap:
    """The file's bytes, copied page by page when written to; the file itself never changes.

    Raises: FormatError for what cannot be a weights file: missing, a directory, a device, empty.
    """
    try:
        _check(Path(path))
        with open(path, "rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    except FormatError:
        raise
    except (OSError, ValueError) as error:
        raise FormatError(f"{path} cannot be read: {error}") from error


def _check(path: Path) -> None:
    status = path.stat()
    if stat.S_ISDIR(status.st_mode):
        raise FormatError(f"{path} is a directory; expected one weights file in it")
    if not stat.S_ISREG(status.st_mode):
        raise FormatError(f"{path} is a device, pipe or socket; expected a file")
    if not status.st_size:
        raise FormatError(f"{path} is empty; it may not have been copied to its end")


def window(data: mmap.mmap, start: int, count: int) -> Array:
    """Bytes of the mapping as an array over the same memory."""
    if start < 0 or count < 0 or start + count > len(data):
        raise FormatError(f"data up to byte {start + count} of a file of {len(data)}; it may be cut off")
    if not count:
        return np.empty(0, np.uint8)
    return np.frombuffer(data, np.uint8, count, start)
