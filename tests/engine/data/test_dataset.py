"""Datasets: examples by number, put together and divided."""

import pytest
from numserve.engine import Generator, ShapeError, arange, tensor
from numserve.engine.data import ConcatDataset, Dataset, IterableDataset, Subset, TensorDataset, random_split


class Squares(Dataset):
    def __init__(self, size: int) -> None:
        self.size = size

    def __getitem__(self, index: int) -> int:
        return index**2

    def __len__(self) -> int:
        return self.size


def test_a_tensor_dataset_gives_rows_that_belong_together() -> None:
    examples = TensorDataset(arange(6).view(3, 2), tensor([7, 8, 9]))
    row, label = examples[1]
    assert (row.tolist(), label.item(), len(examples)) == ([2, 3], 8, 3)


def test_tensors_of_different_lengths_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"\[3, 2\] rows"):
        TensorDataset(arange(3), arange(2))


def test_a_subset_gives_the_examples_at_its_numbers() -> None:
    assert list(Subset(Squares(9), [4, 2])[i] for i in range(2)) == [16, 4]


def test_datasets_one_after_the_other() -> None:
    both = Squares(3) + Squares(2)
    assert isinstance(both, ConcatDataset)
    assert [both[i] for i in range(5)] == [0, 1, 4, 0, 1]
    assert both[-1] == 1
    with pytest.raises(IndexError, match="outside a dataset of 5"):
        both[5]


@pytest.mark.parametrize(
    ("lengths", "sizes"), [([7, 3], [7, 3]), ([0.5, 0.25, 0.25], [6, 2, 2]), ([0.34, 0.33, 0.33], [4, 3, 3])]
)
def test_a_random_split_shares_out_every_example_once(lengths: list[float], sizes: list[int]) -> None:
    parts = random_split(Squares(10), lengths, Generator().manual_seed(1))
    assert [len(part) for part in parts] == sizes
    assert sorted(part[i] for part in parts for i in range(len(part))) == [i**2 for i in range(10)]


def test_a_split_is_the_same_for_the_same_seed() -> None:
    first, again = (random_split(Squares(50), [25, 25], Generator().manual_seed(7))[0].indices for _ in range(2))
    assert first == again != list(range(25))


def test_lengths_that_do_not_add_up_are_refused() -> None:
    with pytest.raises(ValueError, match="the parts have 9 examples; the dataset has 10"):
        random_split(Squares(10), [4, 5])


def test_what_a_subclass_must_give_is_named() -> None:
    with pytest.raises(NotImplementedError, match="Dataset needs a __getitem__"):
        Dataset()[0]
    with pytest.raises(NotImplementedError, match="IterableDataset needs an __iter__"):
        iter(IterableDataset())
    with pytest.raises(TypeError, match="needs a __len__"):
        len(Dataset())
    with pytest.raises(ValueError, match="no dataset"):
        ConcatDataset([])
