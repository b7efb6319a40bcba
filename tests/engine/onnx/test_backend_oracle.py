"""The onnx package's own test-suite for backends: every case passes but those of a list that may only shrink."""

from __future__ import annotations

import unittest
import warnings
from typing import Any

import pytest

from .backend import Backend, Planned
from .excluded import EXCLUDED

pytestmark = pytest.mark.oracle
GROUPS = {"Node": 1843, "PyTorchConverted": 82, "PyTorchOperator": 35, "Simple": 21, "Real": 9}
MOST_EXCLUDED = 43


def failures(group: str, least: int) -> set[str]:
    """The cases of a group that fail, by name; at least so many must pass."""
    suite = pytest.importorskip("onnx.backend.test")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tests = suite.BackendTest(Planned if group == "Real" else Backend, __name__)
        case: Any = tests.test_cases[f"OnnxBackend{group}ModelTest"]
        names = [name for name in dir(case) if name.startswith("test_") and name.endswith("_cpu")]
        failed = {name.removesuffix("_cpu") for name in names if not _passes(case, name)}
    assert len(names) - len(failed) >= least
    return failed


def _passes(case: Any, name: str) -> bool:
    result = unittest.TestResult()
    case(name).run(result)
    return not (result.errors or result.failures or result.skipped)


@pytest.mark.parametrize(("group", "least"), GROUPS.items())
def test_what_fails_is_what_is_excluded(group: str, least: int) -> None:
    failed = failures(group, least)

    assert failed == {name for name, (of, _) in EXCLUDED.items() if of == group}


def test_the_list_does_not_grow() -> None:
    assert len(EXCLUDED) <= MOST_EXCLUDED
