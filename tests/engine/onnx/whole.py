"""Whole models for the oracle tests: those of engine/models and others, as torch has them and as we do."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

NAMES = [
    "alexnet", "densenet121", "inception_v3", "mobilenet_v2", "resnet18", "squeezenet1_0", "vgg11_bn",
    "mlp", "encoder", "lstm",
]  # fmt: skip
TOLERANCE = 1e-4


def oracle() -> ModuleType:
    """tests/data/oracle_models.py."""
    file = Path(__file__).parents[2] / "data" / "oracle_models.py"
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def pair(name: str) -> Any:
    """A model in both makes, for small pictures where it takes them."""
    small = name in ("densenet121", "mobilenet_v2", "resnet18", "squeezenet1_0")
    return oracle().pair(name, 96 if small else None)


def inputs(shape: tuple[int, ...], batch: int) -> np.ndarray:
    """A batch of inputs."""
    return np.random.default_rng(batch).standard_normal((batch, *shape)).astype(np.float32)


def error(met: np.ndarray, wanted: np.ndarray) -> float:
    """The greatest difference over the greatest output."""
    assert met.shape == wanted.shape and wanted.std() > 1e-3
    return float(np.abs(met - wanted).max() / np.abs(wanted).max())
