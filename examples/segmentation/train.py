"""Train the segmentation example on pictures that it draws itself, with this engine alone.

python examples/segmentation/train.py          trains, prints the loss, writes table.pth and samples/
python examples/segmentation/train.py --help   what can be varied
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from model import Things
from numserve import engine
from numserve.engine import nn, optim
from numserve.handlers.image_classifier import DEVIATION, MEAN
from numserve.handlers.transforms import Compose, Normalize, ToTensor
from PIL import Image

HERE = Path(__file__).parent
PREPARED = Compose([ToTensor(), Normalize(MEAN, DEVIATION)])
APPLE, LEAF, TILE = 1, 2, 3


def drawn(dice: np.random.Generator, size: int, count: int) -> tuple[Image.Image, np.ndarray]:
    """A picture of a few things on a table, and the class of each of its pixels (size, size)."""
    y, x = np.mgrid[:size, :size]
    slope = dice.uniform(-50, 50, 2)
    light = dice.uniform(80, 180) + (y / size - 0.5) * slope[0] + (x / size - 0.5) * slope[1]
    pixels = light[..., None] + dice.uniform(-12, 12, 3)
    classes = np.zeros((size, size), np.uint8)
    for _ in range(count):
        kind, (middle_y, middle_x), reach = int(dice.integers(1, 4)), dice.uniform(0, size, 2), dice.uniform(8, 24)
        down, across = y - middle_y, x - middle_x
        inside = {
            APPLE: np.hypot(down, across) < reach,
            LEAF: np.abs(down) / 2 + np.abs(across) < reach / 2,
            TILE: np.maximum(np.abs(down), np.abs(across)) < reach,
        }[kind]
        colour = dice.uniform(0, 90, 3)
        colour[kind - 1] += dice.uniform(90, 160)
        pixels = np.where(inside[..., None], colour * (light[..., None] / 130), pixels)
        classes[inside] = kind
    noisy = pixels + dice.normal(0, 12, (size, size, 3))
    return Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)), classes


def batch(dice: np.random.Generator, count: int, size: int = 96) -> tuple[engine.Tensor, engine.Tensor]:
    """Pictures (count, 3, size, size), prepared as the handler does, and classes (count, size, size)."""
    pairs = [drawn(dice, size, int(dice.integers(1, 4))) for _ in range(count)]
    pictures = engine.stack([PREPARED(picture) for picture, _ in pairs])
    return pictures, engine.from_numpy(np.stack([classes for _, classes in pairs]).astype(np.int64))


@engine.no_grad()
def right(model: nn.Module, pictures: engine.Tensor, classes: engine.Tensor) -> tuple[float, float]:
    """The share of all pixels, and of those of things, whose class the model gets right."""
    hits = (model.eval()(pictures)["out"].argmax(1) == classes).numpy()
    return float(hits.mean()), float(hits[classes.numpy() > 0].mean())


def write_samples(folder: Path) -> None:
    """Two pictures that training never sees, with their classes as grey values beside them."""
    folder.mkdir(exist_ok=True)
    for number in range(2):
        picture, classes = drawn(np.random.default_rng([7, number]), 256, 8)
        picture.save(folder / f"{number}.png")
        Image.fromarray(classes).save(folder / f"{number}_classes.png")


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, report, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=HERE / "table.pth", help="where the weights go")
    options = parser.parse_args(arguments)

    engine.manual_seed(options.seed)
    dice, held_out = np.random.default_rng([0, options.seed]), batch(np.random.default_rng([1, options.seed]), 32)
    model = Things()
    optimizer = optim.Adam(model.parameters(), lr=5e-3)
    schedule = optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=options.steps)
    print(" step   loss  pixels  of things  seconds")
    start = time.perf_counter()
    for step in range(1, options.steps + 1):
        pictures, classes = batch(dice, 8)
        loss = nn.functional.cross_entropy(model.train()(pictures)["out"], classes)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 50 == 0 or step == options.steps:
            share, of_things = right(model, *held_out)
            print(f"{step:5}  {loss.item():.3f}  {share:.1%}  {of_things:9.1%}  {time.perf_counter() - start:7.1f}")
    engine.save(model.state_dict(), options.out)
    print(f"wrote {options.out}: {options.out.stat().st_size:,} bytes")
    write_samples(options.out.parent / "samples")


if __name__ == "__main__":
    main()
