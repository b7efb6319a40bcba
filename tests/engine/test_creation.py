"""Tensors out of data, constants, ranges and chance."""

from typing import Any

import numpy as np
import numserve.engine as engine
import pytest
from numserve.engine import DtypeError, EngineError, ShapeError, Tensor, tensor


@pytest.mark.parametrize(
    ("data", "name"),
    [(1, "int64"), (1.5, "float32"), (True, "bool"), ([1, 2.5], "float32"), ([], "float32"), (1j, "complex64"),
     (np.float64(1), "float64"), (np.zeros(2), "float64"), (np.array([1], np.int8), "int8"), ([True, 2], "int64"),
     ([np.float32(1)], "float32"), ([tensor(1), tensor(2)], "int64")],
)  # fmt: skip
def test_data_tells_the_dtype(data: Any, name: str) -> None:
    assert tensor(data).dtype.name == name


def test_tensor_copies_and_from_numpy_shares() -> None:
    array = np.zeros(2)
    copied, shared = tensor(array), engine.from_numpy(array)
    array[0] = 1
    assert (copied.tolist(), shared.tolist(), engine.as_tensor(array).array is array) == ([0.0, 0.0], [1.0, 0.0], True)
    assert engine.as_tensor(shared) is shared


def test_data_that_is_no_tensor() -> None:
    with pytest.raises(ShapeError, match="differ in length"):
        tensor([[1], [1, 2]])
    with pytest.raises(DtypeError, match="expected an ndarray, met list"):
        engine.from_numpy([1])  # type: ignore[arg-type]
    with pytest.raises(DtypeError):
        tensor("text")


def test_buffers_are_read_in_place() -> None:
    assert engine.frombuffer(bytearray(b"\1\0\2\0"), dtype=engine.int16).tolist() == [1, 2]


@pytest.mark.parametrize("size", [(2, 3), ((2, 3),), ([2, 3],), (tensor([2, 3]),)])
@pytest.mark.parametrize("name", ["zeros", "ones", "empty", "rand", "randn"])
def test_sizes_come_in_several_forms(name: str, size: Any) -> None:
    x: Tensor = getattr(engine, name)(*size, dtype=engine.float64, requires_grad=True)
    assert x.shape == (2, 3) and x.dtype.name == "float64" and x.requires_grad


@pytest.mark.parametrize("name", ["zeros_like", "ones_like", "empty_like", "rand_like", "randn_like"])
def test_likes_take_shape_and_dtype(name: str) -> None:
    x: Tensor = getattr(engine, name)(engine.zeros(2, 3, dtype=engine.float16))
    assert x.shape == (2, 3) and x.dtype.name == "float16"


def test_constants_and_ranges() -> None:
    assert engine.full((2,), 7).tolist() == [7, 7] and engine.full_like(engine.zeros(2), 7).tolist() == [7.0, 7.0]
    assert engine.arange(3).tolist() == [0, 1, 2] and engine.arange(1, 2, 0.5).tolist() == [1.0, 1.5]
    assert engine.arange(5, 0, -2).tolist() == [5, 3, 1] and engine.arange(2.0).dtype.name == "float32"
    assert engine.linspace(0, 1, 3).tolist() == [0.0, 0.5, 1.0] and engine.logspace(0, 2, 3).tolist() == [
        1.0,
        10.0,
        100.0,
    ]
    assert engine.eye(2).tolist() == [[1.0, 0.0], [0.0, 1.0]] and engine.eye(2, 3).shape == (2, 3)
    assert engine.tril_indices(2, 2).tolist() == [[0, 1, 1], [0, 0, 1]]
    assert engine.triu_indices(2, 2).tolist() == [[0, 0, 1], [0, 1, 1]]


def test_a_range_leads_to_its_end() -> None:
    with pytest.raises(ShapeError, match="a step of -1 does not lead from 0 to 3"):
        engine.arange(0, 3, -1)


def test_a_seed_repeats_the_numbers() -> None:
    draws = []
    for _ in range(2):
        engine.manual_seed(5)
        draws.append((engine.rand(3).tolist(), engine.randn(2).tolist(), engine.randperm(5).tolist()))
    state = engine.get_rng_state()
    first = engine.randint(10, (5,)).tolist()
    engine.set_rng_state(state)
    assert draws[0] == draws[1] and engine.randint(10, (5,)).tolist() == first


def test_random_numbers_keep_their_bounds() -> None:
    assert set(engine.randint(2, 5, (200,)).tolist()) == {2, 3, 4} and sorted(engine.randperm(4).tolist()) == [
        0,
        1,
        2,
        3,
    ]
    assert abs(engine.normal(3.0, tensor([0.0, 0.0])).sub(3).sum().item()) == 0 and engine.normal(
        0.0, 1.0, (2,)
    ).shape == (2,)
    assert engine.randint_like(engine.zeros(3), 1).tolist() == [0.0, 0.0, 0.0]
    with pytest.raises(ShapeError, match="expected randint"):
        engine.randint(1, 2)


def test_draws_follow_the_odds() -> None:
    assert engine.bernoulli(tensor([0.0, 1.0])).tolist() == [0.0, 1.0]
    assert engine.multinomial(tensor([[0.0, 1.0], [1.0, 0.0]]), 1).tolist() == [[1], [0]]
    assert sorted(engine.multinomial(tensor([1.0, 2.0, 0.0]), 2).tolist()) == [0, 1]
    assert engine.multinomial(tensor([1.0]), 3, replacement=True).tolist() == [0, 0, 0]
    for odds, count in (([-1.0], 1), ([0.0], 1), ([1.0, 0.0], 2)):
        with pytest.raises(EngineError, match="multinomial"):
            engine.multinomial(tensor(odds), count)
    with pytest.raises(EngineError, match="between 0 and 1"):
        engine.bernoulli(tensor([2.0]))
