"""Putting off the search for garbage while many objects are made of which none is any."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

MANY = 10_000
"""Objects made meanwhile that make it worth while to keep the next search from them."""


@contextmanager
def without_collections() -> Iterator[None]:
    """Trees of code and records are needed until the end; looking for garbage in them takes up to half of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            if gc.get_count()[0] > MANY:
                _take_as_old()
            gc.enable()


def _take_as_old() -> None:
    """Let all that there is be looked at with what has been there for long, and not right away as what is new.

    It goes through what is frozen, to count it: nothing for every small file.
    """
    if not gc.get_freeze_count():
        gc.freeze()
        gc.unfreeze()
