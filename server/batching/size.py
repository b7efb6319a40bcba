"""BatchSize: how many requests the next batch may have; FixedSize, and AdaptiveSize, which learns it."""

from __future__ import annotations

import logging
from math import ceil, inf
from typing import Protocol

from ..status import BatchingStatus
from .cost import BatchCost

logger = logging.getLogger(__name__)

WORTH = 0.95
"""Of the rate that endless batches would reach: who has reached it grows no more."""
TRIAL = 256
"""Batches after which larger ones are tried again, when a large one has failed for the first time."""
NOT_CERTAIN = (
    "nothing shows that the handler answers a batch as its requests alone; batching: adaptive says that it does"
)
GROWTH = 2
"""Times the largest batch of which the cost is known: what the next one may have at most."""
MOST = 64
"""Requests of a batch at most, unless told otherwise."""
FIRST, LATER = 64, 8
"""So many batches are looked at each, and then one of so many, and all others that are not as usual."""
USUAL = 0.5
"""By how much of what was expected a batch may take longer or shorter."""


class BatchSize(Protocol):
    """How many requests the next batch may have."""

    cost: BatchCost

    @property
    def patience(self) -> float:
        """Seconds for which an idle worker may be kept for requests that are about to come, at most."""

    @property
    def learns(self) -> bool:
        """Whether there is anything to be learnt from batches."""

    def most(self, waiting: int) -> int:
        """How many, where so many wait, or are about to come."""

    def allow(self, apart: bool) -> None:
        """Take note of whether all workers are certain to answer a batch as its requests alone."""

    def note(self, rows: int, seconds: float, largest: int) -> None:
        """A batch was answered; `largest` are the bytes of its largest answer."""

    def spoilt(self, rows: int) -> None:
        """A batch of so many has failed whose requests were all answered alone."""

    def status(self) -> BatchingStatus:
        """What there is to tell."""


class FixedSize:
    """As many as is said."""

    def __init__(self, size: int, patience: float) -> None:
        """Always the same."""
        self.cost = BatchCost()
        self.size, self.patience, self.learns = size, patience, size > 1

    def most(self, waiting: int) -> int:
        """As many as is said."""
        return self.size

    def allow(self, apart: bool) -> None:
        """It is what was asked for."""

    def note(self, rows: int, seconds: float, largest: int) -> None:
        """Learn what batches cost."""
        self.cost.note(rows, seconds)

    def spoilt(self, rows: int) -> None:
        """It is what was asked for."""

    def status(self) -> BatchingStatus:
        """What there is to tell."""
        return BatchingStatus("fixed", self.size, self.size, self.cost.start, self.cost.each)


class AdaptiveSize:
    """As many as can be answered in time, and as is worth it.

    A request waits for the batch before its own to end, and for its own: so a batch may take half of the target. More
    are taken where that many could not be worked off within the target anyway, but never more than bring something:
    from some size on, a larger batch takes as long for each request. Growth is by doubling, so that no batch is of a
    size of which nothing is known.
    """

    def __init__(
        self,
        model: str,
        most: int = MOST,
        target: float = 0.1,
        *,
        longest: float = inf,
        answer_limit: float = inf,
        asked: bool = False,
    ) -> None:
        """Begin with 1; `most` is a limit, as are `longest` seconds for a batch and `answer_limit` bytes of answers.

        Unless batches were `asked` for, it stays at 1 until all workers are certain to answer them well.
        """
        self.cost = BatchCost()
        self.target = target
        self._model, self._most = model, most
        self._longest, self._answer_limit = longest, answer_limit
        self._asked = self.learns = asked
        self._noted, self._largest = 0, 1
        self._timely = self._worth = 1
        self._limit, self._trial, self._trial_after = most, 0, TRIAL

    @property
    def patience(self) -> float:
        """A quarter of the target."""
        return self.target / 4

    def most(self, waiting: int) -> int:
        """As many as can be answered in time; as are worth it, where so many wait that this cannot be kept."""
        if not self.learns:
            return 1
        timely = self._timely
        if waiting > timely and waiting * self.cost(timely) > self.target * timely:
            return self._worth
        return timely

    def allow(self, apart: bool) -> None:
        """Let batches grow, or keep them at 1."""
        self.learns = self._asked or apart

    def note(self, rows: int, seconds: float, largest: int) -> None:
        """Learn what batches cost, and how large they may be."""
        self._largest = max(self._largest, largest)
        self._noted += 1
        if self._noted > FIRST and self._noted % LATER and abs(seconds / self.cost(rows) - 1) < USUAL:
            return
        if self._limit < self._most and self._noted >= self._trial:
            self._limit = min(self._most, self._limit * GROWTH)
            self._trial = self._noted + self._trial_after
        self.cost.note(rows, seconds)
        start, each = self.cost.start, self.cost.each
        most = int(min(self._limit, GROWTH * self.cost.largest, self._answer_limit // self._largest))
        most = _fitting(self._longest - start, each, most)
        self._worth = max(1, ceil(min(most, WORTH / (1 - WORTH) * start / each)) if each else most)
        self._timely = max(1, _fitting(self.target / 2 - start, each, self._worth))

    def spoilt(self, rows: int) -> None:
        """Half as many at most, for a time that doubles with each failure."""
        self._limit = max(1, rows // 2)
        self._trial = self._noted + self._trial_after
        self._trial_after *= 2
        self._worth, self._timely = min(self._worth, self._limit), min(self._timely, self._limit)
        logger.warning(
            "model %s: a batch of %d failed whose requests succeed alone; batches have %d at most for a time",
            self._model, rows, self._limit,
        )  # fmt: skip

    def status(self) -> BatchingStatus:
        """What there is to tell."""
        size, load = (self._timely, self._worth) if self.learns else (1, 1)
        reason = "" if self.learns else NOT_CERTAIN
        return BatchingStatus("adaptive", size, load, self.cost.start, self.cost.each, self.target, reason)


def _fitting(seconds: float, each: float, most: int) -> int:
    """How many times `each` fits into so many seconds, `most` at most; what takes no time always fits."""
    return most if each == 0 or most * each <= seconds else max(0, int(seconds / each))
