"""Graphs as files: a zip archive of graph.json and the constants' bytes, mapped when it is read; no pickle.

graph/graph.json     {"format", "version", "inputs", "outputs", "constants", "nodes", "structure", "note"}
graph/constants/0 …  the elements of an array in order, little-endian, at a multiple of 64 bytes
"""

from __future__ import annotations

import inspect
import json
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..dtype import Array, of
from ..errors import EngineError, FormatError
from ..formats.detection import GRAPH, detect
from ..formats.limits import quote
from ..formats.mapping import FilePath, map_file
from ..formats.writing import add_record, replacing
from ..formats.zip import Archive
from ..ops import PRIMITIVES
from .ir import Graph, Node, Value
from .module import GraphModule
from .notation import check_structure, known, parts_of, read_item, read_value, text, write_item, write_value
from .shapes import check_shapes

FORMAT, VERSION = "numserve graph", 1
LARGEST_TEXT = 64 << 20
MOST_PARTS = 4_000_000  # brackets and commas: what JSON makes many small objects of
KEYS = {"format", "version", "inputs", "outputs", "constants", "nodes", "structure", "note"}
NODE_KEYS = {"op", "inputs", "outputs", "attributes", "layer"}


def save(graph: Graph, path: FilePath) -> None:
    """Write a graph with its constants, all or nothing; an array that has several names is written once."""
    arrays = {id(array): array for array in graph.constants.values()}
    places = {key: place for place, key in enumerate(arrays)}
    content = {
        "format": FORMAT,
        "version": VERSION,
        "inputs": [write_value(value) for value in graph.inputs],
        "outputs": [value.name for value in graph.outputs],
        "constants": [
            [write_value(Value(name, array.shape, of(array))), places[id(array)]]
            for name, array in graph.constants.items()
        ],
        "nodes": [_written(node) for node in graph.nodes],
        "structure": graph.structure,
        "note": graph.note,
    }
    with replacing(path) as file, zipfile.ZipFile(file, "w") as archive:
        add_record(archive, file, "graph/graph.json", json.dumps(content, separators=(",", ":")).encode())
        for key, array in arrays.items():
            elements = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).reshape(-1).view(np.uint8)
            add_record(archive, file, f"graph/constants/{places[key]}", elements.data)


def _written(node: Node) -> dict[str, Any]:
    return {
        "op": node.op,
        "inputs": [write_item(item) for item in node.inputs],
        "outputs": [write_value(value) for value in node.outputs],
        "attributes": {name: write_item(item) for name, item in node.attributes.items()},
        "layer": node.layer,
    }


def load(path: FilePath) -> Graph:
    """The graph of a file that save() wrote; constants stay mapped.

    Raises: FormatError, which says what is wrong, and names all operations that are not there.
    """
    try:
        return _Reader(Archive(map_file(path))).graph()
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from error


class StoredGraph:
    """Reads a file into a module that runs the graph."""

    def matches(self, path: FilePath) -> bool:
        """Whether the content is of this form."""
        return detect(path) == GRAPH

    def load(self, path: FilePath) -> GraphModule:
        """The graph, as a module for inference."""
        return GraphModule(load(path))


