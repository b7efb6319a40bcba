"""What the tests of all contracts may share: the inference contract's server, and what speaks to it."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def shared() -> Any:
    """inference/conftest.py, which conftest files of other folders cannot import: `serving`, `Contract`."""
    spec = importlib.util.spec_from_file_location("numserve_contract", Path(__file__).parent / "inference/conftest.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look for it
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def deviates() -> Callable[[str], None]:
    """Asserts that docs/compatibility.md has a row about what a test shows to be otherwise than in TorchServe."""
    rows = [line for line in (ROOT / "docs" / "compatibility.md").read_text().splitlines() if line.startswith("| ")]

    def check(text: str) -> None:
        assert any(text in row for row in rows), f"docs/compatibility.md has no row with {text!r}"

    return check


@pytest.fixture(scope="session")
def serving(shared: Any) -> Callable[[Path, str], AbstractContextManager[Any]]:
    """`with serving(folder, config) as contract`: a server with real workers and these lines of configuration."""
    found: Callable[[Path, str], AbstractContextManager[Any]] = shared._serving
    return found


@pytest.fixture(scope="session")
def make_server(shared: Any) -> Callable[[Path], Any]:
    """`make_server(folder)`: one that is to be configured and started by the test."""
    found: Callable[[Path], Any] = shared._server_class()
    return found
