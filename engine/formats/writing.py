"""Writing a file as a whole: readers see the old one or the new one, never a half."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from .mapping import FilePath


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