class _Reader:
    """One file, read from the front to the back."""

    def __init__(self, archive: Archive) -> None:
        self.archive = archive
        self.content = _content(archive)
        self.values: dict[str, Value] = {}
        self.constants: dict[str, Array] = {}

    def graph(self) -> Graph:
        """The whole graph, checked."""
        content = self.content
        inputs = tuple(self._new(item) for item in parts_of(content["inputs"], None, "the inputs"))
        for item in parts_of(content["constants"], None, "the constants"):
            self._add_constant(item)
        rows = parts_of(content["nodes"], None, "the nodes")
        _refuse_unknown(rows)
        nodes = tuple(self._node(row) for row in rows)
        outputs = tuple(known(name, self.values) for name in parts_of(content["outputs"], None, "the outputs"))
        if content["structure"] is not None:
            check_structure(content["structure"], len(outputs))
        graph = Graph(inputs, outputs, nodes, self.constants, content["structure"], text(content["note"]))
        try:
            check_shapes(graph.validate())
        except EngineError as error:
            raise FormatError(str(error)) from error
        return graph

    def _new(self, item: Any) -> Value:
        value = read_value(item)
        if value.name in self.values:
            raise FormatError(f"{quote(value.name)} is there twice")
        self.values[value.name] = value
        return value

    def _add_constant(self, item: Any) -> None:
        described, place = parts_of(item, 2, "a constant")
        value = self._new(described)
        sizes = tuple(size for size in value.shape if isinstance(size, int))
        if type(place) is not int or len(sizes) < len(value.shape):
            raise FormatError(f"constant {quote(value.name)} has no place, or a size that follows the batch")
        stored = self.archive.array(f"constants/{place}")
        array = self._shaped(value.name, stored, sizes, value.dtype.numpy)
        self.constants[value.name] = array

    def _shaped(self, name: str, stored: Array, sizes: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        """The elements; a bool of other than 0 and 1 is refused."""
        try:
            array = stored.view(dtype.newbyteorder("<")).reshape(sizes)
        except ValueError as error:
            raise FormatError(f"constant {quote(name)} of {stored.nbytes} bytes: {error}") from error
        if dtype == np.bool_ and stored.size and stored.max() > 1:
            raise FormatError(f"constant {quote(name)} holds bytes that are no bools")
        native: Array = array.astype(dtype, copy=False)
        return native

    def _node(self, row: Mapping[str, Any]) -> Node:
        inputs = tuple(read_item(item, self.values) for item in parts_of(row["inputs"], None, "the operands"))
        if type(row["attributes"]) is not dict:
            raise FormatError(f"{row['op']} has no attributes by name")
        attributes = {name: read_item(item, {}) for name, item in row["attributes"].items()}
        _check_call(row["op"], inputs, attributes)
        outputs = tuple(self._new(item) for item in parts_of(row["outputs"], None, "the results"))
        if not outputs:
            raise FormatError(f"{row['op']} has no result")
        return Node(row["op"], inputs, outputs, attributes, text(row["layer"]))


def _content(archive: Archive) -> dict[str, Any]:
    """graph.json, as a dict that has all keys."""
    if "graph.json" not in archive:
        raise FormatError("an archive without graph.json; it does not hold a graph")
    raw = archive.read("graph.json")
    if len(raw) > LARGEST_TEXT or sum(raw.count(sign) for sign in (b"[", b"{", b",")) > MOST_PARTS:
        raise FormatError(f"graph.json of {len(raw)} bytes; no graph needs so much")
    try:
        content = json.loads(raw.decode(), parse_constant=_no_constant)
    except FormatError:
        raise
    except (ValueError, RecursionError) as error:
        raise FormatError(f"graph.json that is not JSON: {error}") from error
    if type(content) is not dict or content.get("format") != FORMAT:
        raise FormatError(f"graph.json without format {FORMAT!r}; it does not hold a graph")
    if content.get("version") != VERSION:
        raise FormatError(f"a graph of version {quote(content.get('version'))}; this one reads version {VERSION}")
    if content.keys() != KEYS:
        raise FormatError(f"graph.json does not hold exactly {', '.join(sorted(KEYS))}")
    return content


def _no_constant(name: str) -> float:
    raise FormatError(f"graph.json with {name} in it, which is not JSON")


def _refuse_unknown(rows: list[Any]) -> None:
    for row in rows:
        if type(row) is not dict or row.keys() != NODE_KEYS:
            raise FormatError(f"a node that does not hold exactly {', '.join(sorted(NODE_KEYS))}")
    unknown = sorted({text(row["op"]) for row in rows} - PRIMITIVES.keys())
    if unknown:
        names = ", ".join(map(quote, unknown))
        raise FormatError(f"operations that are not there: {names}; the file was made by another version")


def _check_call(op: str, inputs: tuple[Any, ...], attributes: Mapping[str, Any]) -> None:
    """Refuse operands and attributes that the operation does not take."""
    if any(isinstance(item, (str, list, tuple, dict, slice)) for item in inputs):
        raise FormatError(f"{op} has an operand that is neither value nor number")
    try:
        kernel = PRIMITIVES[op].kernel
        if isinstance(kernel, np.ufunc):
            if len(inputs) != kernel.nin or attributes:
                raise TypeError(f"expected {kernel.nin} operands and no attributes")
        else:
            inspect.signature(kernel).bind(*inputs, **attributes)
    except TypeError as error:
        raise FormatError(f"{op} is given what it does not take: {error}") from error
