"""ONNX files made to do harm: each is refused in one sentence; nothing is read beside, written, or allocated for it."""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numserve.engine import EngineError, FormatError, Tensor
from numserve.engine.graph import CaptureError
from numserve.engine.onnx import load, read, records, running
from numserve.engine.onnx.wire import Message

from .made import graph, info, loaded, model, node

X = info("x", 1, ["N", 3])
ADD = [node("Add", ["x", "w"], ["y"])]
LARGE = 50_000_000


def external(location: str, **entries: str) -> Message:
    """A tensor of three floats in another file."""
    tensor = Message().integer(1, 3).integer(2, 1).text(8, "w")
    for key, value in {"location": location, **entries}.items():
        tensor.message(13, Message().text(1, key).text(2, value))
    return tensor.integer(14, 1)


def written(folder: Path, tensor: Message) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(model(graph(ADD, [X], raw=[tensor])))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model's folder with data inside, beside a secret that is outside of it."""
    inside = tmp_path / "inside"
    (inside / "sub").mkdir(parents=True)
    data = np.ones(4, np.float32).tobytes()
    for place in (inside / "data", inside / "sub" / "data", tmp_path / "secret"):
        place.write_bytes(data)
    return inside


@pytest.mark.parametrize(("location", "entries"), [("data", {}), ("sub/data", {"offset": "4", "length": "12"})])
def test_data_inside_the_folder_is_read(folder: Path, location: str, entries: dict[str, str]) -> None:
    length = {"length": "12"}

    module = load(written(folder, external(location, **{**length, **entries})))

    assert module(Tensor(np.zeros((1, 3), np.float32))).array.tolist() == [[1, 1, 1]]


@pytest.mark.parametrize(
    "location",
    [
        "../secret",
        "sub/../../secret",
        "/etc/passwd",
        "sub/../data",
        "..",
        ".",
        "",
        "a\\..\\secret",
        "data\0",
        "sub",
        "no",
    ],
)
def test_data_elsewhere_is_not(folder: Path, location: str) -> None:
    with pytest.raises(FormatError, match="external data"):
        load(written(folder, external(location)))


def test_an_absolute_path_into_the_folder_is_refused_as_well(folder: Path) -> None:
    with pytest.raises(FormatError, match="not inside"):
        load(written(folder, external(str(folder / "data"))))


@pytest.mark.parametrize("make", [
    lambda at, secret: at.symlink_to(secret),
    lambda at, secret: os.link(secret, at),
    lambda at, _: os.mkfifo(at),
    lambda at, _: at.mkdir(),
    lambda at, _: at.write_bytes(b""),
], ids=["symlink", "hardlink", "fifo", "folder", "empty"])  # fmt: skip
def test_only_plain_files_are_data(folder: Path, make: Callable[[Path, Path], None]) -> None:
    make(folder / "odd", folder.parent / "secret")

    with pytest.raises(FormatError, match="external data"):
        load(written(folder, external("odd")))


def test_a_folder_that_is_a_link_is_not_followed(folder: Path) -> None:
    (folder / "link").symlink_to(folder / "sub")

    with pytest.raises(FormatError, match="cannot be read"):
        load(written(folder, external("link/data")))


@pytest.mark.parametrize("entries", [
    {"length": str(1 << 62)}, {"offset": "8"}, {"offset": "-4"}, {"length": "0x10"}, {"offset": "9" * 30},
    {"__class__": "os"}, {"length": "8"},
], ids=str)  # fmt: skip
def test_places_in_the_data_must_be_there(folder: Path, entries: dict[str, str]) -> None:
    with pytest.raises(FormatError):
        load(written(folder, external("data", **entries)))


def test_a_model_in_memory_has_no_files_beside_it() -> None:
    with pytest.raises(FormatError, match="not read from a folder"):
        loaded(graph(ADD, [X], raw=[external("data")]))


def tensor(dims: list[int], kind: int = 1, raw: bytes | None = None) -> Message:
    message = Message().integers(1, dims).integer(2, kind).text(8, "w")
    return message if raw is None else message.data(9, raw)


@pytest.mark.parametrize("made", [
    tensor([1 << 40, 1 << 40], raw=b"1234"),
    tensor([1 << 62], raw=b""),
    tensor([-1], raw=b"1234"),
    tensor([3]),
    tensor([3], raw=b"12345678"),
    tensor([2], kind=99, raw=b"12345678"),
    tensor([0, 1 << 62], raw=b""),
    tensor([1] * 65, raw=b"1234"),
    tensor([2], kind=8, raw=b"12"),
    tensor([1 << 60], kind=22, raw=b"1"),
])  # fmt: skip
def test_tensors_hold_what_they_say(made: Message) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(FormatError):
            loaded(graph(ADD, [X], raw=[made]))
        assert tracemalloc.get_traced_memory()[1] < LARGE
    finally:
        tracemalloc.stop()


