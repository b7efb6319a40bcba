"""fastest(), which times the candidates for a step: the more of them can be told to be slow early, the better."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import lru_cache

import numpy as np

from ...dtype import Array
from .workshop import Call, Candidates, Parts, Workshop

ROUNDS = 4  # further timings of the candidates that are near the best, of which the least counts
PROMISING, NEAR = 1.3, 1.12  # times the best so far: ways worth trying in other sizes, candidates worth another round
LARGE = 1 << 20  # bytes of weights that a model's run does not find in the second-level cache
CACHES = 1 << 25  # bytes that drive everything else out of the caches


def fastest(candidates: Candidates, shop: Workshop, weights: int = 0) -> tuple[str, Call]:
    """The name of the fastest candidate, and what it was built to.

    A candidate's name ends with its size ("rows=64"); the first of every way stands for all of its sizes, which are
    tried only if it is promising. What reads many bytes of `weights` is timed with these out of the caches.
    """
    race = _Race(candidates, shop, weights)
    ways: dict[str, list[str]] = {}
    for name in candidates:
        ways.setdefault(name.rpartition(" ")[0], []).append(name)
    for first, *_ in ways.values():
        race.enter(first)
    for first, *others in ways.values():
        if race.is_near(first, PROMISING):
            for other in others:
                race.enter(other)
    for _ in range(ROUNDS):
        race.run_again()
    return race.winner()


class _Race:
    """Times by name, and the calls of those that may still win."""

    def __init__(self, candidates: Candidates, shop: Workshop, weights: int) -> None:
        self.candidates, self.shop, self.weights = candidates, shop, weights
        self.times: dict[str, float] = {}
        self.calls: dict[str, Call] = {}

    def enter(self, name: str) -> None:
        call = self.shop.call(built(self.candidates[name], self.shop))
        call()
        self.times[name] = _seconds(call)
        if self.is_near(name, PROMISING):
            self.times[name] = min(self.times[name], _seconds(call))
            self.calls[name] = call

    def is_near(self, name: str, factor: float) -> bool:
        return self.times[name] <= factor * min(self.times.values())

    def run_again(self) -> None:
        """One more round of all that are near the best; if there is one alone it has won."""
        self.calls = {name: call for name, call in self.calls.items() if self.is_near(name, NEAR)}
        if len(self.calls) > 1:
            for name, call in self.calls.items():
                self.times[name] = min(self.times[name], _seconds(call))

    def winner(self) -> tuple[str, Call]:
        if len(self.calls) > 1 and self.weights >= LARGE:
            self.times = {name: min(_cold_seconds(call), _cold_seconds(call)) for name, call in self.calls.items()}
        name = min(self.calls, key=self.times.__getitem__)
        return name, self.calls[name]


def built(make: Callable[[], Parts], shop: Workshop) -> Parts:
    """The parts of a step, each thread's scratch memory being free before and after."""
    for bench in shop.benches:
        bench.clear()
    return make()


def _seconds(call: Call) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _cold_seconds(call: Call) -> float:
    np.add.reduce(_ballast())
    return _seconds(call)


@lru_cache(maxsize=1)
def _ballast() -> Array:
    return np.ones(CACHES // 4, np.float32)
