"""Samplers: the order of examples, and their batches."""

from collections import Counter

import pytest
from numserve.engine import Generator, tensor
from numserve.engine.data import (
    BatchSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)


def seeded(seed: int = 3) -> Generator:
    return Generator().manual_seed(seed)


def test_in_order() -> None:
    assert list(SequentialSampler("abc")) == [0, 1, 2]


def test_a_random_order_has_each_example_once_and_changes_every_time() -> None:
    sampler = RandomSampler(range(100), generator=seeded())
    first, second = list(sampler), list(sampler)
    assert sorted(first) == sorted(second) == list(range(100))
    assert first != second


def test_more_samples_than_examples_go_round_again() -> None:
    drawn = list(RandomSampler(range(4), num_samples=10, generator=seeded()))
    assert len(drawn) == 10 and set(Counter(drawn[:8]).values()) == {2}


def test_with_replacement_examples_repeat() -> None:
    drawn = list(RandomSampler(range(4), replacement=True, num_samples=50, generator=seeded()))
    assert set(drawn) == {0, 1, 2, 3} and len(drawn) == 50


def test_a_subset_in_random_order() -> None:
    assert sorted(SubsetRandomSampler([5, 9, 2], generator=seeded())) == [2, 5, 9]


def test_weights_decide_how_often() -> None:
    drawn = Counter(WeightedRandomSampler(tensor([0.0, 1.0, 3.0]), 4000, generator=seeded()))
    assert drawn[0] == 0 and 2.5 < drawn[2] / drawn[1] < 3.5


def test_without_replacement_only_what_has_a_weight_can_be_drawn() -> None:
    assert sorted(WeightedRandomSampler([1, 0, 1], 2, replacement=False, generator=seeded())) == [0, 2]
    with pytest.raises(ValueError, match="3 different examples of 2 with a weight"):
        WeightedRandomSampler([1, 0, 1], 3, replacement=False)


@pytest.mark.parametrize(("drop_last", "batches"), [(False, [[0, 1], [2, 3], [4]]), (True, [[0, 1], [2, 3]])])
def test_batches_of_a_sampler(drop_last: bool, batches: list[list[int]]) -> None:
    sampler = BatchSampler(range(5), 2, drop_last)
    assert list(sampler) == batches and len(sampler) == len(batches)


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="batch_size must be at least 1; met 0"):
        BatchSampler(range(5), 0)
    with pytest.raises(NotImplementedError, match="needs an __iter__"):
        iter(Sampler())
