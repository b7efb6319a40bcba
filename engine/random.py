"""Random numbers: one generator a process, or generators of one's own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .device import require_cpu
from .dtype import DType, float32, int64
from .errors import ShapeError
from .generator import Generator as Generator
from .generator import default_generator as default_generator
from .generator import numbers
from .methods.shape import sizes_of as size_of
from .tensor import Tensor

__all__ = [
    "bernoulli", "get_rng_state", "manual_seed", "multinomial", "normal", "rand", "rand_like", "randint",
    "randint_like", "randn", "randn_like", "randperm", "set_rng_state",
]  # fmt: skip


def manual_seed(seed: int) -> Generator:
    """Begin the process's generator anew from a seed. Source: torch.manual_seed."""
    return default_generator.manual_seed(seed)


def rand(
    *size: Any,
    generator: Generator | None = None,
    dtype: DType = float32,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Numbers evenly from [0, 1). Source: torch.rand."""
    require_cpu(device)
    narrow = np.float64 if dtype.numpy == np.float64 else np.float32
    return Tensor(numbers(generator).random(size_of(size), narrow).astype(dtype.numpy, copy=False), requires_grad)


def randn(
    *size: Any,
    generator: Generator | None = None,
    dtype: DType = float32,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Numbers from the standard normal distribution. Source: torch.randn."""
    require_cpu(device)
    narrow = np.float64 if dtype.numpy == np.float64 else np.float32
    return Tensor(
        numbers(generator).standard_normal(size_of(size), narrow).astype(dtype.numpy, copy=False), requires_grad
    )


def rand_like(input: Tensor, *, dtype: DType | None = None) -> Tensor:
    """As rand, in the shape and dtype of a tensor. Source: torch.rand_like."""
    return rand(input.array.shape, dtype=dtype or input.dtype)


def randn_like(input: Tensor, *, dtype: DType | None = None) -> Tensor:
    """As randn, in the shape and dtype of a tensor. Source: torch.randn_like."""
    return randn(input.array.shape, dtype=dtype or input.dtype)


def randint(
    low: int,
    high: Any,
    size: Sequence[int] | None = None,
    *,
    generator: Generator | None = None,
    dtype: DType = int64,
    device: Any = None,
) -> Tensor:
    """Whole numbers from low (0 when left out) to below high. Source: torch.randint."""
    require_cpu(device)
    if size is None and not isinstance(high, int):
        low, high, size = 0, low, high
    if not isinstance(high, int) or size is None:
        raise ShapeError("randint: expected randint(high, size) or randint(low, high, size)")
    return Tensor(numbers(generator).integers(low, high, tuple(size)).astype(dtype.numpy))


def randint_like(input: Tensor, low: int, high: int | None = None) -> Tensor:
    """As randint, in the shape and dtype of a tensor. Source: torch.randint_like."""
    low, high = (0, low) if high is None else (low, high)
    return randint(low, high, input.array.shape, dtype=input.dtype)


def randperm(n: int, *, generator: Generator | None = None, dtype: DType = int64) -> Tensor:
    """The numbers below n in a random order. Source: torch.randperm."""
    return Tensor(numbers(generator).permutation(n).astype(dtype.numpy))


def normal(
    mean: float | Tensor,
    std: float | Tensor = 1.0,
    size: Sequence[int] | None = None,
    *,
    generator: Generator | None = None,
) -> Tensor:
    """Numbers from normal distributions of these means and deviations. Source: torch.normal."""
    parts = [p.array for p in (mean, std) if isinstance(p, Tensor)]
    shape = np.broadcast_shapes(*(p.shape for p in parts)) if size is None else tuple(size)
    return randn(shape, generator=generator).detach() * std + mean


def bernoulli(input: Tensor, *, generator: Generator | None = None) -> Tensor:
    """1 with the probability that each element gives, else 0. Source: torch.bernoulli."""
    return input.bernoulli(generator=generator)


def multinomial(
    input: Tensor, num_samples: int, replacement: bool = False, *, generator: Generator | None = None
) -> Tensor:
    """Positions drawn with the weights of each row. Source: torch.multinomial."""
    return input.multinomial(num_samples, replacement, generator=generator)


def dropout_mask(shape: Sequence[int], keep: float, dtype: np.dtype[Any]) -> np.ndarray[Any, np.dtype[Any]]:
    """1 / keep with probability `keep`, else 0: what dropout multiplies by."""
    kept = default_generator.numpy.random(tuple(shape), np.float32) < keep
    return np.asarray(np.where(kept, dtype.type(1 / keep), dtype.type(0)))


def get_rng_state() -> Any:
    """The state of the process's generator. Source: torch.get_rng_state."""
    return default_generator.numpy.bit_generator.state


def set_rng_state(new_state: Any) -> None:
    """Put the process's generator into an earlier state. Source: torch.set_rng_state."""
    default_generator.numpy.bit_generator.state = new_state
