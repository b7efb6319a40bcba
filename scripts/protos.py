"""The descriptors of gRPC's messages: python scripts/protos.py makes server/grpc/descriptors.py of its protos/.

It needs grpcio-tools, of which the server itself needs nothing.
"""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Iterable
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from grpc_tools import protoc

FOLDER = Path(__file__).parent.parent / "server" / "grpc"
PROTOS = FOLDER / "protos"
MODULE = FOLDER / "descriptors.py"
WIDTH = 100
HEAD = '''"""What protos/*.proto declare, as protobuf's descriptors in base64: made by scripts/protos.py."""

FILES: dict[str, str] = {
'''


def described() -> list[FileDescriptorProto]:
    """The descriptor of each protocol, those first that others import."""
    includes = [f"-I{PROTOS}", f"-I{Path(protoc.__file__).parent / '_proto'}"]
    with tempfile.NamedTemporaryFile() as found:
        names = sorted(path.name for path in PROTOS.glob("*.proto"))
        if protoc.main(["protoc", *includes, f"--descriptor_set_out={found.name}", "--include_imports", *names]):
            raise SystemExit("protoc refuses the protocols")
        files = FileDescriptorSet.FromString(Path(found.name).read_bytes()).file
    return [file for file in files if not file.name.startswith("google/protobuf/")]


def module(files: Iterable[FileDescriptorProto]) -> str:
    """The text of the module."""
    return HEAD + "".join(map(_entry, files)) + "}\n"


def _entry(file: FileDescriptorProto) -> str:
    text = base64.b64encode(file.SerializeToString(deterministic=True)).decode()
    lines = [f'        "{text[begin : begin + WIDTH]}"' for begin in range(0, len(text), WIDTH)]
    return f'    "{file.name}": (\n' + "\n".join(lines) + "\n    ),\n"


if __name__ == "__main__":
    MODULE.write_text(module(described()))
