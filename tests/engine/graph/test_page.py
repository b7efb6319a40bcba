"""The page about graphs: its example prints what stands there, and its table has all passes in their order."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from numserve.engine.graph.passes import PASSES

PAGE = (Path(__file__).parents[3] / "docs" / "graph.md").read_text()


def test_the_example_prints_what_stands_there(capsys: pytest.CaptureFixture[str]) -> None:
    [example] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    shown = re.findall(r"```\n(graph\(.*?)```", PAGE, re.DOTALL)
    exec(example, {"__name__": "page"})

    assert capsys.readouterr().out.partition("plan for")[0] == "".join(shown)


def test_all_passes_are_listed_in_their_order() -> None:
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \| ", PAGE.partition("| pass | what it does |")[2], re.MULTILINE)
    listed = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    names = list(dict.fromkeys(apply.__name__ for apply in PASSES))

    assert listed[: len(names)] == names
