import json
from pathlib import Path

import pytest
from numserve.engine.executors.choices import VERSION, Choices, cpu_model


def written(folder: Path, content: object) -> Choices:
    """What is read from a file with this content."""
    (folder / "c.json").write_text(content if isinstance(content, str) else json.dumps(content))
    return Choices.load(folder / "c.json")


def test_choices_survive_a_file(tmp_path) -> None:
    choices = Choices()
    choices.put("key", "way")
    assert choices.changed

    choices.save(tmp_path / "c.json")

    assert not choices.changed
    assert Choices.load(tmp_path / "c.json").get("key") == "way"
    assert Choices.load(tmp_path / "missing.json").get("key") is None


def test_those_of_other_machines_are_kept_and_not_used(tmp_path) -> None:
    choices = written(tmp_path, {"version": VERSION, "choices": {"another": {"key": "way"}, cpu_model(): {"a": "b"}}})
    assert (choices.get("key"), choices.get("a"), len(choices)) == (None, "b", 1)

    choices.forget()
    assert (len(choices), choices.changed) == (0, True)
    choices.save(tmp_path / "c.json")

    assert json.loads((tmp_path / "c.json").read_text())["choices"] == {"another": {"key": "way"}}


@pytest.mark.parametrize(
    "content",
    [
        "", "{", "[" * 100_000, "[]", {}, {"version": VERSION + 1, "choices": {}}, {"version": VERSION},
        {"version": VERSION, "choices": []}, {"version": VERSION, "choices": {cpu_model(): ["key"]}},
        {"version": VERSION, "choices": {cpu_model(): {"key": 1}}},
    ],
)  # fmt: skip
def test_what_is_none_is_passed_over(tmp_path, content) -> None:
    assert written(tmp_path, content).get("key") is None
