"""The archives in tests/data/export, what they give, and ways to make others of them."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numserve.engine import formats

HERE = Path(__file__).parents[2] / "data" / "export"
RESULTS: dict[str, Any] = formats.load(HERE / "results.pth")


def path_of(name: str) -> Path:
    return HERE / f"{name}.pt2"


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
