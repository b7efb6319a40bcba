"""Putting off the search for garbage while many objects are made of which none is any."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_collections() -> Iterator[None]:
    """Trees of code and records are needed until the end; looking for garbage in them takes up to half of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            _take_as_old()
            gc.enable()


def _take_as_old() -> None:
    """Let all that there is be looked at with what has been there for long, and not right away as what is new."""
    if not gc.get_freeze_count():
        gc.freeze()
        gc.unfreeze()
