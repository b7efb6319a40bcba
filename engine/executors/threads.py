"""Pool, a few threads that take halves of a step each, handed over by plain locks: who waits sleeps."""

from __future__ import annotations

import _thread
import contextlib
import os
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

Job = Sequence[Callable[[], Any]]


class Pool:
    """`threads` threads, the caller's among them; run() gives each its job and returns when all are done.

    Nothing spins, so that a busy machine slows it down in proportion. It ends with the last reference to it, and begins
    anew in a process that was forked.
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._begin()

    def _begin(self) -> None:
        self._process = os.getpid()
        self._hands = [_Hand() for _ in range(self.threads - 1)]
        weakref.finalize(self, _end, self._hands)
        for hand in self._hands:
            _thread.start_new_thread(hand.work, ())

    def run(self, jobs: Sequence[Job]) -> None:
        """Run up to `threads` jobs at the same time; the first exception of any is raised here."""
        if self._process != os.getpid():
            self._begin()
        for hand, job in zip(self._hands, jobs[1:], strict=False):
            hand.job = job
            hand.ready.release()
        error: BaseException | None = None
        try:
            for call in jobs[0]:
                call()
        except BaseException as met:  # all must be waited for before anything is raised
            error = met
        for hand, _ in zip(self._hands, jobs[1:], strict=False):
            hand.done.acquire()
            error, hand.error = error or hand.error, None
        if error is not None:
            raise error


class _Hand:
    """One thread's end: it sleeps on `ready`, and says `done`."""

    def __init__(self) -> None:
        self.ready, self.done = _thread.allocate_lock(), _thread.allocate_lock()
        self.ready.acquire()
        self.done.acquire()
        self.job: Job | None = None
        self.error: BaseException | None = None

    def work(self) -> None:
        while True:
            self.ready.acquire()
            if self.job is None:
                return
            try:
                with np.errstate(all="ignore"):
                    for call in self.job:
                        call()
            except BaseException as met:  # it belongs to the one who gave the job
                self.error = met
            self.done.release()


def _end(hands: Sequence[_Hand]) -> None:
    for hand in hands:
        hand.job = None
        with contextlib.suppress(RuntimeError):
            hand.ready.release()


def shares(count: int, threads: int) -> Iterator[tuple[int, int]]:
    """`count` things in up to `threads` even parts, as (start, stop); no part is empty."""
    ends = [count * i // threads for i in range(threads + 1)]
    return ((a, b) for a, b in zip(ends, ends[1:], strict=False) if b > a)
