"""load(), which reads an ONNX file: everything in it is checked before anything of it runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..errors import FormatError, MissingOperatorsError
from ..formats.detection import ONNX, detect
from ..formats.limits import quote
from ..formats.mapping import FilePath, map_file
from ..garbage import without_collections
from .elements import element
from .evaluation import graphs_of
from .external import Folder
from .items import Item
from .model import OnnxModel
from .operators import OPERATORS
from .records import GraphRecord, ModelRecord, NodeRecord, Reader, TensorRecord
from .tensors import array_of

OLDEST, NEWEST = 1, 28  # opset versions of the operators of ONNX itself


class OnnxFile:
    """Reads ONNX files, as one of the formats that numserve.engine.formats.load() knows."""

    def matches(self, path: FilePath) -> bool:
        """Whether the content is of this form."""
        return detect(path) == ONNX

    def load(self, path: FilePath) -> OnnxModel:
        """The model."""
        return load(path)


def load(path: FilePath) -> OnnxModel:
    """The model of an ONNX file, mapped; data in other files is read from inside its folder alone.

    Raises: FormatError for what is damaged, unsafe or of another version; MissingOperatorsError with the names of all
    operators that are missing.
    """
    try:
        with without_collections():
            return read(memoryview(map_file(path)), Path(path).parent)
    except FormatError as error:
        if str(path) in str(error):
            raise
        raise type(error)(f"{path}: ONNX: {error}") from error


def read(data: memoryview, folder: Path | None = None) -> OnnxModel:
    """The model in the bytes of an ONNX file."""
    record = Reader().model(data)
    _check_versions(record)
    graph = record.graph
    if graph is None:
        raise FormatError("an ONNX file without a graph; it may be cut off")
    _check_operators(record)
    files = Folder(folder)
    initial = {}
    for tensor in graph.initializers:
        initial[tensor.name] = _item(tensor, files)
    for nodes in _all_nodes(record):
        _make_items(nodes, files)
    for info in graph.inputs:
        if info.type:
            element(info.type)
    return OnnxModel(record, initial)


def _check_versions(record: ModelRecord) -> None:
    version = record.opsets.get("", 1 if record.ir_version < 3 else 0)
    if not record.opsets and record.graph is None:
        raise FormatError("no ONNX model: it has neither a graph nor a version of its operators")
    if version and not OLDEST <= version <= NEWEST:
        raise FormatError(
            f"an ONNX model of opset {version}; {OLDEST} to {NEWEST} are read. Export it anew, "
            "or convert it with onnx.version_converter"
        )


def _check_operators(record: ModelRecord) -> None:
    """Refuse a model with operators that are missing, naming them all."""
    missing: Counter[str] = Counter()
    for nodes in _all_nodes(record):
        for node in nodes:
            own = (node.domain, node.op, node.overload) in record.functions
            if not own and (node.domain, node.op) not in OPERATORS:
                missing[f"{node.domain}:{node.op}" if node.domain else node.op] += 1
    if missing:
        names = ", ".join(f"{quote(n)} ({count})" for n, count in sorted(missing.items())[:50])
        raise MissingOperatorsError(f"the model uses operators that the engine lacks: {names}")
    if any(graph.sparse for graph in _all_graphs(record)):
        raise FormatError("the model has sparse initialisers, which are not read")


def _all_nodes(record: ModelRecord) -> Iterable[list[NodeRecord]]:
    """The nodes of functions, and of all graphs."""
    for function in record.functions.values():
        yield function.nodes
    for graph in _all_graphs(record):
        yield graph.nodes


def _all_graphs(record: ModelRecord) -> Iterable[GraphRecord]:
    """The graph, and those inside it and inside functions."""
    if record.graph is not None:
        yield record.graph
        yield from _graphs_inside(record.graph.nodes)
    for function in record.functions.values():
        yield from _graphs_inside(function.nodes)


def _graphs_inside(nodes: list[NodeRecord]) -> Iterable[GraphRecord]:
    for node in nodes:
        for attribute in node.attributes.values():
            for graph in graphs_of(attribute):
                yield graph
                yield from _graphs_inside(graph.nodes)


def _make_items(nodes: list[NodeRecord], files: Folder) -> None:
    """Tensors in attributes, and the initialisers of inner graphs, become items in their places."""
    for node in nodes:
        for attribute in node.attributes.values():
            attribute.value = _made(attribute.value, files)


def _made(value: Any, files: Folder) -> Any:
    if isinstance(value, TensorRecord):
        return _item(value, files)
    if isinstance(value, tuple) and value and isinstance(value[0], TensorRecord):
        return tuple(_item(tensor, files) for tensor in value)
    graphs = value if isinstance(value, tuple) else (value,)
    for graph in graphs:
        if isinstance(graph, GraphRecord):
            graph.initializers = [_made(t, files) for t in graph.initializers]
    return value


def _item(tensor: TensorRecord, files: Folder) -> Item:
    array, kind = array_of(tensor, files)
    return Item(array, kind, name=tensor.name)
