"""Heap: memory for large bodies is kept from one to the next while they come, on both sides of the wire.

The C library gives large pieces back to the system when they are freed, and the next one costs a page fault for each of
its pages, several times what is done with them. Source: mallopt(3), malloc_trim(3); other C libraries are left alone.
"""

from __future__ import annotations

import ctypes

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_MMAP_MAX = -1, -3, -4  # malloc.h
KEEPING = {M_MMAP_MAX: 0, M_TRIM_THRESHOLD: 256 << 20}
"""No piece has a mapping of its own, and so much may be free at the heap's end."""
USUAL = {M_MMAP_MAX: 1 << 16, M_MMAP_THRESHOLD: 32 << 20, M_TRIM_THRESHOLD: 64 << 20}
"""Where the library's own rules end up in a process that has freed large pieces."""


class Heap:
    """This process's memory that is allocated and freed."""

    def __init__(self) -> None:
        """Leave everything as it is."""
        self._library = ctypes.CDLL(None)
        self._able = all(hasattr(self._library, name) for name in ("mallopt", "malloc_trim"))
        self.kept = False

    def keep(self) -> None:
        """Keep what is freed, until it is given back."""
        if not self.kept:
            self._set(KEEPING)
            self.kept = True

    def give_back(self) -> None:
        """Give what was kept back to the system."""
        if self.kept:
            self._set(USUAL)
            self.kept = False
            self.trim()

    def trim(self) -> None:
        """Give back what is free, unless it is kept."""
        if self._able and not self.kept:
            self._library.malloc_trim(0)

    def _set(self, values: dict[int, int]) -> None:
        if self._able:
            for name, value in values.items():
                self._library.mallopt(name, value)


HEAP = Heap()
"""That of this process."""
