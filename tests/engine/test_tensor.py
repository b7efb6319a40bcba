"""Tensors: memory, printing, numbers, and methods that are made of others."""

import copy
import math
import pickle

import numpy as np
import numserve.engine as engine
import pytest
from numserve.engine import DeviceError, DtypeError, Generator, ShapeError, Size, Tensor, arange, ones, tensor, zeros


def test_a_tensor_wraps_its_array() -> None:
    array = np.zeros(3)
    x = Tensor(array)
    x[0] = 5
    assert x.array is array and x.numpy() is array and array[0] == 5


def test_views_share_memory() -> None:
    x = arange(6)
    for view in (x.view(2, 3), x.reshape(3, 2).T, x[1:], x.unsqueeze(0), x.expand(2, 6), x.detach(), x.unfold(0, 2, 2)):
        assert np.shares_memory(view.array, x.array)
    x.view(2, 3)[1] = 0
    assert x.tolist() == [0, 1, 2, 0, 0, 0]


def test_shape_is_a_size() -> None:
    x = ones(2, 3)
    assert isinstance(x.shape, tuple) and x.size() == (2, 3) and x.size(-1) == 3
    assert repr(x.shape) == "Size([2, 3])" and x.shape.numel() == x.numel() == x.nelement() == 6
    assert (x.dim(), x.ndim, x.element_size(), x.nbytes, x.stride(), x.stride(0)) == (2, 2, 4, 24, (3, 1), 3)


def test_one_element_is_a_number() -> None:
    x = tensor([2.5])
    assert (x.item(), float(x), int(x), bool(x), f"{x:.1f}") == (2.5, 2.5, 2, True, "2.5")
    assert [10, 20, 30][tensor(1)] == 20 and round(math.sqrt(tensor(4.0)), 3) == 2.0


def test_several_elements_are_not() -> None:
    with pytest.raises(ShapeError, match=r"item: a tensor of shape \(2,\) has 2 elements"):
        bool(ones(2))
    with pytest.raises(DtypeError, match="only integer tensors can be an index"):
        [1][tensor(0.0)]


@pytest.mark.parametrize(
    ("x", "text"),
    [
        (tensor([1.0, 2.5]), "tensor([1.0000, 2.5000])"),
        (tensor([1.0, 2.0]), "tensor([1., 2.])"),
        (tensor([[1, 2], [3, 4]]), "tensor([[1, 2],\n        [3, 4]])"),
        (tensor(True), "tensor(True)"),
        (tensor([1.0], dtype=engine.float64), "tensor([1.], dtype=numserve.float64)"),
        (tensor([1.0], requires_grad=True), "tensor([1.], requires_grad=True)"),
        (tensor([1.0], requires_grad=True) * 2, "tensor([2.], grad_fn=<mul backward>)"),
        (zeros(0), "tensor([])"),
    ],
)
def test_printing(x: Tensor, text: str) -> None:
    assert repr(x) == text


