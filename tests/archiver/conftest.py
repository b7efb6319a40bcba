"""A folder with a model's files in it, and archives made byte by byte."""

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from numserve.archiver import ModelArchiverConfig

MANIFEST = (
    b'{"createdOn": "01/02/2026 03:04:05", "runtime": "python", "model": {"modelName": "m"}, "archiverVersion": "1"}'
)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory: weights, model, handler, labels, configuration, a folder of more files, `store`."""
    folder = tmp_path / "project"
    (folder / "assets" / "vocabulary").mkdir(parents=True)
    (folder / "store").mkdir()
    files = {
        "weights.pt": b"\x80\x02weights" * 1000,
        "model.py": b"class Net:\n    pass\n",
        "handler.py": b"def handle(rows, context):\n    return rows\n",
        "index_to_name.json": b'{"0": "zero"}',
        "requirements.txt": b"",
        "settings.yaml": b"batchSize: 4\n",
        "assets/top.txt": b"top",
        "assets/vocabulary/words.txt": b"words",
    }
    for name, data in files.items():
        (folder / name).write_bytes(data)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def config() -> Callable[..., ModelArchiverConfig]:
    """A configuration for the project's files, with anything changed."""

    def make(**changes: Any) -> ModelArchiverConfig:
        flags = {
            "model_name": "net",
            "handler": "handler.py",
            "version": "1.0",
            "serialized_file": "weights.pt",
            "export_path": "store",
        }
        return ModelArchiverConfig(**(flags | changes))

    return make


@dataclass
class Crafted:
    """A ZIP member of which every field of both headers can be made to lie."""

    name: str | bytes
    data: bytes = b""
    method: int = 0
    flags: int = 0
    mode: int = 0o100644
    extra: bytes = b""
    after: bytes = b""
    local: tuple[tuple[str, Any], ...] = ()
    central: tuple[tuple[str, Any], ...] = ()

    def fields(self, changes: tuple[tuple[str, Any], ...], offset: int) -> dict[str, Any]:
        raw = self.name if isinstance(self.name, bytes) else self.name.encode()
        packed = self.packed()
        honest = {
            "name": raw, "flags": self.flags, "method": self.method, "crc": zlib.crc32(self.data),
            "packed": len(packed), "size": len(self.data), "extra": self.extra, "offset": offset,
        }  # fmt: skip
        return honest | dict(changes)

    def packed(self) -> bytes:
        if self.method != 8:
            return self.data
        coder = zlib.compressobj(9, zlib.DEFLATED, -15)
        return coder.compress(self.data) + coder.flush()


def craft_zip(*members: Crafted, before: bytes = b"", gap: bytes = b"", after: bytes = b"", **end: int) -> bytes:
    """A ZIP file, `end` overriding fields of the end record."""
    body, directory = before, b""
    for member in members:
        f = member.fields(member.local, len(body))
        start = len(body)
        body += struct.pack(
            "<4s5H3I2H", b"PK\3\4", 20, f["flags"], f["method"], 0, 33, f["crc"], f["packed"], f["size"],
            len(f["name"]), len(f["extra"]),
        ) + f["name"] + f["extra"] + member.packed() + member.after  # fmt: skip
        f = member.fields(member.central, start)
        directory += struct.pack(
            "<4s6H3I5H2I", b"PK\1\2", 0x314, 20, f["flags"], f["method"], 0, 33, f["crc"], f["packed"], f["size"],
            len(f["name"]), len(f["extra"]), 0, 0, 0, member.mode << 16, f["offset"],
        ) + f["name"] + f["extra"]  # fmt: skip
    body += gap
    values = {"disk": 0, "count": len(members), "size": len(directory), "start": len(body), "comment": 0} | end
    return (
        body + directory
        + struct.pack(
            "<4s4H2IH", b"PK\5\6", values["disk"], 0, values["count"], values["count"], values["size"],
            values["start"], values["comment"],
        )
        + after
    )  # fmt: skip


@pytest.fixture
def crafted() -> type[Crafted]:
    """The class of members for `zip_of`."""
    return Crafted


@pytest.fixture
def zip_of(tmp_path: Path) -> Callable[..., Path]:
    """Write a crafted ZIP to a file ending in .mar."""

    def make(*members: Crafted, **changes: Any) -> Path:
        path = tmp_path / "crafted.mar"
        path.write_bytes(craft_zip(*members, **changes))
        return path

    return make


@pytest.fixture
def manifest_bytes() -> bytes:
    """A small manifest that is right."""
    return MANIFEST
