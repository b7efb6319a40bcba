"""SGD, with momentum."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..dtype import Array
from ..tensor import Tensor
from .optimizer import Group, Optimizer, State, check


class SGD(Optimizer):
    """Gradient descent with momentum, plain or Nesterov's. Source: torch.optim.SGD."""

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        check(lr=lr, momentum=momentum, weight_decay=weight_decay)
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError(f"nesterov needs momentum above 0 and dampening 0; met {momentum} and {dampening}")
        options = {"momentum": momentum, "dampening": dampening, "weight_decay": weight_decay, "nesterov": nesterov}
        super().__init__(params, {"lr": lr, **options, "maximize": maximize})

    def update(self, parameter: Array, gradient: Array, state: State, group: Group) -> None:
        """p -= lr * (momentum's running sum of gradients)."""
        if group["weight_decay"]:
            gradient = gradient + group["weight_decay"] * parameter
        if group["momentum"]:
            average = _average(gradient, state, group)
            gradient = gradient + group["momentum"] * average if group["nesterov"] else average
        parameter -= group["lr"] * gradient


def _average(gradient: Array, state: State, group: Group) -> Array:
    """The momentum buffer with this gradient in it; it begins as the first gradient."""
    if state.get("momentum_buffer") is None:
        state["momentum_buffer"] = Tensor(gradient.copy())
        return gradient
    buffer: Array = state["momentum_buffer"].array
    np.multiply(buffer, group["momentum"], out=buffer)
    buffer += (1 - group["dampening"]) * gradient
    return buffer
