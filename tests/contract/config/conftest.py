"""What tests of the configuration share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[3] / "docs"


@pytest.fixture(scope="session")
def deviates() -> Callable[[str], None]:
    """Asserts that docs/compatibility.md has a row about what a test shows to be otherwise than in TorchServe."""
    rows = [line for line in (DOCS / "compatibility.md").read_text().splitlines() if line.count(" | ") >= 4]

    def check(text: str) -> None:
        assert any(text in row for row in rows), f"docs/compatibility.md has no row with {text!r}"

    return check
