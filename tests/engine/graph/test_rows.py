"""Whether graphs keep the rows of a batch apart: what is said to is put to the test with other rows around."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numserve import engine
from numserve.engine import Tensor, nn
from numserve.engine.dtype import float32
from numserve.engine.graph import Extent, Value, capture, interpret
from numserve.engine.graph.passes import lower
from numserve.engine.graph.rows import Mixed, axis_of, rows_apart
from numserve.engine.nn import functional as F

from .test_random_graphs import IMAGE, ROWS, random_model

Forward = Callable[[Tensor], Tensor]


class Of(nn.Module):
    """A module that calls a function."""

    def __init__(self, forward: Forward) -> None:
        super().__init__()
        self.function = forward

    def forward(self, x: Tensor) -> Tensor:
        """What the function gives."""
        return self.function(x)


WEIGHT = engine.randn(6, 6)
APART: dict[str, Forward] = {
    "elementwise": lambda x: (x.relu() + 1) * x,
    "broadcast": lambda x: x + WEIGHT[0],
    "softmax": lambda x: x.softmax(-1),
    "sum": lambda x: x.sum(1, keepdim=True),
    "flatten": lambda x: x.flatten(1),
    "rows merged": lambda x: (x.reshape(-1, 6) @ WEIGHT).reshape(-1, 4, 6),
    "permute": lambda x: x.permute(2, 0, 1).softmax(0),
    "time first": lambda x: x.transpose(0, 1).cumsum(0),
    "matmul": lambda x: x @ x.transpose(1, 2),
    "linear": lambda x: F.linear(x, WEIGHT),
    "attention": lambda x: F.scaled_dot_product_attention(x, x, x),
    "layer_norm": lambda x: F.layer_norm(x, (6,)),
    "cat": lambda x: engine.cat([x, x], 1),
    "stack": lambda x: engine.stack([x, x], 0),
    "part": lambda x: x[:, 1:],
    "in place": lambda x: _set(x.clone(), 1),
    "in place, rows into rows": lambda x: _copied(x.clone()),
    "pad": lambda x: F.pad(x, (1, 1)),
    "sort": lambda x: x.sort(-1)[0],
    "gather": lambda x: x.gather(2, (x > 0).long()),
    "expand": lambda x: x.unsqueeze(1).expand(-1, 3, -1, -1),
    "conv": lambda x: F.conv1d(x, engine.ones(2, 4, 3)),
}
MIXING: dict[str, Forward] = {
    "divided by how many": lambda x: x / x.shape[0],
    "picked by how many": lambda x: x[:, x.shape[0] - 1],
    "out of a table row by row": lambda x: WEIGHT.gather(1, (x[:, 0] > 0).long()),
    "mean over the batch": lambda x: x - x.mean(0, keepdim=True),
    "softmax over the batch": lambda x: x.softmax(0),
    "sum of all": lambda x: x * x.sum(),
    "flip": lambda x: x.flip(0),
    "roll": lambda x: x.roll(1, 0),
    "running sum": lambda x: x.cumsum(0),
    "count": lambda x: x + engine.arange(x.shape[0]).reshape(-1, 1, 1),
    "all pairs": lambda x: x.flatten(1) @ x.flatten(1).T,
    "cat": lambda x: engine.cat([x, x], 0),
    "sort": lambda x: x.sort(0)[0],
    "first row set": lambda x: _set(x.clone(), 0),
    "batch statistics": lambda x: F.batch_norm(x, None, None, training=True),
    "rows as columns": lambda x: x.transpose(0, 1).reshape(-1, 6).softmax(0),
    "neighbours": lambda x: F.pad(x, (0, 0, 0, 0, 1, -1)),
}


def _set(x: Tensor, dim: int) -> Tensor:
    if dim:
        x[:, 0] = 1
    else:
        x[0] = 1
    return x


def _copied(x: Tensor) -> Tensor:
    x[:, 0] = x[:, 1]
    x[:, :, 2].mul_(2)
    return x


def example(batch: int = 2, shape: tuple[int, ...] = (4, 6)) -> np.ndarray:
    return np.random.default_rng(batch).standard_normal((batch, *shape)).astype(np.float32)


@pytest.mark.parametrize("name", APART)
def test_rows_that_are_apart_do_not_depend_on_each_other(name: str) -> None:
    graph = capture(Of(APART[name]).eval(), Tensor(example()))
    assert rows_apart(graph)
    three = example(3)
    axis = axis_of(graph.outputs[0])
    whole = np.moveaxis(interpret(graph, [three])[0], axis or 0, 0)
    alone = np.moveaxis(interpret(graph, [three[1:2]])[0], axis or 0, 0)
    each = len(alone)
    np.testing.assert_allclose(whole[each : 2 * each], alone, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", MIXING)
def test_rows_that_meet_are_not_taken_for_apart(name: str) -> None:
    graph = capture(Of(MIXING[name]).eval(), Tensor(example()))
    assert graph.polymorphic and not rows_apart(graph)


def test_recurrent_layers_keep_rows_apart() -> None:
    for layer in (nn.LSTM(6, 5), nn.GRU(6, 5, batch_first=True)):
        dims = [0 if layer.batch_first else 1]
        assert rows_apart(capture(layer.eval(), Tensor(example()), dims=dims))


def test_a_graph_without_a_batch_has_no_rows() -> None:
    graph = capture(Of(lambda x: x + 1).eval(), Tensor(example()), dims=[None])
    assert not rows_apart(graph)


def test_an_axis_is_where_the_only_extent_is() -> None:
    n = Extent(1)
    assert axis_of(Value("x", (3, n), float32)) == 1
    assert axis_of(Value("x", (3, 4), float32)) is None
    for shape in ((n, n), (Extent(1, 1),)):
        with pytest.raises(Mixed):
            axis_of(Value("x", shape, float32))


@pytest.mark.parametrize("shape", [IMAGE, ROWS], ids=["image", "rows"])
def test_random_models_keep_rows_apart(shape: tuple[int, ...]) -> None:
    for seed in range(15):
        graph = lower(capture(random_model(shape, seed), Tensor(example(2, shape))))
        assert rows_apart(graph), graph
        three = example(3, shape)
        whole, alone = interpret(graph, [three]), interpret(graph, [three[1:2]])
        for one, other in zip(whole, alone, strict=True):
            np.testing.assert_allclose(one[1:2], other, rtol=1e-4, atol=1e-4 * np.abs(one).max())
