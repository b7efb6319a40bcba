"""Indexes of archives: what is opened by one is what it is without; an index that is wrong is as good as none."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numserve.engine import EngineError, FormatError, MissingOperatorsError, ScriptError, jit, ones, tensor
from numserve.engine.jit import program as programs
from numserve.engine.sharing import share_in

from .archives import HEAD, RESULTS, body, path_of, program

PARALLEL = """
import sys
from pathlib import Path
from numserve.engine import jit, ones
from numserve.engine.sharing import share_in
share_in(Path(sys.argv[2]))
sys.stdin.readline()
for _ in range(20):
    Path(sys.argv[2], "m.pt.json").unlink(missing_ok=True)
    assert jit.load(sys.argv[1])(ones(2)).tolist() == [3, 4]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder that indexes are kept in."""
    share_in(tmp_path / "shared")
    yield tmp_path / "shared"
    share_in(None)


@pytest.fixture
def parses(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files of code that were parsed."""
    met: list[str] = []
    parse = programs.parse
    monkeypatch.setattr(programs, "parse", lambda text, name: met.append(name) or parse(text, name))
    return met


def exported(target: Path) -> Path:
    """An archive that adds its weights [2, 3] to what it is given."""
    return Path(shutil.copyfile(path_of("exported"), target))


def changed(index: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """An index whose content was changed by somebody who knows how one is signed."""
    head, _, text = index.read_bytes().partition(b"\n")
    content = json.loads(text)
    change(content)
    text = json.dumps(content).encode()
    index.write_bytes(b"%s %s\n%s" % (head.split()[0], hashlib.sha256(text).hexdigest().encode(), text))


def test_without_a_folder_in_common_nothing_is_kept(tmp_path: Path) -> None:
    jit.load(exported(tmp_path / "m.pt"))

    assert os.listdir(tmp_path) == ["m.pt"]


@pytest.mark.parametrize("name", RESULTS)
def test_every_archive_has_an_index(name: str, folder: Path) -> None:
    jit.load(path_of(name))

    assert (folder / f"{name}.pt.json").is_file()


def test_code_is_compiled_when_it_first_runs_and_once(folder: Path, parses: list[str]) -> None:
    jit.load(path_of("parts"))
    read = list(parses)
    parses.clear()
    module = jit.load(path_of("parts"))
    assert not parses and read

    for _ in range(2):
        module(*RESULTS["parts"]["in"][0])

    assert parses == read


@pytest.mark.parametrize("name", RESULTS)
def test_an_archive_is_the_same_by_its_index(name: str, folder: Path, tmp_path: Path) -> None:
    read, indexed = jit.load(path_of(name)), jit.load(path_of(name))

    assert str(indexed) == str(read)
    assert indexed.training == read.training
    assert [(n, p.requires_grad) for n, p in indexed.named_parameters()] == [
        (n, p.requires_grad) for n, p in read.named_parameters()
    ]
    for key, value in read.state_dict().items():
        np.testing.assert_array_equal(indexed.state_dict()[key].array, value.array)
        assert indexed.state_dict()[key].array.strides == value.array.strides
    for kind, module in (("read", read), ("indexed", indexed)):
        module.save(tmp_path / kind)
    assert (tmp_path / "read").read_bytes() == (tmp_path / "indexed").read_bytes()


def test_tensors_over_one_memory_stay_so(folder: Path) -> None:
    jit.load(path_of("parts"))
    module = jit.load(path_of("parts"))

    assert module.tied.weight is module.chain._modules["0"].weight
    assert not any(p.array.flags.owndata for p in module.parameters())


def test_several_threads_may_run_what_is_not_compiled_yet(folder: Path) -> None:
    jit.load(path_of("exported"))
    module = jit.load(path_of("exported"))
    start, met = threading.Barrier(8), []

    def run() -> None:
        start.wait(30)
        met.append(module(ones(2)).tolist())

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert met == [[3, 4]] * 8


def test_a_file_that_was_changed_is_read_anew(folder: Path, tmp_path: Path, parses: list[str]) -> None:
    path = program(tmp_path / "m.pt", body("return torch.add(x, 1)"))
    assert jit.load(path)(ones(1)).tolist() == [2]

    program(path, body("return torch.add(x, 2)"))

    assert jit.load(path)(ones(1)).tolist() == [3]
    parses.clear()
    assert jit.load(path)._class.name == "__torch__.M"
    assert not parses


def test_a_file_that_was_only_touched_is_read_anew(folder: Path, tmp_path: Path, parses: list[str]) -> None:
    path = exported(tmp_path / "m.pt")
    jit.load(path)
    parses.clear()

    os.utime(path, ns=(0, 0))

    jit.load(path)
    assert parses


def test_another_release_reads_anew(folder: Path, parses: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    jit.load(path_of("exported"))
    parses.clear()
    monkeypatch.setattr("numserve.engine.jit.index._release", lambda: b"another")

    jit.load(path_of("exported"))

    assert parses


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-1],
        lambda data: data[: len(data) // 2],
        lambda data: b"",
        lambda data: data[:-9] + b"{" + data[-8:],
        lambda data: os.urandom(1000),
        lambda data: b"[" * 1_000_000,
    ],
    ids=["a byte short", "half", "empty", "another byte", "noise", "brackets"],
)
def test_a_damaged_index_is_not_used_and_written_again(
    damage: Callable[[bytes], bytes], folder: Path, tmp_path: Path, parses: list[str]
) -> None:
    path, index = exported(tmp_path / "m.pt"), folder / "m.pt.json"
    jit.load(path)
    whole = index.read_bytes()
    index.write_bytes(damage(whole))
    parses.clear()

    assert jit.load(path)(ones(2)).tolist() == [3, 4]

    assert parses
    assert index.read_bytes() == whole


