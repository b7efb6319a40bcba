"""Train the example's second classifier on the digits that examples/digits is trained on, and compare the two.

python examples/workflow/train.py             trains, writes linear.pth, prints how often each is right, and their vote
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
from numserve import engine
from numserve.engine import nn, optim
from numserve.engine.data import DataLoader, Dataset
from numserve.engine.formats import load

HERE = Path(__file__).parent
DIGITS = HERE.parent / "digits"


def module(name: str, folder: Path) -> ModuleType:
    """A file of an example, which may need its neighbours; both examples have a model.py."""
    sys.modules.pop("model", None)
    sys.path.insert(0, str(folder))
    try:
        spec = importlib.util.spec_from_file_location(f"{folder.name}_{name}", folder / f"{name}.py")
        assert spec and spec.loader
        found = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(found)
        return found
    finally:
        sys.path.remove(str(folder))


@engine.no_grad()
def probabilities(model: nn.Module, examples: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Each digit's probability (N, 10) for all examples, and the digits that they show (N)."""
    [(pictures, labels)] = DataLoader(examples, len(examples))
    return nn.functional.softmax(model.eval()(pictures), dim=1).numpy(), labels.numpy()


def train(examples: Dataset, train_epoch: object, epochs: int = 60, seed: int = 0) -> nn.Module:
    """A trained linear classifier."""
    engine.manual_seed(seed)
    model = module("model", HERE).LinearNet()
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    batches = DataLoader(examples, 64, shuffle=True)
    for _ in range(epochs):
        train_epoch(model, batches, optimizer)
    return model


def compare(network: nn.Module, linear: nn.Module, held_out: Dataset) -> dict[str, float]:
    """The share of held-out pictures that each classifier, and the mean of both, gets right."""
    (first, labels), (second, _) = probabilities(network, held_out), probabilities(linear, held_out)
    found = {"network": first, "linear": second, "vote": first + second}
    return {name: float((each.argmax(1) == labels).mean()) for name, each in found.items()}


def main(arguments: Sequence[str] = ()) -> None:
    """Train, write, compare."""
    digits = module("train", DIGITS)
    training, held_out = digits.split()
    linear = train(training, digits.train_epoch)
    engine.save(linear.state_dict(), HERE / "linear.pth")
    network = digits.DigitsNet()
    network.load_state_dict(load(DIGITS / "digits.pth"))
    for name, share in compare(network, linear, held_out).items():
        print(f"{name:<8} {share:.2%}")


if __name__ == "__main__":
    main()
