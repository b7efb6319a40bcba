"""Graphs as files: what comes back, and what is refused of files that are damaged or made to do harm."""

from __future__ import annotations

import copy
import json
import math
import random
import time
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numserve import engine
from numserve.engine import FormatError, Tensor, nn
from numserve.engine.dtype import bfloat16, float32, float64
from numserve.engine.graph import Extent, Graph, Node, Value, capture, interpret
from numserve.engine.graph.passes import lower
from numserve.engine.graph.store import load, save
from numserve.engine.ops import PRIMITIVES

Content = dict[str, Any]
N = Extent(1)


class Net(nn.Module):
    """A convolution, a view written to, and a result in parts."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.head = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Any:
        """A dict."""
        x = self.norm(self.conv(x)).relu()
        x[:, 0] = -math.inf
        x[:, :, 1:].clamp_(min=0.5)
        return {"logits": self.head(x.clamp(max=3).mean((2, 3))), "parts": (x.flatten(2), None)}


@pytest.fixture(scope="module")
def graph() -> Graph:
    return capture(Net().eval(), Tensor(example()))


def example(batch: int = 2) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((batch, 3, 6, 6)).astype(np.float32)


def same(met: Graph, graph: Graph) -> None:
    assert str(met) == str(graph)
    assert (met.inputs, met.outputs, met.structure, met.note) == (
        graph.inputs, graph.outputs, graph.structure, graph.note
    )  # fmt: skip
    assert met.nodes == graph.nodes
    assert met.constants.keys() == graph.constants.keys()
    for name, array in graph.constants.items():
        assert met.constants[name].dtype == array.dtype
        np.testing.assert_array_equal(met.constants[name], array)


def test_a_graph_comes_back_as_it_was(graph: Graph, tmp_path: Path) -> None:
    for one in (graph, lower(graph)):
        save(one, tmp_path / "net.graph")
        met = load(tmp_path / "net.graph")
        same(met, one)
        for array, expected in zip(interpret(met, [example()]), interpret(one, [example()]), strict=True):
            np.testing.assert_array_equal(array, expected)


def test_all_kinds_of_operands_and_attributes_come_back(tmp_path: Path) -> None:
    x, y, z = Value("x", (N, 4), float32), Value("y", (N, 2), float64), Value("z", (N, 2), bfloat16)
    nodes = (
        Node("getitem", (x,), (Value("part", (N, 2), float32),), {"index": (slice(None), slice(0, None, 2))}, "a.b"),
        Node("cast", (Value("part", (N, 2), float32),), (y,), {"dtype": float64}),
        Node("add", (y, Extent(2, 1)), (Value("sum", (N, 2), float64),), {}),
        Node("clamp", (Value("sum", (N, 2), float64),), (Value("most", (N, 2), float64),), {"min": -math.inf}),
        Node("mul", (Value("most", (N, 2), float64), 1 - 2j), (Value("turned", (N, 2), float64),), {}),
        Node(
            "place", (x, y), (Value("placed", (N, 4), float32),),
            {"view": PRIMITIVES["getitem"], "how": {"index": [True, None, math.nan, "text"]}},
        ),
        Node("overwrite", (y, None), (z,), {}),
    )  # fmt: skip
    save(Graph((x,), (z,), nodes, {}, None, "a note"), tmp_path / "net.graph")
    met = load(tmp_path / "net.graph")
    assert [repr(n) for n in met.nodes] == [repr(n) for n in nodes]  # repr, as nan is not itself
    assert met.nodes[0].attributes["index"] == (slice(None), slice(0, None, 2)) and met.note == "a note"


def test_constants_are_mapped_and_those_of_one_array_are_stored_once(tmp_path: Path) -> None:
    table = np.arange(60_000, dtype=np.float32).reshape(300, 200)
    constants = {"a": table, "b": table, "turned": table.T, "one": np.array(3), "none": np.zeros((0, 2), np.bool_)}
    save(Graph((), tuple(Value(n, a.shape, engine.Tensor(a).dtype) for n, a in constants.items()), (), constants),
         tmp_path / "net.graph")  # fmt: skip
    assert (tmp_path / "net.graph").stat().st_size < 2.2 * table.nbytes
    tracemalloc.start()
    met = load(tmp_path / "net.graph")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < table.nbytes
    for name, array in constants.items():
        np.testing.assert_array_equal(met.constants[name], array)
        assert met.constants[name].ctypes.data % 64 == 0 or not array.size
    assert met.constants["a"].ctypes.data == met.constants["b"].ctypes.data


def test_what_cannot_be_written_is_refused_before_a_file_is_there(tmp_path: Path) -> None:
    x = Value("x", (1,), float32)
    with pytest.raises(FormatError, match="a graph with a set in it"):
        save(Graph((x,), (x,), (Node("relu", (x,), (Value("y", (1,), float32),), {"odd": {1}}),)), tmp_path / "net")
    assert not list(tmp_path.iterdir())


def test_engine_load_gives_a_module_that_runs_the_graph(graph: Graph, tmp_path: Path) -> None:
    save(graph, tmp_path / "net.graph")
    module = engine.load(tmp_path / "net.graph")
    met = module(Tensor(example(3)))
    expected = interpret(graph, [example(3)])
    np.testing.assert_array_equal(met["logits"].numpy(), expected[0])
    assert met["parts"][1] is None


# Files that are not what they should be


@pytest.fixture
def content(graph: Graph, tmp_path: Path) -> Content:
    """The JSON of a good file."""
    save(graph, tmp_path / "good.graph")
    with zipfile.ZipFile(tmp_path / "good.graph") as archive:
        found: Content = json.loads(archive.read("graph/graph.json"))
    return found


Rewrite = Callable[[Any], Path]


@pytest.fixture
def rewritten(content: Content, tmp_path: Path) -> Rewrite:
    """A file like the good one, with other JSON (or text)."""
    with zipfile.ZipFile(tmp_path / "good.graph") as good:
        records = {name: good.read(name) for name in good.namelist()}

    def write(changed: Any) -> Path:
        path = tmp_path / "changed.graph"
        with zipfile.ZipFile(path, "w") as archive:
            for name, raw in records.items():
                text = changed if isinstance(changed, (str, bytes)) else json.dumps(changed)
                archive.writestr(name, text if name.endswith("graph.json") else raw)
        return path

    return write


def node_of(content: Content, op: str) -> Content:
    return next(node for node in content["nodes"] if node["op"] == op)


def rename_operations(content: Content) -> None:
    content["nodes"][1]["op"], content["nodes"][2]["op"] = "cluster", "aggregate"


REFUSED: dict[str, Callable[[Content], Any]] = {
    r"operations that are not there: 'aggregate', 'cluster'": rename_operations,
    "version 7; this one reads version 1": lambda c: c.update(version=7),
    "without format": lambda c: c.update(format="onnx"),
    "does not hold exactly": lambda c: c.pop("note"),
    "a node that does not hold exactly": lambda c: c["nodes"][0].update(extra=1),
    "'x' is there twice": lambda c: c["inputs"].append(c["inputs"][0]),
    "'nothing' is read before anything makes it": lambda c: c["outputs"].append("nothing"),
    "constant 'conv.weight' of 864 bytes": lambda c: c["constants"][0][0].__setitem__(2, [9, 3, 3, 3]),
    "no record 'constants/99'": lambda c: c["constants"][0].__setitem__(1, 99),
    "has no place": lambda c: c["constants"][0].__setitem__(1, "../../etc/passwd"),
    "dtype 'object'": lambda c: c["constants"][0][0].__setitem__(1, "object"),
    "a size of -1": lambda c: c["inputs"][0].__setitem__(2, [-1]),
    "list of at most 64 sizes": lambda c: c["inputs"][0].__setitem__(2, [1] * 65),
    "does not grow with it": lambda c: c["inputs"][0].__setitem__(2, [[0, 1]]),
    "relu of .* gives": lambda c: node_of(c, "relu")["outputs"][0].__setitem__(2, [[1, 0], 8, 6, 7]),
    "conv is given what it does not take: .*'color'": lambda c: node_of(c, "conv")["attributes"].update(color=1),
    "relu is given what it does not take": lambda c: node_of(c, "relu")["inputs"].append(1),
    "operand that is neither value nor number": lambda c: node_of(c, "relu")["inputs"].__setitem__(0, "text"),
    "unknown kind 'exec'": lambda c: node_of(c, "conv")["attributes"].update(stride={"exec": "print()"}),
    "names the operation 'system'": lambda c: node_of(c, "place")["attributes"].update(view={"primitive": "system"}),
    "nested more than 100 deep": lambda c: node_of(c, "conv")["attributes"].update(stride=nested(200)),
    "the result holds output 7 of 2": lambda c: c.update(structure={"output": 7}),
    "unknown kind 'named:import os'": lambda c: c.update(structure={"named:import os": {}}),
    "fields without names": lambda c: c.update(structure={"named:Out": {"__class__": {"output": 0}}}),
}  # fmt: skip


def nested(depth: int) -> Any:
    item: Any = 1
    for _ in range(depth):
        item = [item]
    return item


@pytest.mark.parametrize("message", REFUSED)
def test_a_file_with_something_wrong_is_refused_by_name(message: str, content: Content, rewritten: Rewrite) -> None:
    REFUSED[message](content)
    path = rewritten(content)
    with pytest.raises(FormatError, match=message) as refusal:
        load(path)
    assert str(path) in str(refusal.value)


@pytest.mark.parametrize("text", ["", "[1, 2", "[]", "null", '{"a": NaN}', "[" * 100_000, b"\xff\xfe"])
def test_json_that_is_none_is_refused(text: str | bytes, rewritten: Rewrite) -> None:
    with pytest.raises(FormatError, match=r"graph\.json"):
        load(rewritten(text))


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("graph")
    engine.save({"weight": engine.ones(2)}, tmp_path / "weights.pth")
    for name, message in {"text": "directory", "weights.pth": "it does not hold a graph", "none": "none"}.items():
        with pytest.raises(FormatError, match=message):
            load(tmp_path / name)


ATOMS = [
    None, True, 0, -1, 1, 3, 1 << 31, 1 << 62, 1 << 70, 1e308, 0.5, "", "x", "relu", "conv", "../x", "float32", [], {},
    [1], {"value": "x"}, {"tuple": []}, {"float": "nan"}, {"extent": [1 << 40, 5]}, {"slice": [None, None, None]},
    {"dict": {"a": 1}}, {"primitive": "conv"}, [["x", "float32", [1]], 0], ["x", "float32", [[1, 0], 1 << 40]],
]  # fmt: skip


def places(item: Any) -> Iterator[tuple[Any, Any]]:
    """Every container of the JSON with every key in it."""
    keys = item if isinstance(item, dict) else range(len(item)) if isinstance(item, list) else ()
    for key in keys:
        yield item, key
        yield from places(item[key])


def changed_json(content: Content, chance: random.Random) -> Content:
    """One to three places hold something else, another place's content, or nothing."""
    changed = copy.deepcopy(content)
    for _ in range(chance.randrange(1, 4)):
        spots = list(places(changed))
        (home, key), (other, there) = chance.choice(spots), chance.choice(spots)
        if chance.random() < 0.15:
            del home[key]
        else:
            home[key] = copy.deepcopy(chance.choice(ATOMS) if chance.random() < 0.6 else other[there])
    return changed


