"""Company: whether an idle worker is worth keeping for requests that are about to come."""

from __future__ import annotations

RARELY = 64
"""Batches between two attempts, at most, where nobody has come."""


class Company:
    """Expects back those who have just been answered.

    Clients that ask again as soon as they have their answers come one by one: a worker that took the first of them
    alone would keep the others waiting for a batch of one. So it waits for as many as there were, as long as that
    pays. One more in a batch of n saves an n-th of what a batch costs whatever its size: that is how long the next one
    is waited for, and one such cost in all. After vain attempts it waits only now and then; and never for company to
    a request that comes when nobody was answered just now, or that is the only one of its kind.
    """

    def __init__(self) -> None:
        """Expect nobody."""
        self.expected = 0
        """How many there were when a batch was answered last: in it, in the queue and with other workers."""
        self._patience = self._end = 0.0
        self.until = 0.0
        """When waiting ends, unless somebody comes before."""
        self._begun: int | None = None
        """How many waited when the waiting for others began; None where nobody is waited for."""
        self._waiting = self._vain = self._pause = 0

    def answered(self, now: float, present: int, patience: float) -> None:
        """A batch was answered; with it, so many requests were there, in the queue and with workers."""
        if self._begun is not None:
            return
        self.expected, self._waiting = present, 0
        if self._pause:
            self._pause -= 1
        else:
            self._patience, self._end = patience, now + patience

    def is_awaited(self, now: float, waiting: int, flying: int, workers: int, most: int) -> bool:
        """Whether so many who wait are to wait for others, who could share their batch of `most`.

        So many are `flying`, that is with workers; those who are expected are shared out among the workers.
        """
        wanted = min(most, self.expected - flying, -(-self.expected // workers))
        if waiting < wanted and now < self._end:
            if waiting != self._waiting:
                self._waiting = waiting
                self.until = min(self._end, now + self._patience / waiting)
            if now < self.until:
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
