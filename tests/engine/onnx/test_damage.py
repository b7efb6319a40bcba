"""ONNX files cut short or with wrong bits: each loads or is refused, in bounded time and memory."""

from __future__ import annotations

import contextlib
import random
import time

import numpy as np
import pytest
from numserve.engine import EngineError, FormatError, Tensor
from numserve.engine.onnx import read

from ..damage import bounded_memory, cut, flip, overwriting, remove
from .made import DATA, unpacked

FILES = ["pictures", "words", "series_legacy", "looped", "opset7", "opset10", "resized"]
EXPECTED = np.load(DATA / "expected.npz")
LONGEST = 5.0


def repeat(content: bytearray, chance: random.Random) -> bytearray:
    start = chance.randrange(len(content))
    return content[:start] + content[start : start + chance.randrange(1, 60)] + content[start:]


CHANGES = [cut, flip, overwriting(b"\x00\xff\x7f\x80\x01\x08\x0a\x12"), remove, repeat]


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
    with bounded_memory():
        assert 0 < survive(name, 150) < 150


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_many_more_do(name: str) -> None:
    with bounded_memory():
        survive(name, 3000)


@pytest.mark.slow
def test_models_of_one_operator_do() -> None:
    with bounded_memory():
        for name, case in unpacked().items():
            arrays = [case[key] for key in sorted(case) if key[0] == "i"]
            if all(array.dtype.kind != "U" for array in arrays):
                survive_of(case["model"].tobytes(), arrays, name, 60)
