"""Programs that we write, loaded by torch: whole models, every primitive, archives that were read and saved again."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.oracle, pytest.mark.filterwarnings("ignore")]

from numserve.engine import Tensor, jit, models, nn, no_grad  # noqa: E402  # torch decides whether this is run
from numserve.engine.dtype import of  # noqa: E402
from numserve.engine.graph import Graph, Node, Value, interpret  # noqa: E402
from numserve.engine.jit.rules import NOT_WRITTEN  # noqa: E402
from numserve.engine.jit.tracing import program_of  # noqa: E402
from numserve.engine.ops import PRIMITIVES, lowered  # noqa: E402

from ..alike import same  # noqa: E402
from .archives import RESULTS, Nested, nested, path_of  # noqa: E402

ONE_OF_EACH = {"alexnet", "densenet121", "mobilenet_v2", "resnet18", "resnext50_32x4d", "squeezenet1_0", "vgg11_bn"}
WHOLE = [
    name if name in ONE_OF_EACH else pytest.param(name, marks=pytest.mark.slow)
    for name in filter(str.islower, models.__all__)
]
HERE = {name for name, row in PRIMITIVES.items() if row.kernel.__module__ != lowered.__name__}


def cases() -> dict[str, list[Any]]:
    """The table of cases that all primitives are tested by."""
    folder = Path(__file__).parents[1] / "cases"
    if "primitive_cases" not in sys.modules:
        spec = importlib.util.spec_from_file_location(
            "primitive_cases", folder / "__init__.py", submodule_search_locations=[str(folder)]
        )
        assert spec is not None and spec.loader is not None
        sys.modules["primitive_cases"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules["primitive_cases"])
    return sys.modules["primitive_cases"].CASES  # type: ignore[no-any-return]


CASES = cases()


def loaded(program: jit.ScriptModule, path: Path) -> Any:
    program.save(path)
    return torch.jit.load(path)


def run(program: Any, *inputs: Tensor) -> Any:
    with torch.no_grad():
        return ours(program(*[torch.from_numpy(x.array.copy()) for x in inputs]))


def ours(value: Any) -> Any:
    """A result of torch's as one of the engine's."""
    if isinstance(value, torch.Tensor):
        return Tensor(value.resolve_conj().numpy())
    if isinstance(value, (list, tuple)):
        return [ours(v) for v in value]
    return {k: ours(v) for k, v in value.items()} if isinstance(value, dict) else value


def normal(*size: int) -> Tensor:
    return Tensor(np.random.default_rng(0).standard_normal(size).astype(np.float32))


@pytest.mark.parametrize("name", WHOLE)
def test_torch_loads_a_model_that_was_traced_here(name: str, tmp_path: Path) -> None:
    model = getattr(models, name)().eval()
    for module in model.modules():  # outputs that depend on inputs
        if isinstance(module, nn.BatchNorm2d):
            module.running_var.array[...] = 0.3
    size = 75 if name == "inception_v3" else 64
    x = normal(2, 3, size, size)

    theirs = loaded(jit.trace(model, x), tmp_path / "m.pt")

    assert list(theirs.state_dict()) == list(model.state_dict())
    for inputs in (x, normal(5, 3, size, size)):
        with no_grad():
            expected = model(inputs)
        assert expected.array.std() > 1e-3 * np.abs(expected.array).max()
        assert same(run(theirs, inputs), expected, 1e-4)


class Several(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2)
        self.lstm, self.gru = nn.LSTM(8, 4, 2, bidirectional=True, batch_first=True), nn.GRU(8, 3, batch_first=True)

    def forward(self, x: Tensor) -> dict[str, Any]:
        y = self.encoder(x)
        outputs, (h, c) = self.lstm(y)
        again, last = self.gru(outputs)
        y[:, 0] = 1
        return {"a": [outputs, h], "b": [c, again, last, y.transpose(1, 2).reshape(x.size(0), -1)]}


def test_torch_loads_sequences_and_structures(tmp_path: Path) -> None:
    model = Several().eval()
    theirs = loaded(jit.trace(model, normal(2, 5, 8)), tmp_path / "m.pt")

    for batch in (2, 3):
        with no_grad():
            expected = model(normal(batch, 5, 8))
        assert same(run(theirs, normal(batch, 5, 8)), expected)


def test_torch_takes_nested_inputs(tmp_path: Path) -> None:
    model, (arguments, named) = Nested().eval(), nested()

    theirs = loaded(jit.trace(model, arguments, example_kwarg_inputs=named), tmp_path / "m.pt")

    assert same(ours(theirs(*theirs_of(arguments), **theirs_of(named))), model(*arguments, **named))


@pytest.mark.parametrize("name", RESULTS)
def test_torch_loads_what_was_read_and_saved_again(name: str, tmp_path: Path) -> None:
    program = jit.load(path_of(name))

    theirs = loaded(program, tmp_path / "m.pt")

    for args, expected in zip(RESULTS[name]["in"], RESULTS[name]["out"], strict=True):
        with torch.no_grad():
            assert same(ours(theirs(*theirs_of(args))), expected)


def theirs_of(value: Any) -> Any:
    """Inputs of the engine's as torch's."""
    if isinstance(value, Tensor):
        return torch.from_numpy(value.array.copy())
    if isinstance(value, (list, tuple)):
        return type(value)(theirs_of(v) for v in value)
    return {k: theirs_of(v) for k, v in value.items()} if isinstance(value, dict) else value


def value_of(name: str, array: Any) -> Value:
    return Value(name, array.shape, of(array))


@pytest.mark.parametrize("name", sorted(HERE - NOT_WRITTEN.keys()))
def test_torch_reads_a_primitive_as_it_is_meant(name: str, tmp_path: Path) -> None:
    for number, case in enumerate(CASES[name]):
        operands = [np.asarray(o) if isinstance(o, np.ndarray) else o for o in case.operands]
        inputs = tuple(value_of(f"x{n}", o) for n, o in enumerate(operands) if isinstance(o, np.ndarray))
        if not inputs:
            continue
        given = iter(inputs)
        results = PRIMITIVES[name].run(*operands, **case.attributes)
        results = results if isinstance(results, tuple) else (np.asarray(results),)
        outputs = tuple(value_of(f"y{n}", np.asarray(r)) for n, r in enumerate(results))
        node = Node(
            name, tuple(next(given) if isinstance(o, np.ndarray) else o for o in operands), outputs, case.attributes
        )
        graph = Graph(inputs, outputs, (node,)).validate()
        arrays = [o for o in operands if isinstance(o, np.ndarray)]
        try:
            program = program_of(nn.Module(), graph)
        except NotImplementedError as error:
            assert "cannot be written" in str(error)
            continue

        met = run(loaded(program, tmp_path / f"{number}.pt"), *map(Tensor, arrays))

        mine = program(*map(Tensor, arrays))
        expected = [Tensor(a) for a in interpret(graph, arrays)]
        assert same(met if isinstance(met, list) else [met], expected), case
        assert same(mine if isinstance(mine, tuple) else [mine], expected), case
