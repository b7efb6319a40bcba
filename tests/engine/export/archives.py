"""The archives in tests/data/export, what they give, and ways to make others of them."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numserve.engine import Tensor, formats

HERE = Path(__file__).parents[2] / "data" / "export"
RESULTS: dict[str, Any] = formats.load(HERE / "results.pth")


def path_of(name: str) -> Path:
    return HERE / f"{name}.pt2"


def same(met: Any, expected: Any, within: float = 1e-5) -> bool:
    """Whether two results are alike: tensors in shape, dtype and (nearly) values, all else exactly."""
    if isinstance(expected, Tensor):
        if not isinstance(met, Tensor) or (met.shape, met.dtype) != (expected.shape, expected.dtype):
            return False
        scale = float(np.abs(expected.array.astype(np.float64)).max(initial=0)) or 1.0
        return bool(np.allclose(met.array, expected.array, 0, within * scale, equal_nan=True))
    if isinstance(expected, (list, tuple)):
        return isinstance(met, (list, tuple)) and len(met) == len(expected) and all(map(same, met, expected))
    if isinstance(expected, dict):
        return met.keys() == expected.keys() and all(same(met[k], expected[k]) for k in expected)
    return bool(met == expected)


def records_of(path: Path) -> dict[str, bytes]:
    """The records below the root."""
    with zipfile.ZipFile(path) as archive:
        return {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}


def written(path: Path, records: dict[str, bytes], root: str = "m") -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in records.items():
            archive.writestr(f"{root}/{name}", content)
    return path


def changed(
    name: str, path: Path, change: Callable[[dict[str, Any]], object], record: str = "models/model.json"
) -> Path:
    """A copy of an archive with a change made to the JSON of a record."""
    records = records_of(path_of(name))
    content = json.loads(records[record])
    change(content)
    records[record] = json.dumps(content).encode()
    return written(path, records)
