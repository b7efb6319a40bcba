"""Samplers: in which order, and in which batches, a dataset's examples are taken."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Sized
from typing import Generic, TypeVar

import numpy as np

from ..generator import Generator, numbers
from ..tensor import Tensor

T_co = TypeVar("T_co", covariant=True)


class Sampler(Generic[T_co]):
    """Gives the numbers of examples; subclasses give __iter__. Source: torch.utils.data.Sampler."""

    def __iter__(self) -> Iterator[T_co]:
        raise NotImplementedError(f"{type(self).__name__} needs an __iter__")


class SequentialSampler(Sampler[int]):
    """0, 1, 2, … Source: torch.utils.data.SequentialSampler."""

    def __init__(self, data_source: Sized) -> None:
        self.data_source = data_source

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.data_source)))

    def __len__(self) -> int:
        return len(self.data_source)


class RandomSampler(Sampler[int]):
    """All in a random order, or any at random with replacement. Source: torch.utils.data.RandomSampler."""

    def __init__(
        self,
        data_source: Sized,
        replacement: bool = False,
        num_samples: int | None = None,
        generator: Generator | None = None,
    ) -> None:
        self.data_source, self.replacement, self.generator = data_source, replacement, generator
        self.num_samples = len(data_source) if num_samples is None else num_samples

    def __iter__(self) -> Iterator[int]:
        size = len(self.data_source)
        if self.replacement:
            return iter(numbers(self.generator).integers(size, size=self.num_samples).tolist())
        rounds = -(-self.num_samples // size) if size else 0
        order = [i for _ in range(rounds) for i in permutation(size, self.generator)]
        return iter(order[: self.num_samples])

    def __len__(self) -> int:
        return self.num_samples


class SubsetRandomSampler(Sampler[int]):
    """Some, in a random order. Source: torch.utils.data.SubsetRandomSampler."""

    def __init__(self, indices: Sequence[int], generator: Generator | None = None) -> None:
        self.indices, self.generator = indices, generator

    def __iter__(self) -> Iterator[int]:
        return iter([self.indices[i] for i in permutation(len(self.indices), self.generator)])

    def __len__(self) -> int:
        return len(self.indices)


class WeightedRandomSampler(Sampler[int]):
    """Each as often as its weight says. Source: torch.utils.data.WeightedRandomSampler."""

    def __init__(
        self,
        weights: Sequence[float] | Tensor,
        num_samples: int,
        replacement: bool = True,
        generator: Generator | None = None,
    ) -> None:
        values = np.asarray(weights.array if isinstance(weights, Tensor) else weights, np.float64)
        if not replacement and num_samples > np.count_nonzero(values):
            raise ValueError(f"{num_samples} different examples of {np.count_nonzero(values)} with a weight above 0")
        self.weights, self.num_samples, self.replacement, self.generator = values, num_samples, replacement, generator

    def __iter__(self) -> Iterator[int]:
        shares = self.weights / self.weights.sum()
        source = numbers(self.generator)
        return iter(source.choice(len(shares), self.num_samples, replace=self.replacement, p=shares).tolist())

    def __len__(self) -> int:
        return self.num_samples


class BatchSampler(Sampler[list[int]]):
    """A sampler's numbers, so many at a time. Source: torch.utils.data.BatchSampler."""

    def __init__(self, sampler: Iterable[int], batch_size: int, drop_last: bool = False) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1; met {batch_size}")
        self.sampler, self.batch_size, self.drop_last = sampler, batch_size, drop_last

    def __iter__(self) -> Iterator[list[int]]:
        batch: list[int] = []
        for index in self.sampler:
            batch.append(index)
            if len(batch) == self.batch_size:
                yield batch
                batch = []
        if batch and not self.drop_last:
            yield batch

    def __len__(self) -> int:
        size = len(self.sampler)  # type: ignore[arg-type]  # TypeError where the sampler has no end, as for any len()
        return size // self.batch_size if self.drop_last else -(-size // self.batch_size)


def permutation(size: int, generator: Generator | None = None) -> list[int]:
    """The numbers below `size` in a random order."""
    order: list[int] = numbers(generator).permutation(size).tolist()
    return order
