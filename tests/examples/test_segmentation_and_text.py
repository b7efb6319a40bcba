"""The examples of segmentation and text classification: served as their READMEs say, and trained a little."""

import importlib
import json
import re
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numserve.archiver import unpack
from numserve.archiver.cli import main as archive
from numserve.engine.formats import load
from numserve.handlers import Context, load_handler
from numserve.handlers.modules import ModelDirectory
from PIL import Image

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"


def served(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Context]:
    """The handler of the archive that the example's README packs, as a worker has it."""
    page = (EXAMPLES / name / "README.md").read_text()
    command = re.search(r"^model-archiver (.*?)--export-path", page, re.DOTALL | re.MULTILINE)
    assert command is not None
    monkeypatch.chdir(ROOT)
    arguments = [*shlex.split(command[1].replace("\\\n", " ")), "--export-path", str(folder)]
    archive(arguments, standalone_mode=False)
    (packed,) = folder.glob("*.mar")
    manifest = unpack(packed, folder / "model")
    context = Context(manifest.model.name, folder / "model", manifest.raw, 4)
    handler = load_handler(manifest.model.handler, folder / "model")
    handler.initialize(context)
    return handler, context


@pytest.fixture(autouse=True)
def left_model_directory() -> Iterator[None]:
    yield
    ModelDirectory.leave()


@pytest.fixture
def part(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], ModuleType]]:
    """Imports a file of an example, as its neighbours do."""

    def imported(example: str, name: str) -> ModuleType:
        ModelDirectory.leave()
        monkeypatch.syspath_prepend(str(EXAMPLES / example))
        return importlib.import_module(name)

    yield imported
    for name in ("model", "train"):
        sys.modules.pop(name, None)


def test_things_are_told_from_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    handler, context = served("segmentation", tmp_path, monkeypatch)
    samples = EXAMPLES / "segmentation" / "samples"
    context.begin(["a", "b"], [{}, {}])

    answers = handler.handle([{"body": (samples / f"{number}.png").read_bytes()} for number in range(2)], context)

    for number, answer in enumerate(answers):
        truth = np.asarray(Image.open(samples / f"{number}_classes.png"))[16:240, 16:240]
        hits = np.array(answer)[..., 0] == truth
        assert hits.mean() > 0.95 and hits[truth > 0].mean() > 0.75
    assert handler.fast_path.describe()["mode"] == "plan"


def test_sentences_get_their_topics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    handler, context = served("text_classification", tmp_path, monkeypatch)
    context.begin(["a", "b"], [{}, {}])
    rows = [
        {"data": "The goalkeeper isn't surprised by a late penalty."},
        {"data": "<p>The compiler doesn't answer!</p>"},
    ]

    answers = handler.handle(rows, context)

    assert [max(answer, key=answer.get) for answer in answers] == ["sports", "computers"]
    assert list(answers[0]) == list(
        json.loads((EXAMPLES / "text_classification/index_to_name.json").read_text()).values()
    )
    context.begin(["a"], [{"explain": "True"}])
    (explained,) = handler.handle([{"data": "The oven is cold.", "target": "1"}], context)
    counted = dict(zip(explained["words"], explained["importances"], strict=True))
    assert max(counted, key=lambda word: counted[word]) in ("oven", "the oven")


def test_the_texts_are_learned_anew(part: Callable[[str, str], ModuleType], tmp_path: Path, capsys: Any) -> None:
    train = part("text_classification", "train")
    train.main(["--epochs", "2", "--out", str(tmp_path / "topics.pth")])

    assert float(capsys.readouterr().out.split()[-1].rstrip("%")) > 90
    assert load(tmp_path / "source_vocab.pt") == load(EXAMPLES / "text_classification" / "source_vocab.pt")
    assert load(tmp_path / "topics.pth").keys() == load(EXAMPLES / "text_classification" / "topics.pth").keys()


def test_the_things_are_drawn_anew(part: Callable[[str, str], ModuleType], tmp_path: Path) -> None:
    train = part("segmentation", "train")
    train.main(["--steps", "1", "--out", str(tmp_path / "table.pth")])

    assert load(tmp_path / "table.pth").keys() == load(EXAMPLES / "segmentation" / "table.pth").keys()
    for path in (EXAMPLES / "segmentation" / "samples").iterdir():
        assert Image.open(path).tobytes() == Image.open(tmp_path / "samples" / path.name).tobytes()
