"""What a file is told by its content, and every file that is not read is refused with advice."""

from __future__ import annotations

import os
import pickle
import zipfile
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numserve.engine import Tensor, formats
from numserve.engine.errors import FormatError
from numserve.engine.graph import Graph, save_graph
from numserve.plugins import resolve

Write = Callable[..., Path]


def zip_bytes(tmp_path: Path, *names: str) -> bytes:
    path = tmp_path / "some.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, b"content")
    return path.read_bytes()


CONTENTS: dict[str, tuple[Callable[[Path], bytes], str, str]] = {
    "TorchScript": (lambda p: zip_bytes(p, "m/data.pkl", "m/code/m.py", "m/constants.pkl"), "torchscript", "Script: "),
    "mobile TorchScript": (lambda p: zip_bytes(p, "m/data.pkl", "m/bytecode.pkl"), "torchscript", "TorchScript: "),
    "torch.export": (lambda p: zip_bytes(p, "m/archive_format", "m/models/model.json"), "pt2", "torch.export"),
    "older torch.export": (lambda p: zip_bytes(p, "serialized_exported_program.json"), "pt2", "torch.export"),
    "model archive": (lambda p: zip_bytes(p, "MAR-INF/MANIFEST.json", "model.pth"), "unknown", "model archive"),
    "NumPy archive": (lambda p: zip_bytes(p, "a.npy", "b.npy"), "unknown", "no data.pkl but 'a.npy', 'b.npy'"),
    "empty zip": (lambda p: zip_bytes(p), "unknown", "no known format"),
    "damaged zip": (lambda p: zip_bytes(p, "m/data.pkl")[:-10], "unknown", "cut off"),
    "ONNX": (lambda p: b"\x08\x08\x12\x07pytorch\x1a\x03" + b"1.0" + b":\x05graph", "onnx", "ONNX: protobuf"),
    "pickle of protocol 2": (lambda p: pickle.dumps({"a": 1}, 2), "pickle", "bare pickle.*state_dict"),
    "pickle of protocol 5": (lambda p: pickle.dumps({"a": 1}, 5), "pickle", "bare pickle"),
    "tar": (lambda p: b"sys_info".ljust(257, b"\0") + b"ustar\x0000" + b"\0" * 300, "tar", "PyTorch 0.1"),
    "Git LFS pointer": (lambda p: b"version https://git-lfs.github.com/spec/v1\n", "unknown", "git lfs pull"),
    "error page": (lambda p: b"<!DOCTYPE html><html>404</html>", "unknown", "web page"),
    "gzip": (lambda p: b"\x1f\x8b\x08\0\0\0\0\0", "unknown", "gzip"),
    "HDF5": (lambda p: b"\x89HDF\r\n\x1a\n", "unknown", "HDF5"),
    "library": (lambda p: b"\x7fELF\2\1\1\0", "unknown", "compiled"),
    "text": (lambda p: b"just some text", "unknown", "no known format .*6a 75 73 74"),
    "one byte": (lambda p: b"\x80", "unknown", "no known format"),
    "a pickle's first byte": (lambda p: b"\x08", "unknown", "no known format"),
}  # fmt: skip


@pytest.mark.parametrize("name", CONTENTS)
def test_a_file_that_is_not_read_is_named_and_refused_with_advice(name: str, tmp_path: Path) -> None:
    content, kind, advice = CONTENTS[name]
    path = tmp_path / "weights.pth"
    path.write_bytes(content(tmp_path))
    assert formats.detect(path) == kind
    with pytest.raises(FormatError, match=advice) as caught:
        formats.load(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("file", "kind"),
    [
        ("every_dtype.pth", "checkpoint-zip"),
        ("every_dtype_legacy.pth", "checkpoint-legacy"),
        ("whole_module.pth", "checkpoint-zip"),
        ("values_4.pth", "checkpoint-zip"),
    ],
)
def test_checkpoints_are_told_by_content_not_by_name(file: str, kind: str, checkpoints: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes((checkpoints / file).read_bytes())
    assert formats.detect(path) == kind


@pytest.mark.parametrize("protocol", range(6))
def test_the_legacy_form_is_told_in_every_protocol(protocol: int, tmp_path: Path) -> None:
    path = tmp_path / "legacy"
    parts = (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}, {"a": [1]}, [])
    path.write_bytes(b"".join(pickle.dumps(part, protocol) for part in parts))
    assert formats.detect(path) == "checkpoint-legacy"
    assert formats.load(path) == {"a": [1]}


def test_safetensors_with_a_header_like_a_pickle_is_told(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    empty = len(b'{"__metadata__":{"x":""}}')
    # 0x280 bytes of header: the file begins with 80 02, as a pickle of protocol 2 does.
    formats.save_file({}, path, {"x": "y" * (0x280 - empty)})
    assert path.read_bytes()[:2] == b"\x80\2"
    assert formats.detect(path) == "safetensors"
    assert formats.load(path) == {}


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    os.mkfifo(tmp_path / "pipe")
    for name, says in {"missing": "cannot be read", "": "directory", "empty": "empty", "pipe": "pipe"}.items():
        with pytest.raises(FormatError, match=says):
            formats.load(tmp_path / name)
        with pytest.raises(FormatError, match=says):
            formats.detect(tmp_path / name)


def test_an_unreadable_path_is_refused() -> None:
    for path in ("a\0b", "/dev/null", "x" * 5000):
        with pytest.raises(FormatError):
            formats.load(path)


def test_every_built_in_reader_takes_its_own_format_only(checkpoints: Path, tmp_path: Path) -> None:
    formats.save_file({"a": Tensor(np.zeros(2, np.float32))}, tmp_path / "c")
    save_graph(Graph((), (), ()), tmp_path / "g")
    files = {
        "checkpoint-zip": checkpoints / "training.pth",
        "checkpoint-legacy": checkpoints / "values_legacy.pth",
        "safetensors": tmp_path / "c",
        "pt2": checkpoints.parent / "export" / "convolutions.pt2",
        "torchscript": checkpoints.parent / "torchscript" / "exported.pt",
        "graph": tmp_path / "g",
        "onnx": checkpoints.parent / "onnx" / "words.onnx",
    }
    assert files.keys() == formats.BUILTIN.keys()
    for kind in formats.BUILTIN:
        reader: formats.Reader = resolve("formats", kind, formats.BUILTIN)()
        assert [name for name, path in files.items() if reader.matches(path)] == [kind]


class Shouting:
    """A reader of another's."""

    def matches(self, path: Any) -> bool:
        return Path(path).read_bytes().startswith(b"SHOUT")

    def load(self, path: Any) -> Any:
        return {"said": Path(path).read_bytes()[5:]}


@pytest.fixture
def _installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    entry = EntryPoint("shout", f"{__name__}:Shouting", "numserve.formats")
    monkeypatch.setattr(EntryPoint, "load", lambda self: Shouting)
    monkeypatch.setattr("numserve.engine.formats.entry_points", lambda group: [entry])
    monkeypatch.setattr("numserve.plugins.entry_points", lambda group: [entry])
    yield


@pytest.mark.usefixtures("_installed")
def test_an_installed_reader_takes_what_no_built_in_does(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    path.write_bytes(b"SHOUThello")
    assert formats.load(path) == {"said": b"hello"}
    path.write_bytes(b"whisper")
    with pytest.raises(FormatError, match="no known format"):
        formats.load(path)
