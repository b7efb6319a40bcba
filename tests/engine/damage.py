"""Damage done to files at random, and what reading them may cost: each loads, or is refused with a FormatError."""

from __future__ import annotations

import contextlib
import random
import resource
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from numserve.engine import FormatError

Change = Callable[[bytearray, random.Random], bytearray]
GROWTH = 400 << 10
"""Kilobytes that the process may grow by."""


def cut(content: bytearray, chance: random.Random) -> bytearray:
    return content[: chance.randrange(len(content))]


def flip(content: bytearray, chance: random.Random) -> bytearray:
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    return content


def overwriting(values: bytes) -> Change:
    """A few bytes of these, of the kinds that numbers are made large with."""

    def overwrite(content: bytearray, chance: random.Random) -> bytearray:
        start = chance.randrange(len(content))
        for i in range(start, min(start + chance.randrange(1, 9), len(content))):
            content[i] = chance.choice(values)
        return content

    return overwrite


def remove(content: bytearray, chance: random.Random) -> bytearray:
    start = chance.randrange(len(content))
    del content[start : start + chance.randrange(1, 40)]
    return content


@contextlib.contextmanager
def bounded_memory(growth: int = GROWTH) -> Iterator[None]:
    """Fails where the process grows by more kilobytes than these."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < growth


def outcome(load: Callable[[Path], object], path: Path) -> str:
    """Whether a file is `loaded` or `refused`."""
    start = time.process_time()
    try:
        load(path)
    except FormatError as error:
        assert str(error).isprintable()
        return "refused"
    finally:
        assert time.process_time() - start < 10
    return "loaded"


def survive(count: int, seed: str, damaged: Callable[[random.Random], Path], load: Callable[[Path], object]) -> None:
    """Load so many damaged files; of each outcome there are some."""
    chance, met = random.Random(seed), {"loaded": 0, "refused": 0}
    with bounded_memory():
        for _ in range(count):
            met[outcome(load, damaged(chance))] += 1
    assert min(met.values()) > count // 50, met
