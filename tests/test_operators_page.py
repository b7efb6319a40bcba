"""docs/operators.md is what the tables say, and the tables agree with one another."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
made = runpy.run_path(str(ROOT / "scripts" / "operators.py"))
PRIMITIVES, ONNX = made["PRIMITIVES"], made["ONNX"]


def test_the_page_is_up_to_date() -> None:
    assert (ROOT / "docs" / "operators.md").read_text() == made["page"](), "run: python scripts/operators.py"


@pytest.mark.parametrize("table", ["OTHER_NAMES", "LOWERED"])
def test_only_primitives_are_described(table: str) -> None:
    assert made[table].keys() <= PRIMITIVES.keys()


def test_what_passes_write_has_algorithms() -> None:
    assert {*made["LOWERED"].values()} <= made["NUMPY"] & PRIMITIVES.keys()


def test_the_executors_know_no_operators_that_are_not_there() -> None:
    assert {*made["BUILDERS"], *made["MOVES"], *made["NATIVE"]} - PRIMITIVES.keys() <= ACTIVATED


def test_what_is_written_is_there() -> None:
    assert {*made["TO_ONNX"], *made["TO_TORCHSCRIPT"]} <= PRIMITIVES.keys()


@pytest.mark.parametrize("names", made["OTHER_NAMES"].items(), ids=lambda item: item[0])
def test_other_names_are_operators(names: tuple[str, tuple[str, ...]]) -> None:
    primitive, given = names
    assert made["torch_names"](primitive) == list(given)


# Of binary operators with an activation after them, passes write one; the table has it for all.
ACTIVATED = {f"{name}_act" for name in PRIMITIVES}
