"""ONNX files cut short or with wrong bits: each loads or is refused, in bounded time and memory."""

from __future__ import annotations

import contextlib
import random
import resource
import time
from collections.abc import Callable

import numpy as np
import pytest
from numserve.engine import EngineError, FormatError, Tensor
from numserve.engine.onnx import read

from .made import DATA, unpacked

FILES = ["pictures", "words", "series_legacy", "looped", "opset7", "opset10", "resized"]
EXPECTED = np.load(DATA / "expected.npz")
Change = Callable[[bytearray, random.Random], bytearray]
LONGEST = 5.0
GROWTH = 400 << 10  # kilobytes that the process may grow by


def cut(content: bytearray, chance: random.Random) -> bytearray:
    return content[: chance.randrange(len(content))]


def flip(content: bytearray, chance: random.Random) -> bytearray:
    for _ in range(chance.randrange(1, 4)):
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    return content


def overwrite(content: bytearray, chance: random.Random) -> bytearray:
    """A few bytes of the kinds that numbers are made large with."""
    start = chance.randrange(len(content))
    for i in range(start, min(start + chance.randrange(1, 9), len(content))):
        content[i] = chance.choice(b"\x00\xff\x7f\x80\x01\x08\x0a\x12")
    return content


def remove(content: bytearray, chance: random.Random) -> bytearray:
    start = chance.randrange(len(content))
    del content[start : start + chance.randrange(1, 40)]
    return content


def repeat(content: bytearray, chance: random.Random) -> bytearray:
    start = chance.randrange(len(content))
    return content[:start] + content[start : start + chance.randrange(1, 60)] + content[start:]


CHANGES: list[Change] = [cut, flip, overwrite, remove, repeat]


def survive(name: str, count: int) -> int:
    """Load, plan and run so many damaged copies of a file; how many of them loaded."""
    return survive_of((DATA / f"{name}.onnx").read_bytes(), [EXPECTED[f"{name}/x"][:1]], name, count)


def survive_of(whole: bytes, arrays: list[np.ndarray], name: str, count: int) -> int:
    chance = random.Random(name)
    loaded = 0
    for number in range(count):
        content = bytes(CHANGES[number % len(CHANGES)](bytearray(whole), chance))
        start = time.process_time()
        try:
            module = read(memoryview(content))
        except FormatError:
            continue
        loaded += 1
        for way in (module.graph_for, module):
            with contextlib.suppress(EngineError):
                way(*map(Tensor, arrays))
        assert time.process_time() - start < LONGEST, (name, number)
    return loaded


@pytest.mark.parametrize("name", FILES)
def test_damaged_files_load_or_are_refused(name: str) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    assert 0 < survive(name, 150) < 150

    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < GROWTH


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_many_more_do(name: str) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    survive(name, 3000)

    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < GROWTH


@pytest.mark.slow
def test_models_of_one_operator_do() -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    for name, case in unpacked().items():
        arrays = [case[key] for key in sorted(case) if key[0] == "i"]
        if all(array.dtype.kind != "U" for array in arrays):
            survive_of(case["model"].tobytes(), arrays, name, 60)

    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < GROWTH
