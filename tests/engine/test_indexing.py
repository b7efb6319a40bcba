"""Square brackets: as NumPy where the two agree, as PyTorch where they do not."""

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numserve.engine import DtypeError, OutOfRangeError, ShapeError, Tensor, arange, tensor, zeros

SHAPES = arrays.array_shapes(min_dims=1, max_dims=4, max_side=4)


def numbered(*shape: int) -> Tensor:
    return arange(int(np.prod(shape))).reshape(shape).clone()


def _forward(index: Any) -> bool:
    items = index if isinstance(index, tuple) else (index,)
    return all(not isinstance(i, slice) or i.step is None or i.step > 0 for i in items)


@given(st.data())
def test_basic_indices_select_what_numpy_selects(data: st.DataObject) -> None:
    x = numbered(*data.draw(SHAPES))
    index = data.draw(arrays.basic_indices(x.array.shape, allow_newaxis=True))
    assume(_forward(index))
    np.testing.assert_array_equal(x[index].array, x.array[index])


@given(st.data())
def test_basic_indices_give_views(data: st.DataObject) -> None:
    x = numbered(*data.draw(SHAPES))
    index = data.draw(arrays.basic_indices(x.array.shape))
    assume(_forward(index))
    part = x[index]
    part.fill_(-1)
    assert (x.array == -1).sum() == part.numel()


@given(st.data())
def test_basic_indices_set_what_numpy_sets(data: st.DataObject) -> None:
    x = numbered(*data.draw(SHAPES))
    expected = x.array.copy()
    index = data.draw(arrays.basic_indices(x.array.shape))
    assume(_forward(index))
    x[index] = 7
    expected[index] = 7
    np.testing.assert_array_equal(x.array, expected)


@given(st.data())
def test_arrays_of_positions_select_what_numpy_selects(data: st.DataObject) -> None:
    x = numbered(*data.draw(SHAPES))
    index = data.draw(arrays.integer_array_indices(x.array.shape))
    np.testing.assert_array_equal(x[tuple(map(tensor, index))].array, x.array[index])


@given(st.data())
def test_arrays_of_positions_set_what_numpy_sets(data: st.DataObject) -> None:
    x = numbered(*data.draw(SHAPES))
    expected = x.array.copy()
    index = data.draw(arrays.integer_array_indices(x.array.shape))
    x[tuple(map(tensor, index))] = -5
    expected[index] = -5
    np.testing.assert_array_equal(x.array, expected)


@given(st.data())
def test_masks_select_and_set_what_numpy_does(data: st.DataObject) -> None:
    x = numbered(*data.draw(SHAPES))
    expected = x.array.copy()
    mask = data.draw(arrays.arrays(bool, x.array.shape[: data.draw(st.integers(1, x.array.ndim))]))
    np.testing.assert_array_equal(x[tensor(mask)].array, expected[mask])
    x[tensor(mask)] = -1
    expected[mask] = -1
    np.testing.assert_array_equal(x.array, expected)


@given(st.data())
def test_slices_beside_arrays_select_what_numpy_selects(data: st.DataObject) -> None:
    x = numbered(*data.draw(arrays.array_shapes(min_dims=2, max_dims=4, max_side=4)))
    items: list[Any] = []
    for size in x.array.shape:
        positions = st.lists(st.integers(-size, size - 1), min_size=2, max_size=2)
        items.append(data.draw(st.one_of(st.just(slice(None)), st.just(slice(0, 1)), positions)))
    if any(isinstance(i, list) for i in items):
        np.testing.assert_array_equal(x[tuple(items)].array, x.array[tuple(items)])


def test_a_number_works_before_an_array_of_positions() -> None:
    x = numbered(2, 3, 4)
    assert x[0, :, [1, 2]].shape == (3, 2)  # NumPy puts the positions first: (2, 3)


@pytest.mark.parametrize(
    ("index", "shape"),
    [
        (..., (2, 3)),
        ((), (2, 3)),
        (None, (1, 2, 3)),
        ((..., 1), (2,)),
        (tensor(1), (3,)),
        (np.int64(1), (3,)),
        (True, (1, 2, 3)),
        (False, (0, 2, 3)),
        ([], (0, 3)),
        ([0, 1, 1], (3, 3)),
        ([True, False], (1, 3)),
        (range(2), (2, 3)),
        ((tensor([[0], [1]]), tensor([0, 2])), (2, 2)),
        ((slice(None), None, [0, 1]), (2, 1, 2)),
        (tensor([1, 0], dtype=tensor([0]).dtype), (2, 3)),
    ],
)
def test_what_may_stand_in_brackets(index: Any, shape: tuple[int, ...]) -> None:
    assert numbered(2, 3)[index].shape == shape


