"""What the tests of weight files share: the fixtures that torch wrote, and zip files put together by hand."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

CHECKPOINTS = Path(__file__).parent.parent.parent / "data" / "checkpoints"


@pytest.fixture
def checkpoints() -> Path:
    """The folder of checkpoints that make.py wrote."""
    return CHECKPOINTS


@pytest.fixture(scope="session")
def expected() -> dict[str, Any]:
    """What is in them."""
    found: dict[str, Any] = json.loads((CHECKPOINTS / "expected.json").read_text())
    return found


@pytest.fixture
def zipped(tmp_path: Path) -> Callable[..., Path]:
    """Write a zip archive of the records given, below one folder as torch does."""

    def write(records: dict[str, bytes], method: int = zipfile.ZIP_STORED, root: str = "archive/") -> Path:
        path = tmp_path / "made.pth"
        with zipfile.ZipFile(path, "w", method) as archive:
            for name, content in records.items():
                archive.writestr(root + name, content)
        return path

    return write


@pytest.fixture
def checkpoint(zipped: Callable[..., Path]) -> Callable[..., Path]:
    """Write a checkpoint from a pickle put together by hand; its one storage, 0, has 16 bytes."""

    def write(pickle: bytes, **records: bytes) -> Path:
        return zipped({"data.pkl": pickle, "data/0": bytes(range(16)), "version": b"3\n"} | records)

    return write
