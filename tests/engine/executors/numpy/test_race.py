"""How the fastest candidate is found: what is tried, what is left out, and in what surroundings."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numserve.engine.executors.numpy.race import CACHES, SAMPLE, Surroundings, fastest, reads_weights, sample
from numserve.engine.executors.numpy.workshop import Candidates, Parts, Workshop
from numserve.engine.executors.packed import Packed
from numserve.engine.graph.plan import Step


def taking(work: int, log: list[str], name: str) -> Callable[[], Parts]:
    """What makes a candidate that is so much work, and tells when it is made."""

    def make() -> Parts:
        log.append(name)
        return [[lambda: sum(range(work))]]

    return make


def race(works: dict[str, int], floor: Callable[[str], float] = lambda _name: 0) -> tuple[str, list[str]]:
    log: list[str] = []
    candidates: Candidates = {name: taking(work, log, name) for name, work in works.items()}
    name, _call = fastest(candidates, Workshop(None, Packed()), floor, None)
    return name, log


def test_the_fastest_wins() -> None:
    assert race({"one 1M": 100_000, "two 1M": 10_000, "three 1M": 60_000})[0] == "two 1M"


def test_other_sizes_are_tried_of_promising_ways_alone() -> None:
    name, log = race({"slow 1M": 100_000, "slow 2M": 10, "quick 1M": 20_000, "quick 2M": 5_000})

    assert name == "quick 2M"
    assert log == ["slow 1M", "quick 1M", "quick 2M"]


def test_what_cannot_win_is_not_built() -> None:
    name, log = race({"one 1M": 1000, "two 1M": 10}, lambda name: math.inf if name.startswith("two") else 0)

    assert (name, log) == ("one 1M", ["one 1M"])


def test_surroundings_are_read_and_no_larger_than_all_caches() -> None:
    around = Surroundings(1 << 40)

    around.pass_by()

    assert around._memory is not None and around._memory.nbytes <= CACHES + 4


def conv(images: int, flops: int, weights: int = 9) -> Step:
    x, y = np.zeros((images, 4, 4, 1), np.float32), np.zeros((images, 4, 4, 1), np.float32)
    inputs = x, np.zeros((3, 3, 1, weights // 9), np.float32), np.zeros(1, np.float32), y.copy(), None, None
    return Step("conv_nhwc", "here", inputs, (y,), {}, (False, True, True, False, True, True), flops, 0)


def test_large_batches_are_timed_by_some_of_their_images() -> None:
    some = sample(conv(16, 4 * SAMPLE), threads=1)

    assert [a.shape[0] for a in (some.inputs[0], some.inputs[3], some.output)] == [4, 4, 4]  # type: ignore[union-attr]
    assert some.flops == SAMPLE
    assert len(sample(conv(16, 1000 * SAMPLE), threads=2).output) == 2
    small = conv(16, SAMPLE // 2)
    assert sample(small, threads=1) is small


def test_weights_matter_where_they_are_many_for_the_work() -> None:
    assert reads_weights(conv(1, flops=1000, weights=9 * 65_536))
    assert not reads_weights(conv(1, flops=1 << 30, weights=9 * 65_536))
    assert not reads_weights(conv(1, flops=1000))