@pytest.mark.parametrize(
    ("index", "error", "text"),
    [
        (2, OutOfRangeError, "index 2 is out of bounds for dim 0 with size 2"),
        ((0, -4), OutOfRangeError, "index -4 is out of bounds for dim 1 with size 3"),
        ([0, 5], OutOfRangeError, "index 5 is out of bounds for dim 0 with size 2"),
        ((0, 0, 0), OutOfRangeError, "too many indices: 3 for a tensor of 2 dims"),
        ((..., ...), OutOfRangeError, "one Ellipsis"),
        (slice(None, None, -1), ShapeError, "greater than zero"),
        ([0.5], DtypeError, "positions of float"),
        ("a", DtypeError, "str cannot be an index"),
        ([True], OutOfRangeError, "mask of shape"),
    ],
)
def test_what_brackets_refuse(index: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        numbered(2, 3)[index]


def test_iteration_ends() -> None:
    assert [row.tolist() for row in numbered(2, 2)] == [[0, 1], [2, 3]]


def test_setting_converts_to_the_dtype_of_the_tensor() -> None:
    x = numbered(3)
    x[0] = 1.9
    assert x.tolist() == [1, 1, 2]


def test_setting_a_part_of_the_wrong_shape_says_both() -> None:
    with pytest.raises(ShapeError, match=r"\(2,\) do not fit the selected part of shape \(3,\)"):
        numbered(2, 3)[0] = tensor([1, 2])


def test_setting_sends_the_gradient_to_the_value() -> None:
    x, value = zeros(2, 3, requires_grad=True), tensor([5.0], requires_grad=True)
    y = x * 2
    y[:, [0, 2]] = value
    y[1:, None, 1] = value
    y.sum().backward()
    assert x.grad is not None and value.grad is not None
    assert (x.grad.tolist(), value.grad.tolist()) == ([[0.0, 2.0, 0.0], [0.0, 0.0, 0.0]], [5.0])


def test_a_repeated_position_collects_its_gradients() -> None:
    x = tensor([1.0, 2.0], requires_grad=True)
    x[[0, 0, 1]].sum().backward()
    assert x.grad is not None and x.grad.tolist() == [2.0, 1.0]


@pytest.mark.parametrize("name", ["gather", "scatter_add"])
def test_positions_along_a_dim_are_checked(name: str) -> None:
    x, index = zeros(2, 3), tensor([[0, 3]])
    with pytest.raises(OutOfRangeError, match="index 3 is out of bounds for dim 1 with size 3"):
        getattr(x, name)(1, index, *([zeros(1, 2)] if name == "scatter_add" else []))


def test_methods_that_pick() -> None:
    x = numbered(2, 3)
    assert x.index_select(1, tensor([2, 0])).tolist() == [[2, 0], [5, 3]]
    assert x.masked_select(tensor([True, False, True])).tolist() == [0, 2, 3, 5]
    assert x.take(tensor([5, 0])).tolist() == [5, 0]
    assert x.take_along_dim(tensor([[2], [0]]), 1).tolist() == [[2], [3]]
    assert x.nonzero().tolist() == [[0, 1], [0, 2], [1, 0], [1, 1], [1, 2]]
    assert [v.tolist() for v in x.nonzero(as_tuple=True)] == [[0, 0, 1, 1, 1], [1, 2, 0, 1, 2]]


def test_methods_that_place() -> None:
    x = zeros(3)
    assert x.index_add(0, tensor([0, 0, 2]), tensor([1.0, 2.0, 3.0]), alpha=2).tolist() == [6.0, 0.0, 6.0]
    assert x.index_copy(0, tensor([1]), tensor([4.0])).tolist() == [0.0, 4.0, 0.0]
    assert x.index_fill(0, tensor([1, 2]), 5).tolist() == [0.0, 5.0, 5.0]
    assert x.masked_scatter(tensor([True, False, True]), tensor([1.0, 2.0, 3.0])).tolist() == [1.0, 0.0, 2.0]
    assert x.scatter_(0, tensor([2]), 9.0).tolist() == x.tolist() == [0.0, 0.0, 9.0]


@pytest.mark.oracle
@pytest.mark.parametrize(
    "index",
    [
        "0, :, [1, 2]",
        "[0, 1], :, [1, 2]",
        "..., [0, 1]",
        "[[0], [1]], [0, 2]",
        ":, [0, 1], 1",
        "1, [0, 1], None, [1, 3]",
        "None, [0, 1]",
        "[0, 1], None, [1, 1]",
        ":, None, [0, 2], 1:3",
        "0, [2], 1",
        "[True, False], 1",
        ":1, [True, False, True]",
    ],
)
def test_mixed_indices_agree_with_torch(index: str) -> None:
    torch = pytest.importorskip("torch")
    ours, theirs = numbered(2, 3, 4), torch.arange(24).reshape(2, 3, 4)
    np.testing.assert_array_equal(eval(f"x[{index}]", {"x": ours}).array, eval(f"x[{index}]", {"x": theirs}).numpy())
