"""Weights and pictures made up by name and shape alone, so that every machine has the same ones without a file."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence
from typing import Any
from zlib import crc32

import numpy as np


def even(name: str, shape: Sequence[int]) -> np.ndarray:
    """float32 numbers between -1 and 1."""
    numbers = np.random.Generator(np.random.PCG64(crc32(name.encode())))
    return numbers.random(tuple(shape), np.float32) * np.float32(2) - np.float32(1)


def weight(name: str, shape: Sequence[int], spread: float = 1.0) -> np.ndarray:
    """Numbers that keep the spread of what passes through a layer about the same, or change it by a factor."""
    if name.endswith("num_batches_tracked"):
        return np.ones(tuple(shape), np.int64)
    numbers = even(name, shape)
    if name.endswith("running_var") or (len(shape) == 1 and name.endswith("weight")):
        return 1 + numbers / np.float32(2)
    if len(shape) == 1:
        return numbers * np.float32(0.2)
    return numbers * np.float32(spread * math.sqrt(6 / math.prod(shape[1:])))


def picture(size: int) -> np.ndarray:
    """A batch of two."""
    return even(f"picture {size}", (2, 3, size, size)) * np.float32(2)


def pictures() -> list[np.ndarray]:
    """Two of different sizes, from 0 to 1."""
    return [(even(f"picture {size}", (3, *size)) + 1) / np.float32(2) for size in ((90, 120), (64, 48))]


def functions(module: Any) -> list[str]:
    """The names of the functions that make models."""
    return [name for name in module.__all__ if name.islower()]


def fingerprint(shapes: Iterable[tuple[str, Sequence[int]]]) -> str:
    """One short text for names, shapes and their order."""
    lines = "".join(f"{name} {list(shape)}\n" for name, shape in shapes)
    return hashlib.sha256(lines.encode()).hexdigest()[:16]


# What is run with made-up weights: a function's name, its options, the size of the picture, and how far.
RUNS: dict[str, tuple[str, dict[str, Any], int]] = {
    "resnet18": ("resnet18", {"num_classes": 10}, 64),
    "resnet50": ("resnet50", {"num_classes": 10}, 64),
    "resnet50_dilated": ("resnet50", {"num_classes": 10, "replace_stride_with_dilation": [False, True, True]}, 48),
    "resnext50_32x4d": ("resnext50_32x4d", {"num_classes": 10}, 48),
    "alexnet": ("alexnet", {"num_classes": 10}, 64),
    "squeezenet1_0": ("squeezenet1_0", {"num_classes": 10}, 64),
    "squeezenet1_1": ("squeezenet1_1", {"num_classes": 10}, 63),
    "densenet121": ("densenet121", {"num_classes": 10}, 48),
    "inception_v3": ("inception_v3", {"num_classes": 10, "transform_input": True, "init_weights": False}, 80),
    "mobilenet_v3_large": ("mobilenet_v3_large", {"num_classes": 10}, 64),
    "mobilenet_v3_small_half": ("mobilenet_v3_small", {"num_classes": 10, "width_mult": 0.5}, 64),
    "mobilenet_v2": ("mobilenet_v2", {"num_classes": 10}, 64),
    "mobilenet_v2_narrow": ("mobilenet_v2", {"num_classes": 10, "width_mult": 0.35}, 64),
}
VGG_FEATURES = ("vgg11", "vgg13_bn")  # their linear layers, 120 million numbers, are left out

CALM = 0.9  # the spread for MobileNet V3, which makes much of differences: torch's own float32 is a thousandth off
SPREADS = {"mobilenet_v3_large": CALM}

# Models that give a score for every pixel, of which every eighth is kept.
PIXELS: dict[str, tuple[str, dict[str, Any], int]] = {
    "fcn_resnet50": ("fcn_resnet50", {"num_classes": 3, "aux_loss": True}, 40),
    "deeplabv3_resnet50": ("deeplabv3_resnet50", {"num_classes": 3}, 40),
    "deeplabv3_mobilenet_v3_large": ("deeplabv3_mobilenet_v3_large", {"num_classes": 3, "aux_loss": True}, 48),
}
SPARSE = (slice(None), slice(None), slice(None, None, 8), slice(None, None, 8))
BOXES_KEPT = slice(None, None, 101)  # of a detector's default boxes
FOUND_KEPT = 5
