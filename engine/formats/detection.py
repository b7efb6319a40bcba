"""Telling what a file is by its content, never by its name, and saying what to do about those that are not read."""

from __future__ import annotations

from mmap import mmap

from ..errors import FormatError
from .limits import quote
from .mapping import FilePath, map_file
from .zip import Archive

CHECKPOINT_ZIP, CHECKPOINT_LEGACY, SAFETENSORS = "checkpoint-zip", "checkpoint-legacy", "safetensors"
GRAPH, TORCHSCRIPT, PT2, ONNX, PICKLE, TAR, UNKNOWN = "graph", "torchscript", "pt2", "onnx", "pickle", "tar", "unknown"

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C  # torch/serialization.py, MAGIC_NUMBER
_MAGIC_BINARY = b"\x8a\x0a" + LEGACY_MAGIC.to_bytes(10, "little") + b"."
_MAGIC_TEXT = b"L%dL\n." % LEGACY_MAGIC
_ZIP = b"PK\x03\x04"
_SAFETENSORS_HEADER = 100_000_000
# The fields of ModelProto that may follow ir_version. Source: onnx/onnx.proto.
_ONNX_TAGS = frozenset({0x12, 0x1A, 0x22, 0x28, 0x32, 0x3A, 0x42, 0x72, 0xA2, 0xCA})


def detect(path: FilePath) -> str:
    """What the file is: a name of BUILTIN, or torchscript, pt2, onnx, pickle, tar, unknown. Nothing is unpickled.

    Raises: FormatError where the path leads to no file, or to an empty one.
    """
    return _kind(map_file(path))


def _kind(data: mmap) -> str:
    # An intact safetensors file comes first: a header of 640 bytes begins like a pickle of protocol 2.
    if data[8:9] == b"{" and int.from_bytes(data[:8], "little") <= _SAFETENSORS_HEADER:
        return SAFETENSORS
    if data[:4] == _ZIP:
        return _kind_of_zip(data)
    if _MAGIC_BINARY in data[:32] or data[: len(_MAGIC_TEXT)] == _MAGIC_TEXT:
        return CHECKPOINT_LEGACY
    if data[0] == 0x80 and data[1:2] in (b"\2", b"\3", b"\4", b"\5"):
        return PICKLE
    if data[257:262] == b"ustar":
        return TAR
    if data[8:9] == b"{":
        return SAFETENSORS
    if len(data) > 2 and data[0] == 0x08 and 0 < data[1] < 0x80 and data[2] in _ONNX_TAGS:
        return ONNX
    return UNKNOWN


def _kind_of_zip(data: mmap) -> str:
    try:
        archive = Archive(data)
    except FormatError:
        return UNKNOWN
    if "archive_format" in archive or "serialized_exported_program.json" in archive.records:
        return PT2
    if "bytecode.pkl" in archive or ("constants.pkl" in archive and _has_code(archive)):
        return TORCHSCRIPT
    if "data.pkl" in archive:
        return CHECKPOINT_ZIP
    return GRAPH if "graph.json" in archive else UNKNOWN


def _has_code(archive: Archive) -> bool:
    return any(name.startswith(f"{archive.root}/code/") for name in archive.records)


_SAVE = "save its state_dict instead: torch.save(model.state_dict(), 'weights.pth')"
_ADVICE = {
    PICKLE: f"is a bare pickle, which can run anything when it is loaded, and is not read; {_SAVE}",
    TAR: "is a tar file, as PyTorch 0.1 saved weights; load and save it again with PyTorch 1.6 or newer",
}
_SIGNATURES = {
    b"version https://git-lfs": "is a Git LFS pointer, not the weights themselves; fetch them with `git lfs pull`",
    b"<": "is a web page or XML, not weights; the download may have been an error page",
    b"\x89HDF": "is an HDF5 file, as Keras saves weights; convert it to safetensors",
    b"\x93NUMPY": "is a NumPy array file; save a state_dict or safetensors",
    b"\x1f\x8b": "is compressed with gzip; unpack it first",
    b"\xfd7zXZ": "is compressed with xz; unpack it first",
    b"BZh": "is compressed with bzip2; unpack it first",
    b"\x28\xb5\x2f\xfd": "is compressed with Zstandard; unpack it first",
    b"\x7fELF": "is a compiled library or program, which is never loaded as weights",
    b"GGUF": "is a GGUF file; convert it to safetensors",
}


def explain(path: FilePath) -> FormatError:
    """Why no reader takes the file: what was found, and what to do."""
    data = map_file(path)
    kind = _kind(data)
    if kind in _ADVICE:
        return FormatError(f"{path} {_ADVICE[kind]}")
    for signature, advice in _SIGNATURES.items():
        if data[: len(signature)] == signature:
            return FormatError(f"{path} {advice}")
    if data[:4] == _ZIP:
        return _explain_zip(path, data)
    start = " ".join(f"{byte:02x}" for byte in data[:8])
    return FormatError(
        f"{path} is of no known format (it begins with {start}); expected a torch checkpoint or safetensors"
    )


def _explain_zip(path: FilePath, data: mmap) -> FormatError:
    try:
        archive = Archive(data)
    except FormatError as error:
        return FormatError(f"{path}: {error}")
    if any(name.startswith("MAR-INF/") for name in archive.records):
        return FormatError(f"{path} is a model archive; serve it, or name the weights file inside it")
    shown = ", ".join(quote(name) for name in list(archive.records)[:5]) or "nothing"
    return FormatError(f"{path} is a zip archive, yet no checkpoint: it has no data.pkl but {shown}")
