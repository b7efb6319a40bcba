"""DataLoader: a dataset in batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

from ..generator import Generator
from .collate import default_collate
from .dataset import Dataset, IterableDataset
from .sampler import BatchSampler, RandomSampler, SequentialSampler


class DataLoader:
    """A dataset in batches, shuffled anew for every loop over it where asked to. Source: torch.utils.data.DataLoader.

    Examples are fetched in the calling thread: num_workers other than 0 is refused. A dataset with `__getitems__` is
    asked for a batch at once.
    """

    def __init__(
        self,
        dataset: Dataset[Any],
        batch_size: int | None = 1,
        shuffle: bool = False,
        sampler: Iterable[int] | None = None,
        batch_sampler: Iterable[list[int]] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        *,
        generator: Generator | None = None,
    ) -> None:
        if num_workers:
            raise ValueError(f"examples are fetched in the calling thread: num_workers must be 0; met {num_workers}")
        if shuffle and (sampler is not None or batch_sampler is not None):
            raise ValueError("a sampler decides the order itself: leave out shuffle")
        if batch_sampler is not None and (batch_size != 1 or sampler is not None or drop_last):
            raise ValueError("a batch_sampler decides the batches itself: leave out batch_size, sampler and drop_last")
        self.dataset, self.batch_size, self.drop_last, self.generator = dataset, batch_size, drop_last, generator
        self.collate_fn = collate_fn or (default_collate if batch_size is not None else _as_it_is)
        if isinstance(dataset, IterableDataset):
            if shuffle or sampler is not None or batch_sampler is not None:
                raise ValueError("an IterableDataset gives its own order: leave out shuffle and samplers")
            return
        random = RandomSampler(dataset, generator=generator)
        self.sampler = sampler if sampler is not None else random if shuffle else SequentialSampler(dataset)
        if batch_sampler is None and batch_size is not None:
            batch_sampler = BatchSampler(self.sampler, batch_size, drop_last)
        self.batch_sampler = batch_sampler

    def __iter__(self) -> Iterator[Any]:
        if isinstance(self.dataset, IterableDataset):
            return map(self.collate_fn, self._chunks(iter(self.dataset)))
        if self.batch_sampler is None:
            return (self.collate_fn(self.dataset[index]) for index in self.sampler)
        return (self.collate_fn(self._fetch(indices)) for indices in self.batch_sampler)

    def __len__(self) -> int:
        """How many batches there are; TypeError where the dataset or sampler does not know its length."""
        if isinstance(self.dataset, IterableDataset):
            return len(BatchSampler(range(len(self.dataset)), self.batch_size or 1, self.drop_last))
        return len(self.sampler if self.batch_sampler is None else self.batch_sampler)  # type: ignore[arg-type]

    def _fetch(self, indices: list[int]) -> list[Any]:
        whole: Callable[[list[int]], list[Any]] | None = getattr(self.dataset, "__getitems__", None)
        return [self.dataset[index] for index in indices] if whole is None else whole(indices)

    def _chunks(self, examples: Iterator[Any]) -> Iterator[Any]:
        if self.batch_size is None:
            yield from examples
            return
        while chunk := list(islice(examples, self.batch_size)):
            if len(chunk) == self.batch_size or not self.drop_last:
                yield chunk


def _as_it_is(example: Any) -> Any:
    return example
