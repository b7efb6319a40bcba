"""Files of weights and programs: `load(path)` decides by content which reader takes one.

Nothing in a file is ever imported or run by Python.
"""

from __future__ import annotations

from typing import Any, Protocol

from ...plugins import entry_points, resolve
from ..errors import FormatError
from .detection import detect, explain
from .elements import Element
from .limits import Limits
from .mapping import FilePath
from .results import QuantizedTensor, RawTensor, SparseTensor
from .safetensors import read_metadata, save_file
from .saving import save
from .unwrapping import state_dict_of

__all__ = [
    "BUILTIN", "Element", "Limits", "QuantizedTensor", "RawTensor", "Reader", "SparseTensor",
    "detect", "load", "read_metadata", "save", "save_file", "state_dict_of",
]  # fmt: skip

# What `detect` calls a format → the reader that takes it.
BUILTIN = {
    "checkpoint-legacy": "numserve.engine.formats.legacy:LegacyCheckpoint",
    "checkpoint-zip": "numserve.engine.formats.checkpoint:ZipCheckpoint",
    "graph": "numserve.engine.graph.store:StoredGraph",
    "onnx": "numserve.engine.onnx.reader:OnnxFile",
    "safetensors": "numserve.engine.formats.safetensors:Safetensors",
    "pt2": "numserve.engine.export.reader:ExportArchive",
    "torchscript": "numserve.engine.jit.reader:TorchScript",
}


class Reader(Protocol):
    """A plug-in of the group numserve.formats: made without arguments, it takes the files that match."""

    def matches(self, path: FilePath) -> bool:
        """Whether the file's content is of this reader's format."""
        ...

    def load(self, path: FilePath) -> Any:
        """What the file holds; raises FormatError where it is damaged or unsafe."""
        ...


def load(path: FilePath) -> Any:
    """What a file holds: a state_dict as it was saved, nested containers, a dict of tensors (safetensors), or a module.

    A program (TorchScript, torch.export, ONNX) comes as a module that can be called, as torch.load gives one.

    Raises: FormatError, which says what was found and what to do.
    """
    reader = _reader(path)
    if reader is None:
        raise explain(path)
    try:
        return reader.load(path)
    except FormatError as error:
        if str(path) in str(error):
            raise
        raise type(error)(f"{path}: {error}") from error


def _reader(path: FilePath) -> Reader | None:
    """The built-in reader of what the file is, else the first installed one that wants it."""
    kind = detect(path)
    if kind in BUILTIN:
        reader: Reader = resolve("formats", kind, BUILTIN)()
        return reader
    installed: list[Reader] = [
        resolve("formats", entry.name, BUILTIN)() for entry in entry_points(group="numserve.formats")
    ]
    return next((reader for reader in installed if reader.matches(path)), None)
