"""The code in the guides to models and training runs and does what is said around it."""

import re
from pathlib import Path
from typing import Any

import pytest

DOCS = Path(__file__).parents[2] / "docs"


def run(page: str, number: int) -> dict[str, Any]:
    """The names that a page's nth block of Python leaves behind."""
    block = re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)[number]
    names: dict[str, Any] = {"__name__": "guide"}
    exec(compile(block, page, "exec"), names)
    return names


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_training_loop_learns(tmp_path: Path) -> None:
    assert run("training.md", 0)["accuracy"] > 0.9
    assert (tmp_path / "weights.pth").stat().st_size > 0


def test_a_model_is_saved_loaded_and_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("models.md", 0)["scores"].shape == (1, 10)
    assert "[1, 10]" in capsys.readouterr().out


def test_a_detector_is_run_whole_and_in_its_planned_part(capsys: pytest.CaptureFixture[str]) -> None:
    names = run("models.md", 1)
    assert names["compiled"].describe()["mode"] == "plan"
    assert "[1, 3234, 4]" in capsys.readouterr().out


def test_a_model_file_is_one_class_made_without_arguments() -> None:
    names = run("models.md", 2)
    own = [value for value in names.values() if getattr(value, "__module__", None) == "guide"]
    assert [cls.__name__ for cls in own] == ["ImageClassifier"]
    assert len(own[0]().state_dict()) == 122