def tensor_of(content: dict[str, Any]) -> list[Any]:
    """The entry of a tensor."""
    found: list[Any] = next(entry for entry in content["values"] if entry[0] == "tensor")
    return found


HOSTILE: dict[str, Callable[[dict[str, Any]], Any]] = {
    "a place before the file": lambda c: tensor_of(c).__setitem__(2, -8),
    "a place behind the file": lambda c: tensor_of(c).__setitem__(2, 1 << 40),
    "a place beyond all": lambda c: tensor_of(c).__setitem__(2, 1 << 80),
    "a shape too large": lambda c: tensor_of(c).__setitem__(3, [1 << 40]),
    "strides out of it": lambda c: tensor_of(c).__setitem__(4, [1 << 30]),
    "strides before it": lambda c: tensor_of(c).__setitem__(4, [-(1 << 20)]),
    "bytes as bools": lambda c: tensor_of(c).__setitem__(slice(1, 4), ["|b1", tensor_of(c)[2], [8]]),
    "objects as elements": lambda c: tensor_of(c).__setitem__(1, "|O"),
    "values that are not there": lambda c: c["values"].append(["list", [[999]]]),
    "an unknown kind": lambda c: c["values"].append(["code", "import os"]),
    "no values": lambda c: c.pop("values"),
    "no module": lambda c: c["values"].append(["list", []]) or c.update(root=len(c["values"]) - 1),
    "a class of another kind": lambda c: c["outlines"][0].__setitem__(0, "enum"),
    "classes that are none": lambda c: c.update(classes=[["A"]]),
    "outlines that are none": lambda c: c.update(outlines=[7]),
    "a list": lambda c: c.clear(),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_an_index_that_lies_is_not_used(name: str, folder: Path, tmp_path: Path, parses: list[str]) -> None:
    path = exported(tmp_path / "m.pt")
    jit.load(path)
    changed(folder / "m.pt.json", HOSTILE[name])
    parses.clear()

    assert jit.load(path)(ones(2)).tolist() == [3, 4]
    assert parses


def test_a_method_that_only_the_index_has_is_refused_when_it_is_called(folder: Path, tmp_path: Path) -> None:
    path = exported(tmp_path / "m.pt")
    jit.load(path)
    changed(folder / "m.pt.json", lambda c: c["outlines"][0][-1].update(more=["self"]))

    module = jit.load(path)

    assert module(ones(2)).tolist() == [3, 4]
    with pytest.raises(ScriptError, match="more is not there any more"):
        module.more()


def test_what_is_refused_leaves_no_index(folder: Path, tmp_path: Path) -> None:
    path = program(tmp_path / "m.pt", body("return torch.frobnicate(x)"))

    for _ in range(2):
        with pytest.raises(MissingOperatorsError, match="aten::frobnicate"):
            jit.load(path)
    assert not folder.exists()


def test_objects_that_set_their_own_state_are_read_each_time(folder: Path, tmp_path: Path) -> None:
    code = HEAD + "  def __setstate__(self, state: Dict[str, bool]) -> None:\n    self.training = False\n"
    path = program(tmp_path / "m.pt", code + "  def forward(self, x: Tensor) -> Tensor:\n    return x\n")

    for _ in range(2):
        assert jit.load(path)(tensor(1.0)).item() == 1
    assert not folder.exists()


def test_a_folder_that_cannot_be_written_to_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "shared").write_bytes(b"a file")
    share_in(tmp_path / "shared")
    try:
        for _ in range(2):
            assert jit.load(path_of("exported"))(ones(2)).tolist() == [3, 4]
    finally:
        share_in(None)


