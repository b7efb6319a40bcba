"""Adam and AdamW."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..dtype import Array
from .optimizer import Group, Optimizer, State, check, check_betas, count, slot


class Adam(Optimizer):
    """Steps scaled by running averages of the gradient and its square. Source: torch.optim.Adam."""

    decoupled = False

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        check(lr=lr, eps=eps, weight_decay=weight_decay)
        check_betas(betas)
        options = {"betas": betas, "eps": eps, "weight_decay": weight_decay, "amsgrad": amsgrad}
        super().__init__(params, {"lr": lr, **options, "maximize": maximize})

    def update(self, parameter: Array, gradient: Array, state: State, group: Group) -> None:
        """p -= lr * mean / (sqrt(mean square) + eps), both averages freed of their bias towards zero."""
        step, (beta1, beta2), lr = count(state), group["betas"], group["lr"]
        if group["weight_decay"] and self.decoupled:
            parameter *= 1 - lr * group["weight_decay"]
        elif group["weight_decay"]:
            gradient = gradient + group["weight_decay"] * parameter
        mean = slot(state, "exp_avg", parameter)
        square = slot(state, "exp_avg_sq", parameter)
        mean += (1 - beta1) * (gradient - mean)
        square *= beta2
        square += (1 - beta2) * gradient * gradient
        if group["amsgrad"]:
            highest = slot(state, "max_exp_avg_sq", parameter)
            square = np.maximum(highest, square, out=highest)
        spread = np.sqrt(square) / (1 - beta2**step) ** 0.5 + group["eps"]
        parameter -= lr / (1 - beta1**step) * (mean / spread)


class AdamW(Adam):
    """Adam whose weight decay does not pass the averages. Source: torch.optim.AdamW."""

    decoupled = True

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize)
