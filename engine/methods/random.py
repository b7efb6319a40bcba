"""Tensors filled with random numbers, and numbers drawn with a tensor's odds."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from ..errors import EngineError
from ..generator import Generator, numbers
from ..ops.shape import overwrite
from .base import Methods


class RandomMethods(Methods):
    """Random numbers in place, and draws."""

    __slots__ = ()

    def _filled(self, values: Any) -> Self:
        return self._become(self._before()._apply(overwrite, np.asarray(values)))

    def normal_(self, mean: float = 0.0, std: float = 1.0, *, generator: Generator | None = None) -> Self:
        """Numbers from a normal distribution. Source: torch.Tensor.normal_."""
        return self._filled(numbers(generator).normal(mean, std, self.array.shape))

    def uniform_(self, a: float = 0.0, b: float = 1.0, *, generator: Generator | None = None) -> Self:
        """Numbers evenly from [a, b). Source: torch.Tensor.uniform_."""
        return self._filled(numbers(generator).uniform(a, b, self.array.shape))

    def exponential_(self, lambd: float = 1.0, *, generator: Generator | None = None) -> Self:
        """Numbers from an exponential distribution. Source: torch.Tensor.exponential_."""
        return self._filled(numbers(generator).exponential(1 / lambd, self.array.shape))

    def random_(self, low: int = 0, high: int | None = None, *, generator: Generator | None = None) -> Self:
        """Whole numbers from low to below high; from 0 where only one is given. Source: torch.Tensor.random_."""
        if high is None:
            low, high = 0, low or 2**24
        return self._filled(numbers(generator).integers(low, high, self.array.shape))

    def bernoulli_(self, p: float = 0.5, *, generator: Generator | None = None) -> Self:
        """1 with probability p, else 0. Source: torch.Tensor.bernoulli_."""
        return self._filled(numbers(generator).random(self.array.shape) < p)

    def bernoulli(self, *, generator: Generator | None = None) -> Self:
        """1 with the probability that each element gives, else 0. Source: torch.bernoulli."""
        odds = self.array
        if odds.size and not (odds.min() >= 0 and odds.max() <= 1):
            raise EngineError("bernoulli: expected probabilities between 0 and 1")
        return self._plain((numbers(generator).random(odds.shape) < odds).astype(odds.dtype))

    def multinomial(self, num_samples: int, replacement: bool = False, *, generator: Generator | None = None) -> Self:
        """Positions drawn with the weights of each row. Source: torch.multinomial."""
        weights = np.atleast_2d(self.array).astype(np.float64)
        if (weights < 0).any() or not np.isfinite(weights).all() or (weights.sum(axis=1) <= 0).any():
            raise EngineError("multinomial: expected rows of finite weights >= 0 with a sum above 0")
        if not replacement and num_samples > (most := int((weights > 0).sum(axis=1).min())):
            raise EngineError(f"multinomial: {num_samples} samples without replacement from {most} weights above 0")
        shares = weights / weights.sum(axis=1, keepdims=True)
        rows = [numbers(generator).choice(len(row), num_samples, replacement, row) for row in shares]
        return self._plain(np.array(rows, np.int64).reshape(*self.array.shape[:-1], num_samples))