def test_arithmetic_with_numbers_and_arrays_on_both_sides() -> None:
    x = tensor([1.0, 2.0])
    assert (1 - x).tolist() == [0.0, -1.0] and (2 / x).tolist() == [2.0, 1.0] and (2**x).tolist() == [2.0, 4.0]
    assert (5 // x).tolist() == [5.0, 2.0] and (5 % x).tolist() == [0.0, 1.0]
    both = (np.array([1.0, 1.0], np.float32) + x, x + np.array([1.0, 1.0], np.float32))
    assert all(isinstance(b, Tensor) and b.tolist() == [2.0, 3.0] for b in both)
    assert (np.eye(2, dtype=np.float32) @ x).tolist() == [1.0, 2.0]


def test_operators_of_logic_and_bits() -> None:
    a, b = tensor([True, False]), tensor([True, True])
    assert (a & b).tolist() == (a ^ ~b).tolist() == [True, False]
    assert (a | b).tolist() == [True, True] and (~a).tolist() == [False, True]
    assert (tensor([1, 2]) << 2).tolist() == [4, 8] and (tensor([8]) >> 1).tolist() == [4]
    a |= b
    assert a.tolist() == [True, True]


def test_comparison_with_other_things_is_false() -> None:
    x = tensor([1.0])
    assert (x == None) is False and (x != "a") is True and x in [x]  # noqa: E711


def test_tensors_are_keys_by_identity() -> None:
    x, y = ones(2), ones(2)
    assert len({x, y, x}) == 2


def test_augmented_operators_change_the_memory() -> None:
    x = tensor([4.0, 9.0])
    same = x
    x += 1
    x -= 1
    x *= 2
    x /= 4
    x **= 2
    x //= 2
    x %= 5
    assert same is x and same.tolist() == [2.0, 0.0]


@pytest.mark.parametrize(
    "name",
    ["abs", "ceil", "cos", "exp", "floor", "log1p", "neg", "reciprocal", "relu", "round", "rsqrt", "sigmoid", "sign",
     "sin", "sqrt", "square", "tanh", "trunc", "erf", "expm1", "frac", "log", "log2", "log10", "tan", "erfc", "exp2"],
)  # fmt: skip
def test_the_in_place_form_gives_the_same(name: str) -> None:
    x = tensor([0.3, 1.7])
    expected = getattr(x, name)()
    assert getattr(x, f"{name}_")() is x and x.equal(expected)


def test_in_place_forms_with_operands() -> None:
    x = tensor([1.0, 2.0, 3.0])
    x.add_(1, alpha=2).sub_(1).mul_(2).div_(2).clamp_(2.5, 3.5).lerp_(zeros(3), 0.5)
    assert x.tolist() == [1.25, 1.5, 1.75]
    x.addcmul_(ones(3), ones(3), value=2).addcdiv_(ones(3), tensor(2.0)).masked_fill_(x > 4, 0).fmod_(3)
    assert x.tolist() == [0.75, 1.0, 0.0]
    assert x.copy_(tensor([7])).tolist() == [7.0] * 3 and x.zero_().tolist() == [0.0] * 3


def test_conversion_keeps_the_tensor_where_nothing_changes() -> None:
    x = ones(2)
    assert x.to("cpu") is x.to(engine.float32) is x.float() is x.cpu() is x.to(x) is x
    assert x.to("cpu", engine.float64).dtype.name == "float64" and x.to(dtype=engine.int64).tolist() == [1, 1]
    assert x.to(engine.float32, copy=True) is not x
    assert x.type_as(tensor([1])).dtype.name == "int64" and x.type() == "float32"


@pytest.mark.parametrize("action", [lambda x: x.cuda(), lambda x: x.to("cuda:0"), lambda x: zeros(1, device="mps")])
def test_other_devices_are_refused(action) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(DeviceError, match="on the CPU alone"):
        action(ones(1))


def test_devices_compare_and_print() -> None:
    x = ones(1)
    assert x.device == engine.device("cpu") and str(x.device) == "cpu" and repr(x.device) == "device(type='cpu')"
    assert engine.device("cuda", 1) == engine.device("cuda:1") and not x.is_cuda and x.get_device() == -1


def test_deep_copies_are_independent() -> None:
    x = tensor([1.0], requires_grad=True)
    y = copy.deepcopy(x)
    with engine.no_grad():
        y.add_(1)
    assert (x.tolist(), y.tolist(), y.requires_grad) == ([1.0], [2.0], True)


def test_tensors_are_not_pickled() -> None:
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(ones(1))


def test_numpy_takes_tensors() -> None:
    x = tensor([1.0, 4.0])
    assert (
        np.asarray(x) is x.array and np.sqrt(x).tolist() == [1.0, 2.0] and np.asarray(x, np.float64).dtype == np.float64
    )


def test_max_and_min_in_their_three_forms() -> None:
    x = tensor([[1.0, 5.0], [7.0, 2.0]])
    assert x.max().item() == 7.0 and x.max(x.T).tolist() == [[1.0, 7.0], [7.0, 2.0]]
    values, indices = x.max(dim=1)
    assert values.tolist() == [5.0, 7.0] and indices.tolist() == [1, 0]
    assert x.min(0, keepdim=True).values.tolist() == [[1.0, 2.0]]


def test_shapes_arranged_by_methods() -> None:
    x = arange(24).reshape(2, 3, 4)
    assert x.flatten(1).shape == (2, 12) and x.unflatten(2, (2, -1)).shape == (2, 3, 2, 2) and x.ravel().shape == (24,)
    assert x.movedim(0, -1).shape == (3, 4, 2) and x.transpose(0, 2).shape == x.T.shape == (4, 3, 2)
    assert x.mT.shape == (2, 4, 3) and x[0].t().shape == (4, 3) and x[0].H.shape == (4, 3)
    assert (
        x[:1].squeeze().shape == (3, 4)
        and x[:1].squeeze(1).shape == (1, 3, 4)
        and x.unsqueeze(-1).shape == (2, 3, 4, 1)
    )
    assert x.view_as(zeros(6, 4)).shape == x.reshape_as(zeros(6, 4)).shape == (6, 4)
    assert (
        x[:, :, :1].expand_as(x).shape == (2, 3, 4)
        and x.tile(2).shape == (2, 3, 8)
        and x.repeat(2, 1, 1).shape == (4, 3, 4)
    )
    assert x.select(1, 0).equal(x[:, 0]) and x.narrow(2, 1, 2).equal(x[..., 1:3])


def test_parts_of_a_tensor() -> None:
    x = arange(7)
    assert [len(p) for p in x.split(3)] == [3, 3, 1] and [len(p) for p in x.split([2, 5])] == [2, 5]
    assert [len(p) for p in x.chunk(3)] == [3, 3, 1] and [len(p) for p in x.tensor_split(3)] == [3, 2, 2]
    assert [len(p) for p in x.tensor_split((1, 4))] == [1, 3, 3] and [int(p) for p in x.unbind()] == list(range(7))


def test_repetition_turning_and_diagonals() -> None:
    x = tensor([[1, 2], [3, 4]])
    assert x.repeat_interleave(2).tolist() == [1, 1, 2, 2, 3, 3, 4, 4]
    assert x.repeat_interleave(tensor([1, 2]), 0).tolist() == [[1, 2], [3, 4], [3, 4]]
    assert x.rot90().tolist() == [[2, 4], [1, 3]] and x.fliplr().tolist() == [[2, 1], [4, 3]]
    assert x.diag().tolist() == [1, 4] and tensor([1, 2]).diag(1).tolist() == [[0, 1, 0], [0, 0, 2], [0, 0, 0]]
    assert x.trace().item() == 5


def test_memory_in_order() -> None:
    x = ones(2, 3)
    assert x.contiguous() is x and not x.T.is_contiguous() and x.T.contiguous().is_contiguous()


def test_statistics_made_of_others() -> None:
    x = tensor([[1.0, math.nan], [3.0, 4.0]])
    assert x.nansum().item() == 8.0 and x.nanmean(1).tolist() == [1.0, 3.5] and x.count_nonzero().item() == 4
    y = tensor([4.0, 1.0, 3.0, 2.0])
    assert y.median().item() == 2.0 and y.quantile(0.5).item() == 2.5 and y.aminmax()[1].item() == 4.0
    assert y.argsort(descending=True).tolist() == [0, 2, 3, 1] and y.msort().tolist() == [1.0, 2.0, 3.0, 4.0]
    assert y.norm().item() == pytest.approx(math.sqrt(30)) and y.std(correction=0).item() == pytest.approx(
        math.sqrt(1.25)
    )


def test_numpys_spelling_of_dims() -> None:
    x = tensor([[1.0, 2.0], [3.0, 4.0]])
    assert x.sum(axis=1, keepdims=True).tolist() == [[3.0], [7.0]] and engine.max(x, axis=0).values.tolist() == [
        3.0,
        4.0,
    ]
    assert np.sum(x).item() == 10.0 and np.mean(x, axis=0).tolist() == [2.0, 3.0] and np.argmax(x) == 3


def test_a_number_has_a_dim_to_reduce() -> None:
    x = tensor(3.0)
    assert x.sum(0).item() == x.mean(-1).item() == x.max(0).values.item() == x.std(0, correction=0).item() + 3 == 3.0
    assert x.argmax(0).item() == x.softmax(0).item() - 1 == x.sort().indices.item() == 0


@pytest.mark.parametrize(
    "action", [lambda x: x.sum(2), lambda x: x.softmax(-3), lambda x: x.transpose(0, 2), lambda x: x.size(5)]
)
def test_a_dim_that_is_not_there(action) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(engine.OutOfRangeError, match=r"dim -?\d"):
        action(ones(2, 2))


def test_unique_in_its_forms() -> None:
    x = tensor([2, 1, 1, 2])
    assert x.unique().tolist() == [1, 2]
    assert [t.tolist() for t in x.unique(return_inverse=True, return_counts=True)] == [[1, 2], [1, 0, 0, 1], [2, 2]]
    assert [t.tolist() for t in x.unique_consecutive(return_counts=True)] == [[2, 1, 2], [1, 2, 1]]


def test_products() -> None:
    a, b, v = ones(2, 3), ones(3, 2), ones(3)
    assert a.mm(b).tolist() == [[3.0, 3.0], [3.0, 3.0]] and a.mv(v).tolist() == [3.0, 3.0] and v.dot(v).item() == 3.0
    assert ones(2, 2).addmm(a, b, beta=2, alpha=0.5).tolist() == [[3.5, 3.5], [3.5, 3.5]]
    assert v.outer(v[:2]).shape == (3, 2) and ones(2).addmv(a, v).tolist() == [4.0, 4.0]
    assert (
        ones(5, 2, 2).baddbmm(ones(5, 2, 3), ones(5, 3, 2)).shape == ones(5, 2, 3).bmm(ones(5, 3, 2)).shape == (5, 2, 2)
    )


def test_new_tensors_take_the_dtype() -> None:
    x = tensor([1], dtype=engine.int16)
    for new in (x.new_zeros(2), x.new_ones((2,)), x.new_full((2,), 3), x.new_tensor([1, 2]), x.new_empty(2)):
        assert new.shape == (2,) and new.dtype.name == "int16"


def test_random_numbers_in_place() -> None:
    x = zeros(1000)
    assert abs(x.normal_(5, 0.1).mean().item() - 5) < 0.05 and 0 <= x.uniform_(0, 2).min().item() < x.max().item() < 2
    assert set(x.bernoulli_(0.5).tolist()) == {0.0, 1.0} and set(x.random_(3).tolist()) == {0.0, 1.0, 2.0}
    one, other = (zeros(5).normal_(generator=Generator().manual_seed(3)) for _ in range(2))
    assert one.equal(other) and (x.exponential_(2).array >= 0).all()


def test_size_is_a_plain_tuple_to_others() -> None:
    assert Size([1, 2]) == (1, 2) and Size((2, 3)) + (4,) == (2, 3, 4)