def test_graphs_in_graphs_end_somewhere() -> None:
    inner = graph([node("Identity", ["x"], ["y"])])
    for _ in range(200):
        inner = graph([node("If", ["c"], ["y"], then_branch=inner, else_branch=graph([]))])

    with pytest.raises(FormatError, match="more than 32 deep"):
        loaded(inner)


def test_functions_that_call_themselves_end_somewhere() -> None:
    call = node("Again", ["a"], ["b"], "mine")
    function = Message().text(1, "Again").text(4, "a").text(5, "b").message(7, call).text(10, "mine")
    module = loaded(graph([node("Again", ["x"], ["y"], "mine")], [X]), functions=[function], mine=1)

    with pytest.raises(FormatError, match="deep"):
        module(Tensor(np.ones((1, 3), np.float32)))


def test_nodes_without_end_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "MESSAGES", 1000)
    nodes = b"\x0a\x00" * 2000
    content = Message().data(7, nodes)
    data = b"".join(map(bytes, Message().integer(1, 8).parts())) + b"".join(map(bytes, content.parts()))

    with pytest.raises(FormatError, match="more than 1000"):
        read(memoryview(data))


def sized(op: str, *numbers: int, **attributes: object) -> list[Message]:
    return [node(op, ["x", "sizes"], ["a"], **attributes), node("Add", ["a", "x"], ["y"])]


@pytest.mark.parametrize("nodes", [
    [node("ConstantOfShape", ["sizes"], ["a"]), node("Exp", ["a"], ["b"]), node("Add", ["x", "b"], ["y"])],
    [node("Tile", ["w", "sizes"], ["a"]), node("Add", ["x", "a"], ["y"])],
    [node("Range", ["zero", "most", "one"], ["a"]), node("Add", ["x", "a"], ["y"])],
    [node("Expand", ["w", "sizes"], ["a"]), node("Exp", ["a"], ["b"]), node("Add", ["x", "b"], ["y"])],
], ids=["fill", "tile", "range", "expand"])  # fmt: skip
def test_constants_out_of_proportion_are_not_made(nodes: list[Message]) -> None:
    weights = {
        "sizes": np.array([1 << 20, 1 << 20, 3]), "w": np.ones((1, 1, 3), np.float32), "zero": np.array(0),
        "most": np.array(1 << 50), "one": np.array(1),
    }  # fmt: skip
    module = loaded(graph(nodes, [X], weights=weights))

    tracemalloc.start()
    try:
        with pytest.raises(EngineError):
            module.graph_for(Tensor(np.ones((2, 3), np.float32)))
        assert tracemalloc.get_traced_memory()[1] < LARGE
    finally:
        tracemalloc.stop()


def test_an_endless_loop_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "MOST_RECORDED", 1000)
    monkeypatch.setattr(running, "MOST_STEPS", 2000)
    body = graph(
        [node("Identity", ["c"], ["d"]), node("Neg", ["v"], ["w"])],
        [info("i", 7, []), info("c", 9, []), info("v", 1)], ["d", "w"],
    )  # fmt: skip
    module = loaded(graph([node("Loop", ["", "yes", "x"], ["y"], body=body)], [X], weights={"yes": np.array(True)}))

    with pytest.raises(CaptureError, match="unrolled, are more than 1000"):
        module.graph_for(Tensor(np.ones((1, 3), np.float32)))
    with pytest.raises(EngineError, match="go on for more than 2000"):
        module(Tensor(np.ones((1, 3), np.float32)))


def test_names_in_messages_are_quoted() -> None:
    with pytest.raises(FormatError) as caught:
        loaded(graph([node("\x1b[2J\n", ["x"], ["y"])], [X]))

    assert "\x1b" not in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "op", ["Reshape", "Transpose", "Conv", "Gather", "LSTM", "Resize", "Attention", "Loop", "Einsum"]
)
def test_operators_without_what_they_need_are_refused(op: str) -> None:
    module = loaded(graph([node(op, ["x"], ["y"])], [X]))

    with pytest.raises(EngineError) if op != "Transpose" else _nothing():
        module(Tensor(np.ones((1, 3), np.float32)))


class _nothing:
    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...
