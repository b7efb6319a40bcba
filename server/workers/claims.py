"""Claims: which of the batches that a worker was sent ahead it may begin; the server can take back all others.

A pipe that holds a byte for each, its number. Who reads it has the batch, and the kernel sees to it that only one does:
so a batch that waits behind one that hangs can go to another worker, and is never begun by both.
"""

from __future__ import annotations

import os
from contextlib import suppress

NUMBERS = 256
"""After so many batches their numbers begin anew; there are never that many at a time."""


class Claims:
    """The pipe; the server has both of its ends, a worker the one that is read."""

    def __init__(self, reading: int, writing: int = -1) -> None:
        """Own these descriptors, which must not block."""
        self.reading, self._writing = reading, writing
        self._claimed: int | None = None

    @classmethod
    def create(cls) -> Claims:
        """None to claim yet.

        Raises: OSError
        """
        return cls(*os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK))

    def offer(self, numbers: bytes) -> None:
        """Let the worker begin batches of these numbers, which are sent after this."""
        os.write(self._writing, numbers)

    def claim(self, number: int) -> bool:
        """Whether a worker may begin the batch that it has come to; it was taken back otherwise."""
        if self._claimed is None:
            with suppress(BlockingIOError):
                (self._claimed,) = os.read(self.reading, 1) or (None,)
        if self._claimed != number:  # one that was sent after it
            return False
        self._claimed = None
        return True

    def take_back(self) -> bytes:
        """The numbers of the batches that were not begun, and never will be."""
        with suppress(BlockingIOError):
            return os.read(self.reading, NUMBERS)
        return b""

    def close(self) -> None:
        """Let go of the pipe."""
        for descriptor in (self.reading, self._writing):
            if descriptor >= 0:
                os.close(descriptor)
        self.reading = self._writing = -1