def test_a_file_that_is_no_archive_is_refused_as_ever(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "m.pt").write_bytes(b"PK\x03\x04" + bytes(100))

    with pytest.raises(FormatError, match="without its directory"):
        jit.load(tmp_path / "m.pt")


def test_processes_may_write_an_index_at_the_same_time(folder: Path, tmp_path: Path) -> None:
    path = exported(tmp_path / "m.pt")
    command = [sys.executable, "-c", PARALLEL, str(path), str(folder)]
    workers = [subprocess.Popen(command, stdin=subprocess.PIPE, text=True) for _ in range(2)]
    try:
        for worker in workers:
            worker.communicate("\n", timeout=120)
    finally:
        for worker in workers:
            worker.kill()

    assert [worker.returncode for worker in workers] == [0, 0]
    assert [file.name for file in folder.iterdir()] == ["m.pt.json"]
    assert jit.load(path)(ones(2)).tolist() == [3, 4]


ODD = (
    None,
    True,
    -1,
    7,
    1 << 40,
    -(1 << 40),
    1 << 70,
    0.5,
    float("nan"),
    "",
    "<f8",
    "|O",
    [],
    [0],
    [-1],
    [[1 << 40]],
    {},
)


def places(item: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths to everything inside of a content."""
    parts = item.items() if isinstance(item, dict) else enumerate(item) if isinstance(item, list) else ()
    for key, part in parts:
        yield (*path, key)
        yield from places(part, (*path, key))


def at(content: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        content = content[key]
    return content


@pytest.mark.parametrize("name", ["parts", "stateful"])
def test_whatever_an_index_says_a_module_or_its_error_comes_of_it(name: str, folder: Path, tmp_path: Path) -> None:
    path = Path(shutil.copyfile(path_of(name), tmp_path / "m.pt"))
    jit.load(path)
    whole, dice = (folder / "m.pt.json").read_bytes(), np.random.default_rng(0)
    paths = list(places(json.loads(whole.partition(b"\n")[2])))
    for _ in range(150):
        chosen = paths[dice.integers(len(paths))]
        (folder / "m.pt.json").write_bytes(whole)
        changed(
            folder / "m.pt.json",
            lambda content, chosen=chosen: at(content, chosen[:-1]).__setitem__(
                chosen[-1], ODD[dice.integers(len(ODD))]
            ),
        )

        module = jit.load(path)

        for array in module.state_dict().values():
            array.array.tobytes()
        with contextlib.suppress(EngineError):
            module(*RESULTS[name]["in"][0])
