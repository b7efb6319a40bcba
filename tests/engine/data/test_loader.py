"""DataLoader and default_collate: examples as batches."""

from collections import namedtuple
from collections.abc import Iterator

import numpy as np
import pytest
from numserve.engine import Generator, ShapeError, Tensor, arange, float32, float64, int64, tensor
from numserve.engine.data import DataLoader, Dataset, IterableDataset, TensorDataset, default_collate


@pytest.fixture
def examples() -> TensorDataset:
    return TensorDataset(arange(10).view(5, 2).float(), arange(5))


class Stream(IterableDataset):
    def __iter__(self) -> Iterator[int]:
        return iter(range(5))


def test_batches_come_in_order_and_the_last_is_short(examples: TensorDataset) -> None:
    batches = list(DataLoader(examples, batch_size=2))
    assert [labels.tolist() for _, labels in batches] == [[0, 1], [2, 3], [4]]
    assert batches[0][0].tolist() == [[0, 1], [2, 3]] and batches[0][0].dtype is float32


def test_drop_last_leaves_out_the_short_batch(examples: TensorDataset) -> None:
    loader = DataLoader(examples, batch_size=2, drop_last=True)
    assert len(list(loader)) == len(loader) == 2


def test_shuffling_is_new_every_epoch_and_the_same_for_the_same_seed(examples: TensorDataset) -> None:
    def epochs(seed: int) -> list[list[int]]:
        loader = DataLoader(examples, batch_size=5, shuffle=True, generator=Generator().manual_seed(seed))
        return [next(iter(loader))[1].tolist() for _ in range(4)]

    assert epochs(1) == epochs(1) != epochs(2)
    assert len({tuple(order) for order in epochs(1)}) > 1
    assert {tuple(sorted(order)) for order in epochs(1)} == {(0, 1, 2, 3, 4)}


def test_a_sampler_decides_the_order(examples: TensorDataset) -> None:
    loader = DataLoader(examples, batch_size=2, sampler=[4, 0, 2])
    assert [labels.tolist() for _, labels in loader] == [[4, 0], [2]] and len(loader) == 2


def test_a_batch_sampler_decides_the_batches(examples: TensorDataset) -> None:
    loader = DataLoader(examples, batch_sampler=[[4], [0, 1, 2]])
    assert [labels.tolist() for _, labels in loader] == [[4], [0, 1, 2]] and len(loader) == 2


def test_no_batch_size_gives_examples_as_they_are(examples: TensorDataset) -> None:
    loader = DataLoader(examples, batch_size=None)
    assert [label.item() for _, label in loader] == [0, 1, 2, 3, 4] and len(loader) == 5


def test_a_stream_is_cut_into_batches() -> None:
    assert [batch.tolist() for batch in DataLoader(Stream(), batch_size=2)] == [[0, 1], [2, 3], [4]]
    assert [batch.tolist() for batch in DataLoader(Stream(), batch_size=2, drop_last=True)] == [[0, 1], [2, 3]]
    assert list(DataLoader(Stream(), batch_size=None)) == [0, 1, 2, 3, 4]


def test_a_dataset_that_can_is_asked_for_a_batch_at_once() -> None:
    class Whole(Dataset):
        def __getitems__(self, indices: list[int]) -> list[int]:
            return [10 * i for i in indices]

        def __len__(self) -> int:
            return 3

    assert [batch.tolist() for batch in DataLoader(Whole(), batch_size=2)] == [[0, 10], [20]]


def test_a_collate_function_makes_the_batch(examples: TensorDataset) -> None:
    loader = DataLoader(examples, batch_size=5, collate_fn=len)
    assert list(loader) == [5]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_workers": 2}, "num_workers must be 0; met 2"),
        ({"shuffle": True, "sampler": [0]}, "leave out shuffle"),
        ({"batch_sampler": [[0]], "batch_size": 2}, "leave out batch_size"),
    ],
)
def test_what_contradicts_itself_is_refused(options: dict, message: str, examples: TensorDataset) -> None:
    with pytest.raises(ValueError, match=message):
        DataLoader(examples, **options)


def test_a_stream_gives_its_own_order() -> None:
    with pytest.raises(ValueError, match="its own order"):
        DataLoader(Stream(), shuffle=True)


def test_numbers_become_tensors() -> None:
    assert default_collate([1, 2]).dtype is int64
    assert default_collate([1.0, 2.0]).dtype is float64
    assert default_collate([True, False]).tolist() == [True, False]


def test_arrays_and_tensors_are_stacked() -> None:
    assert default_collate([np.zeros(2), np.ones(2)]).tolist() == [[0, 0], [1, 1]]
    assert default_collate([tensor([1]), tensor([2])]).shape == (2, 1)


def test_containers_are_collated_part_by_part() -> None:
    Pair = namedtuple("Pair", "x label")
    pair = default_collate([Pair(1, "a"), Pair(2, "b")])
    assert isinstance(pair, Pair) and pair.x.tolist() == [1, 2] and pair.label == ["a", "b"]
    nested = default_collate([{"x": (1, [2.0])}, {"x": (3, [4.0])}])
    assert nested["x"][0].tolist() == [1, 3] and nested["x"][1][0].tolist() == [2, 4]


def test_what_cannot_be_a_batch_is_refused_with_a_reason() -> None:
    with pytest.raises(ShapeError, match=r"shapes \[\(1,\), \(2,\)\]"):
        default_collate([Tensor(np.zeros(1)), Tensor(np.zeros(2))])
    with pytest.raises(ShapeError, match="differ in length"):
        default_collate([(1,), (1, 2)])
    with pytest.raises(TypeError, match="object; expected tensors.*collate_fn"):
        default_collate([object()])
