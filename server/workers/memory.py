"""Memory: what the server and one of its workers have in common, for bodies that are too large for a socket.

It has no name, so nothing of it stays when both have ended, however they ended. The server makes it and hands it over.
A batch begins at its start, and the answers follow the requests.
"""

from __future__ import annotations

import fcntl
import mmap
import os
from collections.abc import Sequence

ALIGNMENT = 4096
"""Bytes to a multiple of which answers are moved up, and the memory is grown."""
Buffer = bytes | bytearray | memoryview


class Memory:
    """Memory that is mapped on both sides. It only grows, so that neither side can take a page from the other."""

    def __init__(self, descriptor: int) -> None:
        """Own this descriptor."""
        self.descriptor = descriptor
        self._map: mmap.mmap | None = None
        self._view = memoryview(bytearray())
        self._used = 0
        self._backed = 0

    @classmethod
    def create(cls) -> Memory:
        """New memory, of no size yet.

        Raises: OSError
        """
        made = cls(os.memfd_create("numserve", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING))
        fcntl.fcntl(made.descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL)
        return made

    @property
    def used(self) -> int:
        """How much of it the current batch needs."""
        return self._used

    def rewind(self) -> None:
        """Begin a batch: what it needs comes first."""
        self._used = 0

    def put(self, blobs: Sequence[Buffer], size: int) -> None:
        """Write so many bytes after what is there.

        Raises: OSError where there is no more memory.
        """
        start, end = self._used, _aligned(self._used + size)
        self._reserve(end)
        self._used = end
        for blob in blobs:
            self._view[start : start + len(blob)] = blob
            start += len(blob)

    def get(self, lengths: Sequence[int]) -> list[memoryview]:
        """What the other side has written after what is there; it is overwritten by the next batch.

        Raises: ValueError where it has not written so much.
        """
        start = self._used
        self._used = _aligned(start + sum(lengths))
        if self._used > len(self._view):
            size = os.fstat(self.descriptor).st_size
            if self._used > size:
                raise ValueError(f"{sum(lengths)} bytes from {start} are not in {size} bytes of memory")
            self._remap(size)
        return split(self._view[start:], lengths)

    def release(self) -> None:
        """Give the pages back to the system; what was in them is zeros from now on."""
        if self._map:
            self._map.madvise(mmap.MADV_REMOVE)
        self._backed = 0

    def close(self) -> None:
        """Let go of it; views that somebody still holds stay good."""
        self._view, self._map = memoryview(bytearray()), None
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def _reserve(self, size: int) -> None:
        """Have pages for so many bytes now: to lack them later would be the end of the process."""
        if size > self._backed:
            os.posix_fallocate(self.descriptor, 0, size)
            self._backed = size
        if size > len(self._view):
            self._remap(size)

    def _remap(self, size: int) -> None:
        self._map = mmap.mmap(self.descriptor, size, flags=mmap.MAP_SHARED | mmap.MAP_POPULATE)
        self._view = memoryview(self._map)


def split(view: memoryview, lengths: Sequence[int]) -> list[memoryview]:
    """Views of so many bytes each, one after the other."""
    found, start = [], 0
    for length in lengths:
        found.append(view[start : start + length])
        start += length
    return found


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT
