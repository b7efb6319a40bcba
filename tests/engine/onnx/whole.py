"""Whole models for the oracle tests: those of engine/models and others, as torch has them and as we do."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numserve.engine import models

ONE_OF_EACH = {
    "alexnet", "densenet121", "inception_v3", "mobilenet_v2", "resnet18", "resnext50_32x4d", "squeezenet1_0",
    "vgg11_bn", "mlp", "encoder", "lstm",
}  # fmt: skip
OURS = [
    name if name in ONE_OF_EACH else pytest.param(name, marks=pytest.mark.slow)
    for name in (*filter(str.islower, models.__all__), "mlp", "encoder", "lstm")
]
"""The models that there are in both makes."""
FOREIGN = (
    "mobilenet_v3_small", "efficientnet_b0", "shufflenet_v2_x1_0", "googlenet", "mnasnet1_0", "regnet_y_400mf",
    "convnext_tiny", "swin_t", "vit", "bert", "recurrent",
)  # fmt: skip
"""Others, which torch has."""
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
    """A model in both makes; for small pictures where it can be exported for these."""
    needs_all = name.startswith(("alexnet", "vgg", "inception")) or name in ("mlp", "encoder", "lstm")
    return oracle().pair(name, None if needs_all else 96)


def model(name: str) -> tuple[Any, tuple[np.ndarray, ...]]:
    """A model as torch has it, of OURS or FOREIGN, and inputs of two rows."""
    if name in FOREIGN:
        module, given = oracle().foreign(name)
        return module, tuple(tensor.numpy() for tensor in given)
    both = pair(name)
    return both.theirs, (inputs(both.shape, 2),)


def inputs(shape: tuple[int, ...], batch: int) -> np.ndarray:
    """A batch of inputs."""
    return np.random.default_rng(batch).standard_normal((batch, *shape)).astype(np.float32)


def other_batches(given: Sequence[np.ndarray]) -> list[list[np.ndarray]]:
    """Inputs of one row, and of three, made of these of two."""
    return [[x[:1] for x in given], [np.concatenate([x[::-1], x[:1]]) for x in given]]


def error(met: np.ndarray, wanted: np.ndarray) -> float:
    """The greatest difference over the greatest output."""
    assert met.shape == wanted.shape and wanted.std() > 1e-3
    return float(np.abs(met - wanted).max() / np.abs(wanted).max())
