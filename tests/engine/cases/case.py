"""Case, one line of the table, and the numbers to make cases of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

_RANDOM = np.random.default_rng(20)


@dataclass(frozen=True)
class Case:
    operands: tuple[Any, ...]
    attributes: dict[str, Any]
    reference: Callable[..., Any] | None
    torch: Callable[..., Any] | None
    smooth: bool

    def __repr__(self) -> str:
        shapes = ", ".join(str(getattr(o, "shape", o)) for o in self.operands)
        return f"({shapes}; {self.attributes})"


def case(
    *operands: Any,
    reference: Callable[..., Any] | None = None,
    torch: Callable[..., Any] | None = None,
    smooth: bool = True,
    **attributes: Any,
) -> Case:
    return Case(operands, attributes, reference, torch, smooth)


def some(*shape: int, low: float = -2.0, high: float = 2.0) -> np.ndarray:
    """Distinct numbers in a random order, evenly between low and high, at least a tenth of a step from 0."""
    count = int(np.prod(shape))
    numbers = low + (high - low) * (np.arange(count) + _RANDOM.uniform(0.2, 0.8, count)) / max(count, 1)
    least = (high - low) / max(count, 1) / 10
    numbers = np.where(np.abs(numbers) < least, least, numbers)
    return _RANDOM.permutation(numbers).reshape(shape)


def each(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of Python numbers, applied element by element with broadcasting."""
    return np.vectorize(function, otypes=None)
