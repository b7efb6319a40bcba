"""When requests are meant to be sent in open loop: seconds from the start, without end."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator


def constant(rate: float, seed: int = 0) -> Iterator[float]:
    """`rate` a second, evenly; the same for every seed."""
    return (number / rate for number in itertools.count())


def poisson(rate: float, seed: int = 0) -> Iterator[float]:
    """`rate` a second on average, each independent of the others, as many clients that do not know of each other."""
    draw = random.Random(seed).expovariate
    return itertools.accumulate(draw(rate) for _ in itertools.count())


ARRIVALS: dict[str, Callable[[float, int], Iterator[float]]] = {"constant": constant, "poisson": poisson}
