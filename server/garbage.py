"""Garbage: models that stay are nothing that Python's collector should go through again and again.

A full collection stops everything for a third of a millisecond per ten models, and the more models come, the more there
are of these. Source: the documentation of gc.freeze; gcmodule.c, which begins one when a quarter is new.
"""

from __future__ import annotations

import gc

FEW = 100
"""Models that may come, or have gone, without anything being done: to collect their objects takes milliseconds."""
SHARE = 0.25
"""Of the models set aside: when so many have gone, all are looked at once, as what has gone would stay otherwise."""


class Garbage:
    """Sets aside the objects of models in bunches, and takes them back when many of them have gone."""

    def __init__(self) -> None:
        """Have set nothing aside."""
        self._new = self._aside = self._gone = 0

    def come(self) -> None:
        """There is one more model."""
        self._new += 1
        if self._new >= FEW:
            self._set_aside()

    def gone(self) -> None:
        """A model has been closed, and is to be forgotten."""
        self._gone += 1
        if self._aside and self._gone >= max(FEW, SHARE * self._aside):
            gc.unfreeze()
            gc.collect()
            self._set_aside()

    def _set_aside(self) -> None:
        gc.freeze()
        self._aside = max(0, self._aside + self._new - self._gone)
        self._new = self._gone = 0
