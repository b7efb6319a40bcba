"""RMSprop."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..dtype import Array
from .optimizer import Group, Optimizer, State, check, count, slot


class RMSprop(Optimizer):
    """Gradients divided by a running root mean square of theirs. Source: torch.optim.RMSprop."""

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        check(lr=lr, alpha=alpha, eps=eps, weight_decay=weight_decay, momentum=momentum)
        options = {"alpha": alpha, "eps": eps, "weight_decay": weight_decay, "momentum": momentum, "centered": centered}
        super().__init__(params, {"lr": lr, **options, "maximize": maximize})

    def update(self, parameter: Array, gradient: Array, state: State, group: Group) -> None:
        """p -= lr * gradient / (sqrt(mean square) + eps), the mean taken off first where centered."""
        count(state)
        if group["weight_decay"]:
            gradient = gradient + group["weight_decay"] * parameter
        alpha = group["alpha"]
        square = slot(state, "square_avg", parameter)
        square *= alpha
        square += (1 - alpha) * gradient * gradient
        step = gradient / (np.sqrt(self._variance(square, gradient, state, group)) + group["eps"])
        if group["momentum"]:
            buffer = slot(state, "momentum_buffer", parameter)
            buffer *= group["momentum"]
            buffer += step
            step = buffer
        parameter -= group["lr"] * step

    def _variance(self, square: Array, gradient: Array, state: State, group: Group) -> Array:
        if not group["centered"]:
            return square
        mean = slot(state, "grad_avg", gradient)
        mean += (1 - group["alpha"]) * (gradient - mean)
        variance: Array = square - mean * mean
        return variance
