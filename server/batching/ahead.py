"""Ahead: how many batches a worker may have in hand, so that a quick one need not fall asleep between two of them.

To wake a worker takes longer than a quick handler: where others wait, it finds its next batches when it has answered
the last. What it has not begun in time goes back to the queue: see Stacker.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf, isinf
from typing import cast

from .batch import Job, Sender, Stacker

AHEAD_SECONDS = 0.002
"""What a worker may have in hand is done in this time, by the slowest batch of late."""
MOST = 16
"""Batches that a worker may have in hand."""
FADING = 0.98
"""What is left of the slowest batch with each batch."""
LARGE = 1 << 14
"""Bytes of a request that is never sent ahead."""


class Ahead:
    """Knows how quick batches are, and who may get more of them."""

    def __init__(self, wanted: bool) -> None:
        """Nothing goes ahead yet, or, unless that is `wanted`, ever."""
        self.most = 0
        """Batches that a worker may have in hand; 0: none goes ahead."""
        self.waiting = 0
        """Requests that workers were sent and have not begun."""
        self._wanted = wanted
        self._slowest = inf
        self._not_to: dict[Sender, bool] = {}
        """Who gets nothing ahead, and whether that is for good."""

    def answered(self, worker: Sender, took: float) -> None:
        """A worker has answered a batch, in so many seconds."""
        if not self._wanted:
            return
        if self._not_to and not self._not_to.get(worker, True):
            del self._not_to[worker]
        self._slowest = took if isinf(self._slowest) else max(took, FADING * self._slowest)
        most = int(min(MOST, AHEAD_SECONDS / self._slowest)) if self._slowest else MOST
        self.most = most if most > 1 else 0

    def keep_from(self, worker: Sender, always: bool = False) -> None:
        """Give a worker nothing ahead until it has answered another batch, or never more."""
        self._not_to[worker] = always or self._not_to.get(worker, False)

    def forget(self, worker: Sender) -> None:
        """A worker is gone."""
        self._not_to.pop(worker, None)

    def choose(self, hands: Mapping[Sender, int]) -> Stacker | None:
        """Who is to get the next batch, by how many each has in hand; None: nobody."""
        least, chosen = self.most, None
        for worker, count in hands.items():
            if count < least and worker not in self._not_to and getattr(worker, "takes_ahead", False):
                least, chosen = count, cast(Stacker, worker)
        return chosen

    def suits(self, job: Job) -> bool:
        """Whether a request may go ahead."""
        return sum([len(part.body) for part in job.request.parts]) < LARGE
