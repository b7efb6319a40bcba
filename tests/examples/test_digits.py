"""The digits example: its weights hold what its README says, and its training trains."""

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
from numserve import engine
from numserve.engine.data import DataLoader, Subset
from numserve.engine.formats import load
from numserve.engine.nn import Module
from numserve.engine.optim import SGD, Adam
from numserve.handlers.modules import ModelDirectory
from PIL import Image

DIGITS = Path(__file__).parents[2] / "examples" / "digits"
FILES = ("model", "handler", "train")


@pytest.fixture
def part(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], ModuleType]]:
    """Imports a file of the example by name, as its neighbours do."""
    ModelDirectory.leave()  # an archive of another test may have files of these names
    monkeypatch.syspath_prepend(str(DIGITS))
    yield importlib.import_module
    for name in FILES:
        sys.modules.pop(name, None)


@pytest.fixture
def train(part: Callable[[str], ModuleType]) -> ModuleType:
    pytest.importorskip("sklearn", reason="the pictures come with scikit-learn")
    return part("train")


@pytest.fixture
def trained(part: Callable[[str], ModuleType]) -> Module:
    model: Module = part("model").DigitsNet().eval()
    model.load_state_dict(load(DIGITS / "digits.pth"))
    return model


@pytest.mark.parametrize("digit", range(10))
def test_the_samples_are_recognised(digit: int, part: Callable[[str], ModuleType], trained: Module) -> None:
    picture = Image.open(DIGITS / "samples" / f"{digit}.png")
    scores = trained(part("handler").DigitsClassifier.image_processing(picture)[None])
    assert int(scores.argmax(1)) == digit


def test_the_weights_are_right_on_98_percent_of_what_training_never_saw(train: ModuleType, trained: Module) -> None:
    _, held_out = train.split()
    assert len(held_out) == 359
    assert train.accuracy(trained, held_out) >= 0.98


def test_no_picture_is_both_trained_on_and_held_out(train: ModuleType) -> None:
    pictures, _ = train.pixels()
    training, held_out = train.split()
    assert len(training) + len(held_out) == len(pictures)
    seen = {row.tobytes() for row in training.tensors[0].numpy()}
    assert not [row for row in held_out.tensors[0].numpy() if row.tobytes() in seen]


@pytest.mark.parametrize("optimizer", [lambda p: SGD(p, lr=0.05, momentum=0.9), lambda p: Adam(p, lr=2e-3)])
def test_the_loss_falls_from_the_first_steps(optimizer, train: ModuleType) -> None:
    engine.manual_seed(1)
    training, _ = train.split()
    model = train.DigitsNet()
    batches = DataLoader(Subset(training, range(320)), batch_size=32, shuffle=True)
    steps = optimizer(model.parameters())
    first = train.train_epoch(model, batches, steps)
    for _ in range(5):
        last = train.train_epoch(model, batches, steps)
    assert last < 0.7 * first


def test_training_writes_weights_and_samples(train: ModuleType, tmp_path: Path, capsys) -> None:
    train.main(["--epochs", "1", "--out", str(tmp_path / "weights.pth")])
    assert "held out" in capsys.readouterr().out
    assert load(tmp_path / "weights.pth").keys() == train.DigitsNet().state_dict().keys()
    assert sorted(p.name for p in (tmp_path / "samples").iterdir()) == [f"{digit}.png" for digit in range(10)]
    ours, anew = (Image.open(folder / "samples" / "7.png") for folder in (DIGITS, tmp_path))
    assert ours.tobytes() == anew.tobytes()
