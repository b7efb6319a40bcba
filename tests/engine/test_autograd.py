"""History: what is recorded, how it is walked back, and what stands in its way."""

import gc
import threading
import weakref

import numpy as np
import pytest
from numserve.engine import (
    DtypeError,
    EngineError,
    GradientError,
    ShapeError,
    Tensor,
    cat,
    enable_grad,
    inference_mode,
    is_grad_enabled,
    no_grad,
    ones,
    set_grad_enabled,
    tensor,
    zeros,
)


def leaf(*numbers: float) -> Tensor:
    return tensor(list(numbers), requires_grad=True)


def gradient(x: Tensor) -> list[float]:
    assert x.grad is not None
    return x.grad.tolist()


def test_an_operand_used_twice_gets_both_shares() -> None:
    x = leaf(2.0, 3.0)
    (x * x + x).sum().backward()
    assert gradient(x) == [5.0, 7.0]


def test_gradients_add_up_over_backward_passes() -> None:
    x = leaf(1.0)
    (x * 2).backward()
    (x * 3).backward()
    assert gradient(x) == [5.0]


def test_broadcasting_is_summed_back() -> None:
    x, bias = ones(2, 3, requires_grad=True), zeros(3, requires_grad=True)
    (x * 2 + bias).sum().backward()
    assert gradient(bias) == [2.0, 2.0, 2.0]
    assert x.grad is not None and x.grad.shape == (2, 3)


def test_the_gradient_has_the_dtype_of_its_tensor() -> None:
    x = leaf(1.0)
    (x.double() * tensor([2.0]).double()).sum().backward()
    assert x.grad is not None and x.grad.dtype.name == "float32"


def test_integers_take_no_part() -> None:
    x = leaf(1.0, 2.0)
    y = x * tensor([3, 4])
    assert y.requires_grad and not (x > 1).requires_grad and not x.argmax().requires_grad
    y.sum().backward()
    assert gradient(x) == [3.0, 4.0]


def test_an_unused_output_is_no_obstacle() -> None:
    x = leaf(3.0, 1.0, 2.0)
    values, indices = x.sort()
    assert values.requires_grad and not indices.requires_grad
    values[0].backward()
    assert gradient(x) == [0.0, 1.0, 0.0]


def test_views_pass_gradients_to_their_base() -> None:
    x = leaf(1.0, 2.0, 3.0, 4.0)
    (x.view(2, 2).T[0] * tensor([10.0, 20.0])).sum().backward()
    assert gradient(x) == [10.0, 0.0, 20.0, 0.0]


def test_a_gradient_for_the_root_may_be_given() -> None:
    x = leaf(1.0, 2.0)
    (x * 2).backward(tensor([1.0, 10.0]))
    assert gradient(x) == [2.0, 20.0]


def test_backward_asks_for_a_gradient_where_one_is_needed() -> None:
    x = leaf(1.0, 2.0)
    with pytest.raises(GradientError, match=r"shape \(2,\) needs a gradient"):
        (x * 2).backward()
    with pytest.raises(ShapeError, match=r"\(3,\) is not the tensor's \(2,\)"):
        (x * 2).backward(ones(3))


def test_backward_needs_history() -> None:
    with pytest.raises(GradientError, match="no history"):
        tensor(1.0).backward()


def test_history_is_walked_once_unless_retained() -> None:
    x = leaf(2.0)
    y = x.exp().sum()
    y.backward(retain_graph=True)
    y.backward()
    with pytest.raises(GradientError, match="freed by an earlier backward"):
        y.backward()


def test_what_the_rules_kept_is_freed_after_backward() -> None:
    x = leaf(2.0)
    middle = x * 3
    kept = weakref.ref(middle.array)
    y = middle.square().sum()
    del middle
    assert kept() is not None
    y.backward()
    assert kept() is None


def test_nothing_is_recorded_without_gradients() -> None:
    x = ones(1000)
    first = weakref.ref((y := x * 2).array)
    y = y + 1
    assert first() is None and y.node is None


def test_a_long_history_is_walked_and_freed() -> None:
    x = leaf(0.0)
    y = x
    for _ in range(20_000):
        y = y + 1
    y.sum().backward()
    assert gradient(x) == [1.0]
    del y
    gc.collect()


def test_modes_switch_recording_and_nest() -> None:
    x = leaf(1.0)
    with no_grad():
        assert not (x * 2).requires_grad
        with enable_grad():
            assert (x * 2).requires_grad
        assert not is_grad_enabled()
    assert is_grad_enabled()
    with inference_mode():
        assert not is_grad_enabled()
    with set_grad_enabled(False):
        assert not is_grad_enabled()
    assert is_grad_enabled()


def test_a_mode_decorates_a_function() -> None:
    @no_grad()
    def double(x: Tensor) -> Tensor:
        return x * 2

    assert not double(leaf(1.0)).requires_grad and double.__name__ == "double"


def test_the_mode_is_each_threads_own() -> None:
    seen = []
    with no_grad():
        thread = threading.Thread(target=lambda: seen.append(is_grad_enabled()))
        thread.start()
        thread.join()
    assert seen == [True]


def test_a_leaf_is_changed_in_place_only_without_gradients() -> None:
    x = leaf(1.0)
    with pytest.raises(GradientError, match="do it under no_grad"):
        x.add_(1)
    with pytest.raises(GradientError):
        x.view(1).zero_()
    with no_grad():
        x.add_(1)
    assert x.tolist() == [2.0] and x.requires_grad


