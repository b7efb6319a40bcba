"""Company: whether an idle worker is worth keeping for requests that are about to come."""

from __future__ import annotations

RARELY = 64
"""Batches between two attempts, at most, where nobody has come."""


class Company:
    """Expects back those who have just been answered.

    Clients that ask again as soon as they have their answers come one by one: a worker that took the first of them
    alone would keep the others waiting for a batch of one. So it waits for as many as there were, yet no longer than
    a batch costs whatever its size, which is what there is to be won; and after vain attempts only now and then. A
    request that comes when nobody was answered just now, or that is the only one of its kind, waits for nobody.
    """

    def __init__(self) -> None:
        """Expect nobody."""
        self._expected = 0
        self._until = 0.0
        self._begun: int | None = None
        """How many waited when the waiting for others began; None where nobody is waited for."""
        self._vain = self._pause = 0

    @property
    def until(self) -> float:
        """When waiting ends, whoever has come."""
        return self._until

    def answered(self, now: float, present: int, patience: float) -> None:
        """A batch was answered; with it, so many requests were there, in the queue and with workers."""
        if self._begun is not None:
            return
        self._expected = present
        if self._pause:
            self._pause -= 1
        else:
            self._until = now + patience

    def is_awaited(self, now: float, waiting: int, flying: int, most: int) -> bool:
        """Whether so many who wait are to wait for others, who could share their batch of `most`."""
        wanted = min(most, self._expected - flying)
        if waiting < wanted and now < self._until:
            if self._begun is None:
                self._begun = waiting
            return True
        if self._begun is not None:
            self._learn(2 * (waiting - self._begun) >= wanted - self._begun)
        return False

    def _learn(self, worth: bool) -> None:
        """At least half of those who were expected have come, or not."""
        self._begun = None
        self._vain = 0 if worth else self._vain + 1
        self._pause = 0 if worth else min(RARELY, 2**self._vain)
