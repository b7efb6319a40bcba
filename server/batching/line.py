"""Line: the jobs of a model that wait, by priority; everything is done in the same time however many there are."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence

from .batch import Job

LOOK_EACH = 5e-6
"""Seconds for each job that waits until all of them are looked at again: a twentieth of the time, or so."""


class Line:
    """Who comes first is served first, but that a request of level n counts as if it had come (n - 1) · `step` later.

    So a high level goes before lower ones, and yet nobody is overtaken by those who come `step` seconds later for each
    level between them. Those who are to be tried again go before all others.
    """

    def __init__(self, left: Callable[[Job], None], levels: int = 1, step: float = 0.0) -> None:
        """Be empty; `left` is told each job that is taken out because its client has left or was answered."""
        self._left = left
        self._step = step
        self._again: deque[Job] = deque()
        self._levels: list[deque[Job]] = [deque() for _ in range(levels)]
        self._only = self._levels[0] if levels == 1 else None
        self._look_at = 0.0

    def __len__(self) -> int:
        """How many wait, with those who have left and were not met yet."""
        if self._only is not None:
            return len(self._again) + len(self._only)
        return len(self._again) + sum(map(len, self._levels))

    def __iter__(self) -> Iterator[Job]:
        """All of them."""
        for jobs in (self._again, *self._levels):
            yield from jobs

    def add(self, job: Job, level: int = 1) -> None:
        """Let one wait, behind those of its level."""
        self._levels[level - 1].append(job)

    def add_again(self, jobs: Sequence[Job]) -> None:
        """Let some wait before all others."""
        self._again.extendleft(reversed(jobs))

    def give_back(self, job: Job) -> None:
        """Let one wait once more that was next until now; there is one level only."""
        self._levels[0].appendleft(job)

    def of_level(self, level: int) -> int:
        """How many of a level wait."""
        return len(self._levels[level - 1])

    def before(self, level: int) -> int:
        """How many are served before one of this level that comes now, unless they wait for long already."""
        return len(self._again) + sum(map(len, self._levels[:level]))

    def oldest(self) -> float | None:
        """When the first one came of those who wait for their first attempt; None where there is none."""
        return min((jobs[0].queued_at for jobs in self._levels if jobs), default=None)

    def first(self) -> Job | None:
        """Who is next and still there."""
        jobs = self._next()
        return jobs[0] if jobs else None

    def take(self) -> Job | None:
        """Take out who is next and still there."""
        jobs = self._next()
        return jobs.popleft() if jobs else None

    def take_older(self, now: float, age: float) -> Iterator[Job]:
        """Take out all who wait for their first attempt for so many seconds."""
        for jobs in self._levels:
            while jobs and (jobs[0].answer.done() or jobs[0].queued_at + age <= now):
                job = jobs.popleft()
                if job.answer.done():
                    self._left(job)
                else:
                    yield job

    def make_room(self, now: float) -> None:
        """Take out all who have left, wherever they stand; not too often, as this takes longer the more there are."""
        if now < self._look_at:
            return
        self._look_at = now + LOOK_EACH * len(self)
        for jobs in self._levels:
            staying = [job for job in jobs if not job.answer.done()]
            if len(staying) < len(jobs):
                for job in jobs:
                    if job.answer.done():
                        self._left(job)
                jobs.clear()
                jobs.extend(staying)

    def clear(self) -> list[Job]:
        """Take out all."""
        jobs = [*self]
        for each in (self._again, *self._levels):
            each.clear()
        return jobs

    def _next(self) -> deque[Job] | None:
        """Where the next one stands, whoever has left before it is taken out."""
        if self._only is not None and not self._again:
            while self._only and self._only[0].answer.done():
                self._left(self._only.popleft())
            return self._only or None
        found, least = None, 0.0
        for number, jobs in enumerate((self._again, *self._levels)):
            while jobs and jobs[0].answer.done():
                self._left(jobs.popleft())
            if jobs:
                if number == 0:
                    return jobs
                moment = jobs[0].queued_at + number * self._step
                if found is None or moment < least:
                    found, least = jobs, moment
        return found
