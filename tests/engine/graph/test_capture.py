"""Capturing modules: what is recorded is what the module does, for every batch, or it is refused with a reason."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from numserve import engine
from numserve.engine import Tensor, models, nn
from numserve.engine.graph import CaptureError, Extent, Graph, capture, interpret
from numserve.engine.graph.structure import put_together
from numserve.engine.nn import functional as F
from numserve.engine.ops import PRIMITIVES
from numserve.engine.tracing import TRACING

HERE = __file__
Forward = Callable[..., Any]


class Of(nn.Module):
    """A module that calls a function with itself and its inputs."""

    def __init__(self, forward: Forward, **state: Any) -> None:
        super().__init__()
        self.function = forward
        for name, item in state.items():
            if isinstance(item, Tensor):
                self.register_buffer(name, item)
            else:
                setattr(self, name, item)

    def forward(self, *args: Any, **named: Any) -> Any:
        """What the function gives."""
        return self.function(self, *args, **named)


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return Tensor(np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32))


def flat(item: Any) -> list[np.ndarray]:
    if isinstance(item, Tensor):
        return [item.detach().numpy()]
    parts = item.values() if isinstance(item, dict) else item if isinstance(item, (tuple, list)) else ()
    return [array for part in parts for array in flat(part)]


def holds(graph: Graph, module: nn.Module, *inputs: Any) -> None:
    """The graph gives what the module does, in the same structure."""
    with engine.no_grad():
        expected = module(*[i if not isinstance(i, Tensor) else Tensor(i.numpy().copy()) for i in inputs])
    tensors = flat(list(inputs))
    met = put_together(graph.structure, [Tensor(array) for array in interpret(graph, tensors)])
    assert type(met).__name__ == type(expected).__name__
    for one, other in zip(flat(met), flat(expected), strict=True):
        assert one.shape == other.shape and one.dtype == other.dtype
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def holds_for_every_batch(forward: Forward, make: Callable[[int], tuple[Any, ...]], **state: Any) -> Graph:
    """Captured with a batch of two, and compared for others."""
    module = Of(forward, **state).eval()
    graph = capture(module, *make(2))
    assert graph.polymorphic and not graph.note, graph.note
    for batch in (1, 2, 5):
        holds(graph, module, *make(batch))
    return graph


# Whole models


SIZES = {"inception_v3": 80}
SMALL = {"width_mult": 0.35}


@pytest.mark.parametrize(
    "name",
    ["alexnet", "densenet121", "inception_v3", "mobilenet_v2", "resnet18", "resnext50_32x4d", "squeezenet1_1", "vgg11"],
)
def test_the_classics_are_captured_for_every_batch(name: str) -> None:
    options = {"init_weights": False} if name.startswith(("vgg", "inception")) else {}
    module = getattr(models, name)(num_classes=10, **options).eval()
    size = SIZES.get(name, 64)
    graph = capture(module, numbers(1, 3, size, size))
    assert graph.inputs[0].shape == (Extent(1), 3, size, size) and graph.outputs[0].shape == (Extent(1), 10)
    assert graph.note == "" and len(graph.inputs) == 1
    known = dict([*module.named_parameters(), *module.named_buffers()])
    assert {key for key in graph.constants if not key.startswith("constant")} <= known.keys()
    assert graph.nodes[0].layer.startswith(("conv", "features", "Conv2d"))
    holds(graph, module, numbers(3, 3, size, size))


@pytest.mark.parametrize("batch_first", [True, False])
def test_encoders_are_captured(batch_first: bool) -> None:
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=batch_first)
    module = nn.TransformerEncoder(layer, 2).eval()
    shape = (lambda batch: (batch, 5, 16)) if batch_first else (lambda batch: (5, batch, 16))
    graph = capture(module, numbers(*shape(2)), dims=[0 if batch_first else 1])
    for batch in (1, 3):
        holds(graph, module, numbers(*shape(batch)))
    assert any(node.layer.startswith("layers.1.self_attn") for node in graph.nodes)


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_recurrent_layers_are_captured(kind: type[nn.Module], bidirectional: bool) -> None:
    module = kind(3, 4, 2, batch_first=True, bidirectional=bidirectional).eval()
    graph = capture(module, numbers(2, 6, 3))
    for batch in (1, 4):
        holds(graph, module, numbers(batch, 6, 3))


# Inputs and results


class Out(NamedTuple):
    """A named tuple."""

    logits: Tensor
    hidden: list[Tensor]


RESULTS: dict[str, Callable[[Tensor], Any]] = {
    "tensor": lambda x: x + 1,
    "tuple of one": lambda x: (x + 1,),
    "dict": lambda x: {"a": x * 2, "b": {"c": [x, x - 1]}},
    "named tuple": lambda x: Out(x, [x * 2]),
    "with constants": lambda x: (x, None, 3, "text", True, 1.5),
    "the input": lambda x: x,
    "the same twice": lambda x: (y := x + 1, y),
}


@pytest.mark.parametrize("name", RESULTS)
def test_results_keep_their_structure(name: str) -> None:
    holds_for_every_batch(lambda _, x: RESULTS[name](x), lambda n: (numbers(n, 3),))


def test_a_result_that_is_no_tensor_is_refused() -> None:
    with pytest.raises(CaptureError, match="the module gives ndarray: expected tensors"):
        capture(Of(lambda _, x: np.zeros(3)).eval(), numbers(2, 3))


def test_inputs_are_called_by_their_parameters_and_may_be_nested() -> None:
    class Several(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mask = nn.Parameter(numbers(3))

        def forward(self, x: Tensor, pair: Any, *, mask: Tensor, scale: float = 1.0) -> Tensor:
            return x * mask * scale + pair[0] - pair[1]["b"] + self.mask

    module = Several().eval()
    example = [numbers(2, 3, seed=i) for i in range(4)]
    graph = capture(module, example[0], (example[1], {"b": example[2]}), named={"mask": example[3], "scale": 3.0})
    assert [value.name for value in graph.inputs] == ["x", "pair", "pair_1", "mask_1"]
    arrays = [numbers(5, 3, seed=i).numpy() for i in range(4)]
    expected = module(
        Tensor(arrays[0]), (Tensor(arrays[1]), {"b": Tensor(arrays[2])}), mask=Tensor(arrays[3]), scale=3.0
    )
    np.testing.assert_allclose(interpret(graph, arrays)[0], expected.detach().numpy(), rtol=1e-5, atol=1e-6)


def test_two_inputs_have_one_batch_and_others_have_none() -> None:
    module = Of(lambda _, x, y, w: x @ w + y).eval()
    graph = capture(module, numbers(2, 3), numbers(2, 4), numbers(3, 4))
    assert [str(v.shape) for v in graph.inputs] == ["(N, 3)", "(N, 4)", "(3, 4)"]
    holds(graph, module, numbers(5, 3), numbers(5, 4), numbers(3, 4))


def test_examples_of_different_batches_are_refused() -> None:
    with pytest.raises(CaptureError, match="batches of 2 and 3; expected one size"):
        capture(Of(lambda _, x, y: x).eval(), numbers(2, 3), numbers(3, 3), dims=[0, 0])


def test_the_batch_may_be_any_dim() -> None:
    module = Of(lambda _, x: x.sum(0)).eval()
    graph = capture(module, numbers(4, 2, 3), dims=[1])
    assert graph.inputs[0].shape == (4, Extent(1), 3) and graph.outputs[0].shape == (Extent(1), 3)
    holds(graph, module, numbers(4, 7, 3))


def test_integer_inputs_stay_within_their_range() -> None:
    table = numbers(10, 4)
    graph = holds_for_every_batch(
        lambda m, ids: F.embedding(ids, m.table), lambda n: (engine.arange(n * 3).reshape(n, 3) % 10,), table=table
    )
    assert graph.inputs[0].dtype is engine.int64


def test_bools_and_doubles_are_inputs_too() -> None:
    holds_for_every_batch(
        lambda _, x, keep: x.masked_fill(~keep, -math.inf).softmax(-1),
        lambda n: (Tensor(np.random.default_rng(n).standard_normal((n, 4))), Tensor(np.ones((n, 4), bool))),
    )


# Sizes that follow the batch


SIZED: dict[str, Forward] = {
    "view": lambda _, x: x.view(x.shape[0], -1),
    "view of all": lambda _, x: x.view(-1, 4) + x.reshape(x.size(0) * 3, 4),
    "zeros": lambda _, x: engine.cat([engine.zeros(x.shape[0], 1, 4), x], 1),
    "arange": lambda _, x: x + engine.arange(x.shape[0]).view(-1, 1, 1),
    "arange backwards": lambda _, x: x * engine.arange(10, 10 - 2 * x.shape[0], -2).view(-1, 1, 1),
    "expand": lambda m, x: engine.cat([m.token.expand(x.shape[0], -1, -1), x], 1),
    "eye": lambda _, x: (x.flatten(1) @ x.flatten(1).t()) / x.shape[0],
    "a number": lambda _, x: x * x.shape[0],
    "repeat": lambda _, x: x.mean(1, keepdim=True).repeat(1, 2, 1),
    "one less": lambda _, x: engine.cat([x[1:], x[:1]], 0),
    "split": lambda _, x: engine.cat(x.split(2, 1)[::-1], 1),
    "chunks": lambda _, x: sum(engine.unbind(x, 1)),
    "einsum": lambda _, x: engine.einsum("nij,nkj->nik", x, x),
    "length": lambda _, x: x.sum() / len(x),
    "new_zeros": lambda _, x: x.new_zeros(x.shape[0], 2),
    "full_like": lambda _, x: engine.full_like(x, 2) + x,
}


@pytest.mark.parametrize("name", SIZED)
def test_sizes_follow_the_batch(name: str) -> None:
    holds_for_every_batch(SIZED[name], lambda n: (numbers(n, 3, 4),), token=numbers(1, 1, 4))


def test_what_is_for_one_batch_alone_says_why() -> None:
    module = Of(lambda _, x: x + engine.eye(x.shape[0])).eval()
    graph = capture(module, numbers(3, 3))
    assert not graph.polymorphic and graph.note.startswith("for a batch of 3 alone: ")
    holds(graph, module, numbers(3, 3, seed=5))


def test_a_module_that_takes_one_batch_only_is_captured_for_it() -> None:
    module = Of(lambda m, x: x + m.grid, grid=numbers(4, 3)).eval()
    graph = capture(module, numbers(4, 3))
    assert graph.note.startswith("for a batch of 4 alone: ") and "sizes" in graph.note
    holds(graph, module, numbers(4, 3, seed=1))


def test_without_a_batch_the_note_says_so() -> None:
    assert capture(Of(lambda _, x: x + 1).eval(), numbers(3), dims=[None]).note == (
        "for a batch of 1 alone: no input has a dim for it"
    )


def test_another_way_for_larger_batches_leaves_the_example_s_alone() -> None:
    module = Of(lambda _, x: x * 2 if x.shape[0] > 1 else x + 1).eval()
    graph = capture(module, numbers(1, 3))
    assert "two runs took different ways: add" in graph.note
    holds(graph, module, numbers(1, 3, seed=2))


# Changes in place


def _assign(_: Any, x: Tensor) -> Tensor:
    x = x + 0
    x[:, 0] = 1
    x[:, 1:, ::2] = x[:, :1, ::2] * 3
    return x


def _through_a_view(_: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    x = x + 0
    flat = x.view(-1)
    flat.add_(1)
    x.mul_(2)
    return x, flat


def _through_many_views(_: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    x = x + 0
    part = x.permute(2, 0, 1)[1:].transpose(0, 1)
    part[:, 0].clamp_(min=0)
    part += 1
    return x, part


def _relu_in_place(_: Any, x: Tensor) -> Tensor:
    y = F.relu(x * 1, inplace=True)
    F.relu_(y)
    return nn.ReLU(True)(y) + y


def _changed_while_kept(_: Any, x: Tensor) -> tuple[Tensor, ...]:
    before = x + 1
    after = before.clone()
    alias = before.detach()
    before.zero_()
    return before, after, alias, x


def _input_changed(_: Any, x: Tensor) -> Tensor:
    y = x * 2
    x.fill_(3)
    return y + x


def _accumulated(_: Any, x: Tensor) -> Tensor:
    total = engine.zeros(x.shape[0], 4)
    for step in range(3):
        total += x[:, step]
    return total


def _buffer_of_results(_: Any, x: Tensor) -> Tensor:
    out = engine.empty(x.shape[0], 3, 4)
    for step in range(3):
        out[:, step] = x[:, step] * step
    return out


def _masked(_: Any, x: Tensor) -> Tensor:
    x = x + 0
    x[x < 0] = 0.5
    x[x.sum(-1) > 0] = -1
    return x


def _written_where_convolutions_are_flat(m: Any, x: Tensor) -> Tensor:
    y = F.conv1d(x, m.weight.expand(40, -1, -1))
    y.flatten(1).add_(1)
    return y


def _swapped(_: Any, x: Tensor) -> Tensor:
    a, b = (x + 0).chunk(2, -1)
    a.copy_(b)
    return a * b


CHANGES = [
    _assign, _through_a_view, _through_many_views, _relu_in_place, _changed_while_kept, _input_changed, _accumulated,
    _buffer_of_results, _masked, _swapped, _written_where_convolutions_are_flat,
]  # fmt: skip


@pytest.mark.parametrize("forward", CHANGES, ids=lambda f: f.__name__.strip("_"))
def test_changes_in_place_are_recorded_as_what_they_amount_to(forward: Forward) -> None:
    holds_for_every_batch(forward, lambda n: (numbers(n, 3, 4),), weight=numbers(1, 3, 2))


def test_expensive_operations_run_once_for_all_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    batches = []
    conv = PRIMITIVES["conv"].kernel
    monkeypatch.setattr(
        PRIMITIVES["conv"], "kernel", lambda x, *rest, **how: batches.append(len(x)) or conv(x, *rest, **how)
    )
    capture(nn.Conv2d(3, 8, 3).eval(), numbers(1, 3, 40, 40))
    assert batches == [1, 1]  # once recorded, once compared


def test_capture_leaves_examples_and_module_as_they_were() -> None:
    module, x = Of(_input_changed).eval(), numbers(2, 3, 4)
    before = x.numpy().copy()
    capture(module, x)
    np.testing.assert_array_equal(x.numpy(), before)
    assert TRACING.watcher is None and not module._forward_hooks


# What is refused


def _count_calls(m: Any, x: Tensor) -> Tensor:
    m.calls += 1
    return x + m.calls


def _choose(_: Any, x: Tensor) -> Tensor:
    if x.sum() > 0:
        return x
    return -x


def _dropped(_: Any, x: Tensor) -> Tensor:
    return F.dropout(x, 0.5, training=True)


def _past_the_engine(_: Any, x: Tensor) -> Tensor:
    return Tensor(np.tanh(x.array)) + x


def _written_past_the_engine(_: Any, x: Tensor) -> Tensor:
    y = x + 0
    y.array[...] = np.tanh(y.array)
    return y + 1


def _switched(m: Any, x: Tensor) -> Tensor:
    m.on = not m.on
    return x * 2 if m.on else x + 2


REFUSED: dict[str, tuple[Forward, str]] = {
    "if": (_choose, "data-dependent control flow: item()"),
    "int": (lambda _, x: x * int(x[0, 0]), "item() of a value"),
    "float": (lambda _, x: x * float(x.max()), "item() of a value"),
    "tolist": (lambda _, x: x + x.tolist()[0][0], "tolist() of a value"),
    "numpy": (lambda _, x: Tensor(np.tanh(x.numpy())), "numpy() of a value"),
    "numpy's function": (lambda _, x: Tensor(np.tanh(x)), "numpy() of a value"),
    "while": (lambda _, x: [x := x * 2 for _ in range(9) if (x < 9).all()][-1], "item()"),
    "mask": (lambda _, x: x[x > 0], "indexing by a mask of a value"),
    "mask of nothing": (lambda _, x: x[x > 1e9].sum() + x, "indexing by a mask of a value"),
    "masked_select": (lambda _, x: x.masked_select(x > 0), "indexing by a mask of a value"),
    "nonzero": (lambda _, x: x.nonzero(), "what nonzero() gives depends on values"),
    "unique": (lambda _, x: x.unique(), "what unique() gives depends on values"),
    "index": (lambda _, x: x[:, x.argmax()], "an index of a value"),
    "range": (lambda _, x: engine.arange(x.argmax()) + x, "item()"),
    "repeat_interleave": (lambda _, x: x.repeat_interleave((x[0] > 0).long(), 1), "repeat_interleave() of a value"),
    "allclose": (lambda _, x: x if x.allclose(x * 2) else x + 1, "allclose() of a value"),
    "equal": (lambda _, x: x if x.equal(x * 2) else x + 1, "equal() of a value"),
    "tensor": (lambda _, x: engine.tensor(x) + 1, "tensor() of a value"),
    "one_hot": (lambda _, x: F.one_hot((x > 0).long()), "what one_hot() gives depends on values"),
    "random": (lambda _, x: x + engine.rand(3), "the module draws random numbers"),
    "dropout": (_dropped, "the module draws random numbers"),
    "an own generator": (lambda m, x: x + engine.rand(3, generator=m.dice), "its values differ between runs"),
    "past the engine": (_past_the_engine, "computed past the engine"),
    "written past the engine": (_written_past_the_engine, "it computes past the engine"),
    "its own state": (lambda m, x: x + m.total.add_(1), "the module changes 'total', which it keeps, in place"),
    "its own count": (_count_calls, "add at"),
    "its own switch": (_switched, "two runs took different ways"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_depends_on_values_is_refused_with_the_reason_and_the_line(name: str) -> None:
    forward, reason = REFUSED[name]
    module = Of(forward, total=numbers(3), calls=0, on=False, dice=engine.Generator()).eval()
    with pytest.raises(CaptureError, match=re.escape(reason)) as refusal:
        capture(module, engine.ones(2, 3))
    if not reason.endswith(("random numbers", "it computes past the engine")):
        assert re.search(rf"{re.escape(HERE)}:\d+", str(refusal.value))
    assert TRACING.watcher is None


def test_a_refusal_names_the_layer() -> None:
    module = nn.Sequential(nn.Linear(3, 3), nn.Sequential(nn.ReLU(), Of(_choose))).eval()
    line = _choose.__code__.co_firstlineno + 1
    with pytest.raises(CaptureError, match=rf"test_capture\.py:{line} \(layer 1\.1\)"):
        capture(module, numbers(2, 3))


def test_a_refusal_that_the_module_swallows_is_not_lost() -> None:
    def careful(_: Any, x: Tensor) -> Tensor:
        try:
            return x if x.sum() > 0 else -x
        except Exception:
            return x

    with pytest.raises(CaptureError, match="data-dependent"):
        capture(Of(careful).eval(), numbers(2, 3))


def test_training_mode_and_no_tensors_are_refused() -> None:
    with pytest.raises(CaptureError, match=r"call \.eval\(\) first"):
        capture(nn.ReLU(), numbers(2, 3))
    with pytest.raises(CaptureError, match="at least one tensor"):
        capture(nn.ReLU().eval(), 3)


def test_arguments_that_do_not_fit_are_refused() -> None:
    with pytest.raises(CaptureError, match=r"do not fit ReLU\.forward\(\)"):
        capture(nn.ReLU().eval(), numbers(2, 3), numbers(2, 3))


def test_what_the_module_raises_is_raised() -> None:
    with pytest.raises(engine.ShapeError):
        capture(nn.Linear(3, 4).eval(), numbers(2, 5))


def test_values_of_the_module_s_own_state_may_be_read() -> None:
    def scaled(m: Any, x: Tensor) -> Tensor:
        return x * m.scale.item() if m.scale > 1 else x

    holds_for_every_batch(scaled, lambda n: (numbers(n, 3),), scale=engine.tensor(2.0))


def test_hooks_are_part_of_the_module() -> None:
    module = nn.Sequential(nn.Linear(3, 3)).eval()
    module[0].register_forward_hook(lambda layer, args, result: result * 2)
    holds(capture(module, numbers(2, 3)), module, numbers(4, 3))


def test_layers_used_twice_are_the_same_constants() -> None:
    layer = nn.Linear(3, 3)
    graph = capture(nn.Sequential(layer, nn.ReLU(), layer).eval(), numbers(2, 3))
    assert sorted(graph.constants) == ["0.bias", "0.weight"]
