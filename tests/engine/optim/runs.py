"""Twenty steps of every optimiser and schedule, the same for this engine and for torch."""

from __future__ import annotations

from typing import Any

import numpy as np

OPTIMIZERS: dict[str, tuple[str, dict[str, Any]]] = {
    "sgd": ("SGD", {"lr": 0.1}),
    "sgd decay": ("SGD", {"lr": 0.1, "weight_decay": 0.1}),
    "sgd momentum": ("SGD", {"lr": 0.1, "momentum": 0.9}),
    "sgd dampening": ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.5, "weight_decay": 0.01}),
    "sgd nesterov": ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "maximize": True}),
    "adam": ("Adam", {"lr": 0.05}),
    "adam decay": ("Adam", {"lr": 0.05, "weight_decay": 0.1, "betas": (0.8, 0.95), "eps": 1e-4}),
    "adam amsgrad": ("Adam", {"lr": 0.05, "amsgrad": True}),
    "adamw": ("AdamW", {"lr": 0.05}),
    "adamw decay": ("AdamW", {"lr": 0.05, "weight_decay": 0.3, "amsgrad": True, "maximize": True}),
    "rmsprop": ("RMSprop", {"lr": 0.05}),
    "rmsprop momentum": ("RMSprop", {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.1, "alpha": 0.9}),
    "rmsprop centered": ("RMSprop", {"lr": 0.05, "centered": True, "momentum": 0.5}),
}

SCHEDULES: dict[str, tuple[str, dict[str, Any]]] = {
    "step": ("StepLR", {"step_size": 4, "gamma": 0.5}),
    "milestones": ("MultiStepLR", {"milestones": [3, 5, 11], "gamma": 0.3}),
    "exponential": ("ExponentialLR", {"gamma": 0.9}),
    "cosine": ("CosineAnnealingLR", {"T_max": 8, "eta_min": 0.01}),
    "lambda": ("LambdaLR", {"lr_lambda": lambda epoch: 1 / (1 + epoch)}),
}

PLATEAUS: dict[str, dict[str, Any]] = {
    "plateau": {"patience": 2, "factor": 0.5},
    "plateau cooldown": {"patience": 1, "cooldown": 2, "min_lr": 0.02, "threshold_mode": "abs", "threshold": 0.1},
    "plateau max": {"mode": "max", "patience": 1, "factor": 0.2},
}
MEASURES = [3.0, 2.5, 2.5, 2.45, 2.6, 2.6, 2.6, 1.0, 1.2, 1.1, 1.3, 1.0, 1.0, 1.1, 0.99, 0.98, 2.0, 2.0, 2.0, 2.0]


def start() -> list[np.ndarray]:
    return [np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3), np.array([0.5, -0.25], np.float32)]


def gradient(step: int, position: int, value: np.ndarray) -> np.ndarray:
    """Changes its sign now and then, and depends on where the parameter is."""
    places = np.arange(value.size, dtype=np.float32).reshape(value.shape)
    return (np.cos(0.7 * step + places + position) + 0.3 * value).astype(np.float32)
