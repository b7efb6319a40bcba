"""Files cut short or with wrong bits: each loads or is refused, without hanging or allocating much."""

from __future__ import annotations

import random
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numserve.engine import Tensor, formats
from numserve.engine.errors import FormatError

FILES = ["training.pth", "values_5.pth", "values_legacy.pth", "whole_module.pth", "safetensors"]
Change = Callable[[bytearray, random.Random], bytearray]


def content_of(name: str, checkpoints: Path, tmp_path: Path) -> bytes:
    if name != "safetensors":
        return (checkpoints / name).read_bytes()
    tensors = {f"layer.{i}": Tensor(np.arange(i + 1, dtype=np.float32)) for i in range(5)}
    formats.save_file(tensors, tmp_path / "whole", {"made": "here"})
    return (tmp_path / "whole").read_bytes()


def cut(content: bytearray, chance: random.Random) -> bytearray:
    return content[: chance.randrange(len(content))]


def flip(content: bytearray, chance: random.Random) -> bytearray:
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    return content


def overwrite(content: bytearray, chance: random.Random) -> bytearray:
    """A few bytes of the kinds that numbers are made large with."""
    start = chance.randrange(len(content))
    for i in range(start, min(start + chance.randrange(1, 9), len(content))):
        content[i] = chance.choice(b"\x00\xff\x7f\x80.(tR\x93")
    return content


def remove(content: bytearray, chance: random.Random) -> bytearray:
    start = chance.randrange(len(content))
    del content[start : start + chance.randrange(1, 40)]
    return content


@pytest.mark.parametrize("change", [cut, flip, overwrite, remove], ids=lambda change: change.__name__)
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_loads_or_is_refused(name: str, change: Change, checkpoints: Path, tmp_path: Path) -> None:
    whole = content_of(name, checkpoints, tmp_path)
    chance = random.Random(f"{name} {change.__name__}")
    start = time.perf_counter()
    tracemalloc.start()
    for _ in range(40):
        damaged = change(bytearray(whole), chance)
        (tmp_path / "damaged").write_bytes(damaged)
        outcome(tmp_path / "damaged")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 << 20
    assert time.perf_counter() - start < 60


def outcome(path: Path) -> str:
    try:
        formats.load(path)
    except FormatError as error:
        assert str(error).isprintable()
        return "refused"
    return "loaded"


@pytest.mark.parametrize("name", ["training.pth", "values_5.pth", "safetensors"])
def test_a_file_that_lacks_its_end_is_always_refused(name: str, checkpoints: Path, tmp_path: Path) -> None:
    whole = content_of(name, checkpoints, tmp_path)
    path = tmp_path / "cut"
    for length in (*range(1, 40), *range(len(whole) - 60, len(whole))):
        path.write_bytes(whole[:length])
        assert outcome(path) == "refused", length


def test_a_legacy_file_that_lacks_its_end_is_always_refused(checkpoints: Path, tmp_path: Path) -> None:
    whole = (checkpoints / "values_legacy.pth").read_bytes()
    for length in (*range(1, 40), *range(len(whole) - 60, len(whole))):
        (tmp_path / "cut").write_bytes(whole[:length])
        assert outcome(tmp_path / "cut") == "refused", length
