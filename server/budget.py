"""How much may be loaded at once when the server starts: so many models, and so much memory as they may take."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

WORKER_BYTES = 64 << 20
"""What a worker takes beside its model: Python, NumPy and the handler, rounded up."""
WEIGHTS = 2
"""A model in memory, per byte of its archive: what is read, and what is made of it."""


class LoadBudget:
    """Room for models that are being loaded, in the order in which it is asked for. For one task."""

    def __init__(self, models: int, free: Callable[[], int]) -> None:
        """Have room for `models` at a time; `free` tells the bytes that are there for them now."""
        self._models = models
        self._free = free
        self._loading = 0
        self._promised = 0
        self._changed = asyncio.Event()

    async def room(self, needed: int) -> bool:
        """Wait until a model that takes `needed` bytes may be loaded, and promise them to it until `done()`.

        One may always be loaded while no other is; False where the memory that is there seems too small for it.
        """
        while self._loading and (self._loading >= self._models or not self._fits(needed)):
            self._changed.clear()
            await self._changed.wait()
        fits = self._fits(needed)
        self._loading += 1
        self._promised += needed
        return fits

    def done(self, needed: int) -> None:
        """Such a model has been loaded, or has failed to."""
        self._loading -= 1
        self._promised -= needed
        self._changed.set()

    def _fits(self, needed: int) -> bool:
        return not needed or self._promised + needed <= self._free()


def estimate(archive: Path, workers: int) -> int:
    """Bytes that a model takes, as far as its archive tells; workers share the weights that they map."""
    if archive.is_dir():
        size = sum(file.stat().st_size for file in archive.rglob("*") if file.is_file())
    else:
        size = archive.stat().st_size if archive.is_file() else 0
    return WEIGHTS * size + WORKER_BYTES * workers
