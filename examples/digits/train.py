"""Train the digits example on scikit-learn's handwritten digits, with this engine alone.

python examples/digits/train.py               trains, prints a table of epochs, writes digits.pth and samples/
python examples/digits/train.py --help        what can be varied
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from model import DigitsNet
from numserve import engine
from numserve.engine import nn, optim
from numserve.engine.data import DataLoader, Dataset, TensorDataset
from PIL import Image
from sklearn.datasets import load_digits

HERE = Path(__file__).parent


def pixels() -> tuple[np.ndarray, np.ndarray]:
    """The 1,797 pictures (N, 8, 8) as 8-bit grey, and the digits that they show."""
    digits = load_digits()
    return np.round(digits.images * (255 / 16)).astype(np.uint8), digits.target


def dataset(pictures: np.ndarray, labels: np.ndarray) -> TensorDataset:
    """Pictures (N, 1, 8, 8) with values from 0 to 1, as the handler makes them, and class numbers."""
    values = pictures[:, None].astype(np.float32) / np.float32(255)
    return TensorDataset(engine.from_numpy(values), engine.from_numpy(labels.astype(np.int64)))


def split() -> tuple[TensorDataset, TensorDataset]:
    """The training part, and the fifth that training never sees: each fifth picture."""
    pictures, labels = pixels()
    held_out = np.arange(len(labels)) % 5 == 4
    return dataset(pictures[~held_out], labels[~held_out]), dataset(pictures[held_out], labels[held_out])


def train_epoch(model: nn.Module, batches: DataLoader, optimizer: optim.Optimizer) -> float:
    """One pass over the batches; gives the mean loss."""
    model.train()
    total = 0.0
    for pictures, labels in batches:
        loss = nn.functional.cross_entropy(model(pictures), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item() * len(labels)
    return total / len(batches.dataset)


@engine.no_grad()
def accuracy(model: nn.Module, examples: Dataset) -> float:
    """The share of examples that the model gets right."""
    model.eval()
    right = sum(int((model(pictures).argmax(1) == labels).sum()) for pictures, labels in DataLoader(examples, 256))
    return right / len(examples)


def write_samples(folder: Path) -> None:
    """The first held-out picture of each digit, as PNG."""
    folder.mkdir(exist_ok=True)
    pictures, labels = pixels()
    pictures, labels = pictures[4::5], labels[4::5]
    for digit in range(10):
        Image.fromarray(pictures[labels == digit][0]).save(folder / f"{digit}.png")


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, report, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--optimizer", choices=("sgd", "adam"), default="sgd")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=HERE / "digits.pth", help="where the weights go")
    options = parser.parse_args(arguments)

    engine.manual_seed(options.seed)
    training, held_out = split()
    model = DigitsNet()
    if options.optimizer == "sgd":
        optimizer: optim.Optimizer = optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
    else:
        optimizer = optim.Adam(model.parameters(), lr=2e-3, weight_decay=1e-5)
    schedule = optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=options.epochs)
    batches = DataLoader(training, batch_size=64, shuffle=True)

    print(f"{len(training)} pictures to train on, {len(held_out)} held out, {options.optimizer}")
    print("epoch   loss  held out  seconds")
    start = time.perf_counter()
    for epoch in range(1, options.epochs + 1):
        loss = train_epoch(model, batches, optimizer)
        schedule.step()
        print(f"{epoch:5}  {loss:.3f}  {accuracy(model, held_out):8.2%}  {time.perf_counter() - start:7.1f}")
    engine.save(model.state_dict(), options.out)
    print(f"wrote {options.out}: {options.out.stat().st_size:,} bytes")
    write_samples(options.out.parent / "samples")


if __name__ == "__main__":
    main()
