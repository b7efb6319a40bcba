"""Programs written by trace() and save(), read again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numserve.engine import EngineError, FormatError, Tensor, UnsupportedOpError, compile_module, jit, nn, no_grad
from numserve.engine.graph import CaptureError
from numserve.engine.jit.rules import NOT_WRITTEN, RULES
from numserve.engine.ops import PRIMITIVES, lowered

from ..alike import same
from .archives import RESULTS, Nested, nested, path_of


def normal(*size: int) -> Tensor:
    return Tensor(np.random.default_rng(0).standard_normal(size).astype(np.float32))


class Network(nn.Module):
    """A bit of everything: tied parts, a buffer, names that are none in code, several results."""

    def __init__(self) -> None:
        super().__init__()
        self.chain = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.BatchNorm2d(4), nn.ReLU(inplace=True))
        self.head = nn.Linear(4, 4)
        self.tied = self.head
        self.register_buffer("shift", normal(4))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        y = self.chain(x).mean((2, 3))
        y[:, 0] = 1
        return {"first": self.tied(self.head(y)) + self.shift, "second": y.flatten()}


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(3, 4, 2, bidirectional=True, batch_first=True)

    def forward(self, x: Tensor) -> tuple[Any, ...]:
        y, (h, c) = self.lstm(x)
        return y, [h, c]


MODULES = {
    "network": (Network, (2, 3, 8, 8)),
    "recurrent": (Recurrent, (2, 5, 3)),
    "chain": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 4, 3, 2, 1),
            nn.BatchNorm2d(4),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(16, 2),
        ),
        (2, 3, 8, 8),
    ),
    "encoder": (lambda: nn.TransformerEncoderLayer(8, 2, 8, batch_first=True), (2, 5, 8)),
}


@pytest.mark.parametrize("name", MODULES)
def test_a_traced_module_is_saved_and_read_again(name: str, tmp_path: Path) -> None:
    build, size = MODULES[name]
    module = build().eval()

    jit.trace(module, normal(*size)).save(tmp_path / "m.pt")

    again = jit.load(tmp_path / "m.pt")
    assert list(again.state_dict()) == list(module.state_dict())
    more = normal(3, *size[1:])  # another batch than the example
    with no_grad():
        assert same(again(more), module(more))
    assert compile_module(again.eval(), normal(*size)).describe()["mode"] == "plan"


def test_a_trace_shares_the_weights_of_the_module() -> None:
    module = Network().eval()

    traced = jit.trace(module, normal(2, 3, 8, 8))

    assert traced.head.weight is module.head.weight
    assert traced.tied.weight is traced.head.weight
    assert not traced.training


def test_a_module_that_depends_on_values_is_not_traced() -> None:
    class Choosing(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x if x.sum() > 0 else -x

    with pytest.raises(CaptureError, match="data-dependent"):
        jit.trace(Choosing().eval(), normal(2))
    with pytest.raises(CaptureError, match="data-dependent"):
        jit.script(Choosing().eval(), [(normal(2),)])


def test_arguments_by_name_are_traced_too() -> None:
    class Sum(nn.Module):
        def forward(self, x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
            return x * scale + shift

    traced = jit.trace(Sum().eval(), normal(2), example_kwarg_inputs={"shift": normal(2), "scale": normal(2)})

    assert traced(Tensor(np.ones(2)), shift=Tensor(np.ones(2)), scale=Tensor(np.full(2, 3.0))).tolist() == [4, 4]


def test_inputs_may_be_nested(tmp_path: Path) -> None:
    module, (arguments, named) = Nested().eval(), nested()
    wanted = module(*arguments, **named).tolist()

    jit.trace(module, arguments, example_kwarg_inputs=named).save(tmp_path / "m.pt")
    again = jit.load(tmp_path / "m.pt")

    assert wanted == [[2.0 + 3 - 20 + 6] * 3] * 2
    assert again(*arguments, **named).tolist() == wanted
    compiled = compile_module(again, *arguments, named=named)
    assert compiled(*arguments, **named).tolist() == wanted
    assert (compiled.reason, compiled.eager_calls) == ("", 0)


@pytest.mark.parametrize(
    ("argument", "complaint"),
    [
        ([1, normal(2)], "an input is 1; a program that is traced here takes tensors"),
        ([normal(2), (normal(2),)], r"a list of Tensor and Tuple\[Tensor\]; a program's are alike"),
        ({"a": normal(2), "b": [normal(2)]}, r"a dict of List\[Tensor\] and Tensor"),
        ((), "an empty tuple"),
        ({1, 2}, "an input is a set"),
    ],
)
def test_other_inputs_are_not_traced(argument: Any, complaint: str) -> None:
    with pytest.raises(EngineError, match=complaint):
        jit.trace(nn.Identity().eval(), (argument,))


def test_script_needs_an_example() -> None:
    with pytest.raises(EngineError, match="example_inputs"):
        jit.script(Network().eval())

    assert jit.script(jit.script(Network().eval(), [(normal(2, 3, 8, 8),)])).original_name == "Network"


@pytest.mark.parametrize("name", RESULTS)
def test_a_program_that_was_read_can_be_saved(name: str, tmp_path: Path) -> None:
    jit.load(path_of(name)).save(tmp_path / "again.pt")

    again = jit.load(tmp_path / "again.pt")

    with no_grad():
        for args, expected in zip(RESULTS[name]["in"], RESULTS[name]["out"], strict=True):
            assert same(again(*args), expected)


def test_state_is_saved_as_it_is_now(tmp_path: Path) -> None:
    module = jit.load(path_of("stateful"))
    module(normal(2))

    jit.save(module, tmp_path / "m.pt", {"note": "after one call"})

    notes = {"note": b""}
    again = jit.load(tmp_path / "m.pt", map_location="cpu", _extra_files=notes)
    assert notes == {"note": b"after one call"}
    assert (again.k, again.history, again.n.tolist()) == (1, [1], [1])


def test_a_part_alone_is_not_saved(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="whole module"):
        jit.load(path_of("parts")).gate.save(tmp_path / "m.pt")

    assert not list(tmp_path.iterdir())


def test_every_primitive_is_written_or_told_why_not() -> None:
    rows = {name for name, row in PRIMITIVES.items() if row.kernel.__module__ != lowered.__name__}

    assert rows <= RULES.keys() | NOT_WRITTEN.keys()
    assert not RULES.keys() & NOT_WRITTEN.keys()


def test_what_cannot_be_written_is_named_with_its_layer() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.LocalResponseNorm(2)

        def forward(self, x: Tensor) -> Tensor:
            return self.norm(x)

    with pytest.raises(UnsupportedOpError, match=r"local_response_norm \(layer norm\)"):
        jit.trace(Odd().eval(), normal(2, 4, 3, 3))


@pytest.mark.parametrize("name", ["chain", "encoder"])
def test_a_program_runs_by_the_same_plan_as_the_module(name: str, tmp_path: Path) -> None:
    build, size = MODULES[name]
    module = build().eval()
    jit.trace(module, normal(*size)).save(tmp_path / "m.pt")

    mine, again = (compile_module(m, normal(*size)).graph for m in (module, jit.load(tmp_path / "m.pt")))

    assert [node.op for node in mine.nodes] == [node.op for node in again.nodes]
