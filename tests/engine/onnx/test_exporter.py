"""Files that export() writes, read again by our own reader; the oracle tests ask others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numserve.engine import EngineError, Tensor, nn
from numserve.engine.dtype import of
from numserve.engine.errors import MissingOperatorsError, UnsupportedOpError
from numserve.engine.graph import CaptureError, Graph, GraphModule, Node, Value, interpret
from numserve.engine.onnx import export, load
from numserve.engine.onnx.exporting import RULES

from ..cases import CASES
from .made import graph_of

ROWS = [
    pytest.param(name, case, id=f"{name}-{n}") for name in sorted(RULES) for n, case in enumerate(CASES.get(name, []))
]


class Network(nn.Module):
    """Most of what networks have."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 4, 3, 2, 1), nn.BatchNorm2d(4), nn.GELU(), nn.MaxPool2d(2, ceil_mode=True)
        )
        self.norm, self.head = nn.LayerNorm(4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Any:
        x = self.stem(x)
        tokens = self.norm(x.flatten(2).transpose(1, 2))
        return self.head(tokens).softmax(-1), tokens[:, 0], x.mean((2, 3))


def pictures(batch: int = 2) -> Tensor:
    return Tensor(np.random.default_rng(batch).standard_normal((batch, 3, 10, 8)).astype(np.float32))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "network.onnx"


def test_what_is_written_gives_the_same_for_every_batch(path: Path) -> None:
    network = Network().eval()

    export(network, pictures(), path)

    again = load(path)
    for batch in (1, 2, 5):
        for met, wanted in zip(again(pictures(batch)), network(pictures(batch)), strict=True):
            np.testing.assert_allclose(met.array, wanted.detach().array, rtol=1e-4, atol=1e-5)


def test_weights_keep_their_names(path: Path) -> None:
    network = Network().eval()

    export(network, pictures(), path)

    assert {"stem.0.weight", "stem.1.running_mean", "norm.weight", "head.bias"} <= load(path).state_dict().keys()


def test_weights_are_mapped_where_vectors_can_read_them(path: Path) -> None:
    export(Network().eval(), pictures(), path)

    arrays = [t.array for t in load(path).state_dict().values() if t.array.nbytes >= 64]

    assert arrays and not any(a.flags.owndata or a.__array_interface__["data"][0] % 64 for a in arrays)


def test_the_batch_has_a_name_or_is_fixed(path: Path) -> None:
    export(Network().eval(), pictures(), path)
    assert load(path).inputs[0].dims == ("batch", 3, 10, 8)

    export(Network().eval(), pictures(), path, dynamic_batch=False)
    assert load(path).inputs[0].dims == (2, 3, 10, 8)


def test_inputs_and_outputs_are_called_what_one_likes(path: Path) -> None:
    export(Network().eval(), pictures(), path, input_names=["pictures"], output_names=["a", "b", "head.bias"])

    again = load(path)

    assert [i.name for i in again.inputs] == ["pictures"]
    assert [o.name for o in again.outputs] == ["a", "b", "head.bias"]
    assert again(pictures=pictures())[2].shape == (2, 4)
    with pytest.raises(EngineError, match="2 names"):
        export(Network().eval(), pictures(), path, input_names=["a", "b"])


def test_several_inputs_are_a_tuple(path: Path) -> None:
    class Sum(nn.Module):
        def forward(self, a: Tensor, b: Tensor) -> Tensor:
            return a + 2 * b

    x, y = (Tensor(np.full((2, 3), n, np.float32)) for n in (1, 2))

    export(Sum().eval(), (x, y), path)

    assert load(path)(x, y).array.tolist() == [[5, 5, 5]] * 2


def test_outputs_that_are_inputs_or_said_twice_have_names_of_their_own(path: Path) -> None:
    class Same(nn.Module):
        def forward(self, x: Tensor) -> Any:
            y = x + 1
            return x, y, y

    export(Same().eval(), pictures(), path)

    assert len({o.name for o in load(path).outputs} | {"x"}) == 4
    assert np.array_equal(load(path)(pictures())[0].array, pictures().array)


def test_everything_without_a_counterpart_is_named_and_nothing_written(path: Path) -> None:
    x = Value("x", (2, 3), of(np.empty(0, np.float32)))
    nodes, value = [], x
    for n, op in enumerate(("erfinv", "relu", "erfc", "erfinv")):
        made = Value(f"v{n}", x.shape, x.dtype)
        nodes.append(Node(op, (value,), (made,), {}, f"layer{n}"))
        value = made
    module = GraphModule(Graph((x,), (value,), tuple(nodes)))

    with pytest.raises(MissingOperatorsError, match=r"erfinv \(layer layer0\); erfc \(layer layer2\)$"):
        export(module, Tensor(np.ones((2, 3), np.float32)), path, dynamic_batch=False)
    assert not path.exists()


def test_a_module_that_is_for_one_batch_says_so(path: Path) -> None:
    x = Tensor(np.ones((2, 3), np.float32))
    made = GraphModule(Graph(*_doubled()))

    with pytest.raises(CaptureError, match="dynamic_batch=False"):
        export(made, x, path)
    export(made, x, path, dynamic_batch=False)
    assert load(path)(x).array.tolist() == [[2, 2, 2]] * 2


def _doubled() -> tuple[Any, ...]:
    x, y = (Value(name, (2, 3), of(np.empty(0, np.float32))) for name in "xy")
    return (x,), (y,), (Node("mul", (x, 2.0), (y,)),)


def test_a_file_that_was_read_can_be_written_again(path: Path, tmp_path: Path) -> None:
    export(Network().eval(), pictures(), path)

    export(load(path), pictures(), tmp_path / "again.onnx")

    for met, wanted in zip(load(tmp_path / "again.onnx")(pictures(3)), load(path)(pictures(3)), strict=True):
        np.testing.assert_allclose(met.array, wanted.array, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("name", "case"), ROWS)
def test_every_rule_is_read_as_its_primitive(name: str, case: Any, path: Path) -> None:
    graph, arrays = graph_of(name, case)
    if not arrays or any(a.dtype.kind == "c" for a in arrays):
        return
    try:
        export(GraphModule(graph), tuple(map(Tensor, arrays)), path, dynamic_batch=False)
    except UnsupportedOpError:
        return

    met = load(path)(*map(Tensor, arrays))

    for one, wanted in zip(met if isinstance(met, tuple) else (met,), interpret(graph, arrays), strict=True):
        assert one.array.dtype == wanted.dtype
        np.testing.assert_allclose(one.array, wanted, rtol=1e-4, atol=1e-5)