def outcome(path: Path) -> bool:
    """Whether it loads; nothing but a FormatError may come instead."""
    try:
        load(path)
    except FormatError as error:
        assert str(error).isprintable()
        return False
    return True


@pytest.mark.parametrize("seed", range(3))
def test_json_changed_at_random_loads_or_is_refused(seed: int, content: Content, rewritten: Rewrite) -> None:
    chance, start = random.Random(seed), time.perf_counter()
    loaded = sum(outcome(rewritten(changed_json(content, chance))) for _ in range(500))
    assert loaded < 150
    assert time.perf_counter() - start < 60


def test_what_is_refused_takes_no_memory_first(content: Content, rewritten: Rewrite) -> None:
    chance = random.Random(3)
    tracemalloc.start()
    for _ in range(100):
        outcome(rewritten(changed_json(content, chance)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 << 20


def test_bytes_changed_at_random_load_or_are_refused(content: Content, tmp_path: Path) -> None:
    whole, chance = (tmp_path / "good.graph").read_bytes(), random.Random(4)
    path = tmp_path / "changed.graph"
    for number in range(400):
        raw = bytearray(whole)
        if number % 3:
            raw[chance.randrange(len(raw))] ^= 1 << chance.randrange(8)
        else:
            del raw[chance.randrange(len(raw)) :]
        path.write_bytes(raw or b"P")
        outcome(path)
