"""fastest(), which times the candidates for a step: the more of them can be told to be slow early, the better."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import compress

import numpy as np

from ...dtype import Array
from ...graph.plan import Input, Step
from .workshop import Call, Candidates, Parts, Workshop

ROUNDS = 4  # further timings of the candidates that are near the best, of which the least counts
PROMISING, NEAR = 1.3, 1.12  # times the best so far: ways worth trying in other sizes, candidates worth another round
LARGE = 1 << 18  # bytes of weights that a model's run does not find in the second-level cache
FEW = 32  # operations a byte of weights, below which reading these is what takes the time
SAMPLE = 150_000_000  # operations that take long enough to be timed, most of a millisecond
CACHES = 1 << 25  # bytes that drive everything else out of all caches


@dataclass
class Surroundings:
    """The rest of a model, in bytes: it drives a step's weights out of the caches, or only out of the nearer ones."""

    size: int
    _memory: Array | None = None

    def pass_by(self) -> None:
        """Read as much as the rest of the model."""
        if self._memory is None:
            self._memory = np.ones(min(self.size, CACHES) // 4 + 1, np.float32)
        np.add.reduce(self._memory)


def fastest(
    candidates: Candidates, shop: Workshop, floor: Callable[[str], float], around: Surroundings | None
) -> tuple[str, Call]:
    """The name of the fastest candidate, and what it was built to.

    `floor` says how many seconds a candidate must take at least: one that cannot win is not even built.
    A candidate's name ends with its size ("0.4M"); the first of every way stands for all of its sizes, which are
    tried only if it is promising. Where there are surroundings they pass by before each timing.
    """
    race = _Race(candidates, shop, floor, around)
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


def sample(step: Step, threads: int) -> Step:
    """A convolution of its first images alone, as many as tell the ways apart: what is best for them is so for all."""
    images = len(step.output) if step.op == "conv_nhwc" else 1
    some = max(threads, -(-images * SAMPLE // max(1, step.flops)))
    if some >= images:
        return step
    x, weight, bias, residual, low, high = step.inputs
    inputs = _first(some, x), weight, bias, _first(some, residual), low, high
    return replace(step, inputs=inputs, outputs=(step.output[:some],), flops=step.flops * some // images)


def _first(count: int, x: Input) -> Input:
    return x[:count] if isinstance(x, np.ndarray) else x


class _Race:
    """Times by name, and the calls of those that may still win."""

    def __init__(
        self, candidates: Candidates, shop: Workshop, floor: Callable[[str], float], around: Surroundings | None
    ) -> None:
        self.candidates, self.shop, self.floor, self.around = candidates, shop, floor, around
        # One thread's own time is the same on a busy machine; of several threads the wall's time is all there is.
        self.clock = time.thread_time if shop.threads == 1 else time.perf_counter
        self.times: dict[str, float] = {}
        self.calls: dict[str, Call] = {}

    def enter(self, name: str) -> None:
        if self.floor(name) > min(self.times.values(), default=math.inf):
            self.times[name] = math.inf
            return
        call = self.shop.call(built(self.candidates[name], self.shop))
        call()
        self.times[name] = self.seconds(call)
        if self.is_near(name, PROMISING):
            self.times[name] = min(self.times[name], self.seconds(call))
            self.calls[name] = call

    def is_near(self, name: str, factor: float) -> bool:
        return self.times[name] <= factor * min(self.times.values())

    def run_again(self) -> None:
        """One more round of all that are near the best; if there is one alone it has won."""
        self.calls = {name: call for name, call in self.calls.items() if self.is_near(name, NEAR)}
        if len(self.calls) > 1:
            for name, call in self.calls.items():
                self.times[name] = min(self.times[name], self.seconds(call))

    def seconds(self, call: Call) -> float:
        if self.around:
            self.around.pass_by()
        start = self.clock()
        call()
        return self.clock() - start

    def winner(self) -> tuple[str, Call]:
        name = min(self.calls, key=self.times.__getitem__)
        return name, self.calls[name]


def reads_weights(step: Step) -> bool:
    """Whether a step's time depends on where its weights are."""
    weights = sum(i.nbytes for i in compress(step.inputs, step.constant) if isinstance(i, np.ndarray))
    return weights >= LARGE and step.flops <= FEW * weights


def built(make: Callable[[], Parts], shop: Workshop) -> Parts:
    """The parts of a step, each thread's scratch memory being free before and after."""
    for bench in shop.benches:
        bench.clear()
    return make()
