"""A row: one model, batch and number of threads, timed in every engine."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from oracle_models import Pair

from .engines import ENGINES, OURS, TORCH, Contest, Runner
from .targets import MAX_ERROR, READY, Target, target
from .timing import Limits, counted, fastest

RATIOS = (("numpy", "eager"), ("numpy", "torch"), ("numpy", "ort"), ("native", "eager"), ("native", "torch"),
          ("native", "ort"))  # fmt: skip


class Ratio(NamedTuple):
    """A ratio of latencies, and what it is held to."""

    ours: str
    rival: str
    value: float
    target: Target | None

    @property
    def missed(self) -> bool:
        return self.target is not None and self.value > self.target.must


@dataclass(eq=False)
class Row:
    """What was measured: least seconds and largest error of every engine, with facts about the plans of ours."""

    model: str
    batch: int
    limits: Limits
    weights: int
    seconds: dict[str, float] = field(default_factory=dict)
    errors: dict[str, float] = field(default_factory=dict)
    facts: dict[str, dict[str, Any]] = field(default_factory=dict)

    def of(self, engine: str) -> float | None:
        """An engine's seconds; "torch" is the fastest of its modes."""
        if engine == "torch":
            return min((self.seconds[mode] for mode in TORCH if mode in self.seconds), default=None)
        return self.seconds.get(engine)

    def ratios(self) -> list[Ratio]:
        """All ratios of engines that were timed."""
        found = []
        for ours, rival in RATIOS:
            mine, other = self.of(ours), self.of(rival)
            if mine is not None and other is not None:
                held = target(ours, rival, self.model, self.batch, self.limits.threads)
                found.append(Ratio(ours, rival, mine / other, held))
        return found

    def share_of_arithmetic(self, engine: str) -> float:
        """Of the rate of a large product; more than 1 is Winograd's doing, which needs fewer operations."""
        return float(self.facts[engine]["gflop"]) / self.seconds[engine] / self.limits.gflops

    def share_of_bandwidth(self, engine: str) -> float:
        """Of the rate of reading memory, if a run reads every weight once and nothing else."""
        return 1e-9 * self.weights / self.seconds[engine] / self.limits.gbytes

    def ready(self, engine: str) -> Sequence[float]:
        """Seconds from the module to the first answer: with every algorithm to be timed, and with known choices."""
        return self.facts.get(engine, {}).get("ready_s", ())

    def misses(self) -> Iterator[str]:
        """What this row does not reach, in words."""
        for ratio in self.ratios():
            if ratio.missed and ratio.target:
                yield f"{self.where}: {ratio.ours}/{ratio.rival} {ratio.value:.2f}, must be {ratio.target.must:.2f}"
        for engine in OURS:
            if self.errors.get(engine, 0) > MAX_ERROR:
                yield f"{self.where}: {engine} is off by {self.errors[engine]:.1e} of the output's scale"
            for seconds, most in zip(self.ready(engine), READY.get((self.model, self.batch), ()), strict=False):
                if seconds > most:
                    yield f"{self.where}: {engine} is ready after {seconds:.2f} s, must be after {most:.1f}"

    def __str__(self) -> str:
        taken = ", ".join(f"{name} {1e3 * seconds:.3g}" for name, seconds in self.seconds.items())
        return f"{self.where}, ms: {taken}"

    @property
    def where(self) -> str:
        """What it is a row of."""
        return f"{self.model}, batch {self.batch}, {counted(self.limits.threads)}"

    def as_json(self) -> dict[str, Any]:
        """All of it as plain data."""
        return {
            "model": self.model, "batch": self.batch, "threads": self.limits.threads,
            "gflops_at_best": self.limits.gflops, "gbytes_at_best": self.limits.gbytes, "weights_bytes": self.weights,
            "ms": {name: 1e3 * seconds for name, seconds in self.seconds.items()}, "errors": self.errors,
            "ratios": {f"{r.ours}/{r.rival}": [r.value, *(r.target or ())] for r in self.ratios()}, "plans": self.facts,
        }  # fmt: skip


def measure(name: str, pair: Pair, batch: int, limits: Limits, engines: Sequence[str], rounds: int) -> Row:
    """A row of the engines asked for; those of which a must is missed are timed again, in twice as many rounds."""
    torch.set_num_threads(limits.threads)
    x = np.random.default_rng(0).standard_normal((batch, *pair.shape)).astype(np.float32)
    contest = Contest(pair, x, limits.threads)
    row = Row(name, batch, limits, sum(4 * p.numel() for p in pair.theirs.parameters()))
    runners = {engine: runner for engine in engines if (runner := ENGINES[engine](contest))}
    _compare(row, contest, runners)
    calls = {engine: runner.call for engine, runner in runners.items()}
    row.seconds = fastest(calls, rounds, limits.threads)
    doubtful = {engine for ratio in row.ratios() if ratio.missed for engine in ratio[:2]}
    if doubtful:
        again = fastest({engine: calls[engine] for engine in calls if engine in doubtful}, 2 * rounds, limits.threads)
        row.seconds |= {engine: min(seconds, row.seconds[engine]) for engine, seconds in again.items()}
    return row


def _compare(row: Row, contest: Contest, runners: dict[str, Runner]) -> None:
    """Note each engine's largest error, in parts of torch's largest output in float64, and how it was made ready."""
    with torch.inference_mode():
        wanted = copy.deepcopy(contest.pair.theirs).double()(contest.given.double()).numpy()
    for engine, runner in runners.items():
        row.errors[engine] = float(np.abs(runner.output() - wanted).max() / np.abs(wanted).max())
        if runner.facts:
            row.facts[engine] = runner.facts
