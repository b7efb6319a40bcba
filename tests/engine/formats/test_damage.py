"""Files cut short or with wrong bits: each loads or is refused, without hanging or allocating much."""

from __future__ import annotations

import io
import random
import time
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from numserve.engine import Tensor, formats

from ..damage import Change, cut, flip, outcome, overwriting, remove, survive

FILES = ["training.pth", "values_5.pth", "values_legacy.pth", "whole_module.pth", "safetensors"]
READERS = {
    "zip": ["training.pth", "values_5.pth", "whole_module.pth"],
    "legacy": ["values_legacy.pth"],
    "safetensors": ["safetensors"],
}


def content_of(name: str, checkpoints: Path, tmp_path: Path) -> bytes:
    if name != "safetensors":
        return (checkpoints / name).read_bytes()
    tensors = {f"layer.{i}": Tensor(np.arange(i + 1, dtype=np.float32)) for i in range(5)}
    formats.save_file(tensors, tmp_path / "whole", {"made": "here"})
    return (tmp_path / "whole").read_bytes()


CHANGES: list[Change] = [cut, flip, overwriting(b"\x00\xff\x7f\x80.(tR\x93"), remove]


def in_a_record(content: bytearray, chance: random.Random) -> bytearray:
    """A change of what is in a zip file, which then fits its checksum."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(out, "w") as new:
        records = {name: old.read(name) for name in old.namelist()}
        small = [name for name in records if records[name] and not name.rpartition("/")[0].endswith("/data")]
        name = chance.choice(small)
        records[name] = bytes(chance.choice(CHANGES[1:])(bytearray(records[name]), chance))
        for key, value in records.items():
            new.writestr(key, value)
    return bytearray(out.getvalue())


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_loads_or_is_refused(name: str, change: Change, checkpoints: Path, tmp_path: Path) -> None:
    whole = content_of(name, checkpoints, tmp_path)
    chance = random.Random(f"{name} {change.__name__}")
    start = time.process_time()
    tracemalloc.start()
    for _ in range(40):
        damaged = change(bytearray(whole), chance)
        (tmp_path / "damaged").write_bytes(damaged)
        outcome(formats.load, tmp_path / "damaged")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 << 20
    assert time.process_time() - start < 60


@pytest.mark.slow
@pytest.mark.parametrize("reader", READERS)
def test_twenty_thousand_damaged_files_do(reader: str, checkpoints: Path, tmp_path: Path) -> None:
    files = {name: content_of(name, checkpoints, tmp_path) for name in READERS[reader]}
    changes = [*CHANGES, *[in_a_record] * 4] if reader == "zip" else CHANGES

    def made(chance: random.Random) -> Path:
        whole = bytearray(files[chance.choice(READERS[reader])])
        (tmp_path / "damaged").write_bytes(chance.choice(changes)(whole, chance))
        return tmp_path / "damaged"

    survive(20_000, reader, made, formats.load)


@pytest.mark.parametrize("name", ["training.pth", "values_5.pth", "safetensors"])
def test_a_file_that_lacks_its_end_is_always_refused(name: str, checkpoints: Path, tmp_path: Path) -> None:
    whole = content_of(name, checkpoints, tmp_path)
    path = tmp_path / "cut"
    for length in (*range(1, 40), *range(len(whole) - 60, len(whole))):
        path.write_bytes(whole[:length])
        assert outcome(formats.load, path) == "refused", length


def test_a_legacy_file_that_lacks_its_end_is_always_refused(checkpoints: Path, tmp_path: Path) -> None:
    whole = (checkpoints / "values_legacy.pth").read_bytes()
    for length in (*range(1, 40), *range(len(whole) - 60, len(whole))):
        (tmp_path / "cut").write_bytes(whole[:length])
        assert outcome(formats.load, tmp_path / "cut") == "refused", length