def test_a_change_in_place_of_what_a_rule_needs_is_noticed() -> None:
    x = leaf(2.0)
    y = x * 1
    z = y.square()
    y.add_(1)
    with pytest.raises(GradientError, match="square: a tensor that its gradient needs was changed"):
        z.sum().backward()


def test_a_change_through_a_view_is_noticed_too() -> None:
    x = leaf(2.0, 3.0)
    y = x * 1
    z = y.square()
    y[:1].zero_()
    with pytest.raises(GradientError, match="changed in place"):
        z.sum().backward()


def test_a_change_of_what_no_rule_needs_is_fine() -> None:
    x = leaf(2.0)
    y = x * 3
    z = y + 1
    y.mul_(10)
    (z + y).sum().backward()
    assert gradient(x) == [33.0]


def test_in_place_operations_continue_history() -> None:
    x = leaf(2.0)
    y = x * 1
    y.pow_(3).mul_(y).sigmoid_().neg_()
    y.sum().backward()
    s = 1 / (1 + np.exp(-64.0))
    assert gradient(x) == pytest.approx([-s * (1 - s) * 6 * 32], abs=1e-9)


def test_a_change_through_a_view_continues_the_history_of_its_base() -> None:
    x = leaf(1.0, 2.0, 3.0)
    y = x * 2
    y[1:].mul_(5)
    (y * tensor([1.0, 2.0, 3.0])).sum().backward()
    assert gradient(x) == [2.0, 20.0, 30.0]


def test_other_views_follow() -> None:
    x = leaf(1.0, 2.0)
    y = x * 2
    column, first = y.view(2, 1), y[:1]
    first.mul_(5)
    column.sum().backward()
    assert gradient(x) == [10.0, 2.0]


def test_a_plain_buffer_takes_on_history() -> None:
    x = leaf(1.0, 2.0)
    table = zeros(2, 2)
    row = table[0]
    table[0].copy_(x)
    table.mul_(3)
    assert table.requires_grad
    (table + row).sum().backward()
    assert gradient(x) == [9.0, 9.0]


def test_augmented_assignment_to_a_part_records() -> None:
    x = leaf(1.0, 2.0)
    y = x * 1
    y[0] *= 4
    y.sum().backward()
    assert gradient(x) == [4.0, 1.0]


def test_filling_ends_the_flow() -> None:
    x = leaf(1.0, 2.0)
    y = x * 2
    y.fill_(3)
    y.sum().backward()
    assert gradient(x) == [0.0, 0.0]


def test_in_place_keeps_shape_and_category() -> None:
    with pytest.raises(ShapeError, match=r"in place: the result's shape \(2, 3\) is not \(3,\)"):
        zeros(3).add_(zeros(2, 3))
    with pytest.raises(DtypeError, match="float32 cannot be kept in int64"):
        tensor([1]).add_(0.5)
    assert tensor([1.0]).add_(tensor([1], dtype=tensor(0).dtype)).dtype.name == "float32"


def test_memory_that_stands_for_many_elements_is_not_changed() -> None:
    with pytest.raises(EngineError, match=r"\.clone\(\) it"):
        zeros(1).expand(3).add_(1)


def test_detach_shares_memory_and_forgets() -> None:
    x = leaf(1.0)
    y = (x * 2).detach()
    assert not y.requires_grad and y.is_leaf
    x.detach().fill_(7)
    assert x.tolist() == [7.0]


def test_retained_gradients_of_results() -> None:
    x = leaf(3.0)
    y = x * 2
    y.retain_grad()
    (y * y).sum().backward()
    assert gradient(y) == [12.0] and gradient(x) == [24.0]


def test_a_hook_sees_and_replaces_a_gradient() -> None:
    x, seen = leaf(3.0), []
    y = x * 2

    def halve(g: Tensor) -> Tensor:
        seen.append(g.tolist())
        return g / 2

    y.register_hook(halve)
    (y * 10).sum().backward()
    assert seen == [[10.0]] and gradient(x) == [10.0]


def test_only_floating_leaves_ask_for_gradients() -> None:
    with pytest.raises(GradientError, match="int64"):
        tensor([1], requires_grad=True)
    with pytest.raises(GradientError, match="only a leaf"):
        (leaf(1.0) * 2).requires_grad_(False)


def test_a_tensor_with_history_has_no_plain_array() -> None:
    with pytest.raises(GradientError, match=r"\.detach\(\)\.numpy\(\)"):
        leaf(1.0).numpy()


@pytest.mark.oracle
def test_a_small_network_agrees_with_torch() -> None:
    torch = pytest.importorskip("torch")
    random = np.random.default_rng(3)
    data = [random.normal(size=s) for s in ((5, 4), (6, 4), (6,), (3, 6))]

    def loss(m, x, w, b, v):  # type: ignore[no-untyped-def]
        h = (x @ w.T + b).tanh()
        h = m.cat([h[:, :3] * 2, h[:, 3:].exp()], 1)
        h = h / h.norm(dim=1, keepdim=True) if m is torch else h / h.norm(2, 1, True)
        z = (h @ v.T).log_softmax(-1) * 1
        z[0] = z[0] * 3
        return -z[[0, 1, 2, 3, 4], [0, 1, 2, 1, 0]].mean() + w.var() + z.max(1)[0].sum()

    class Ours:
        cat = staticmethod(cat)

    ours = [Tensor(d, requires_grad=True) for d in data]
    theirs = [torch.tensor(d, requires_grad=True) for d in data]
    loss(Ours, *ours).backward()
    loss(torch, *theirs).backward()
    for a, b in zip(ours, theirs, strict=True):
        assert a.grad is not None
        np.testing.assert_allclose(a.grad.array, b.grad.numpy(), rtol=1e-9, atol=1e-12)
