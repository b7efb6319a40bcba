"""The messages of an ONNX file as plain records, nothing of them judged or run yet.

The numbers are those of onnx/onnx.proto (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..dtype import Array
from ..errors import FormatError
from . import wire

DEPTH = 32
MESSAGES = 400_000  # honest files stay far below, and a record takes some hundred times the bytes of a message
DIMS = 64

# AttributeProto.AttributeType
FLOAT, INT, STRING, TENSOR, GRAPH, FLOATS, INTS, STRINGS, TENSORS, GRAPHS = range(1, 11)
TYPE_PROTO, TYPE_PROTOS = 13, 14


@dataclass(slots=True)
class TensorRecord:
    """TensorProto: raw bytes, typed numbers, or a place in another file."""

    name: str = ""
    dims: tuple[int, ...] = ()
    type: int = 0
    raw: memoryview | None = None
    numbers: list[Array] = field(default_factory=list)
    texts: list[bytes] = field(default_factory=list)
    external: dict[str, str] = field(default_factory=dict)
    location: int = 0


@dataclass(slots=True)
class InfoRecord:
    """ValueInfoProto: a name, an element type and dims, each a number, a symbol, or unknown ("")."""

    name: str = ""
    type: int = 0
    dims: tuple[int | str, ...] | None = None
    kind: str = ""


@dataclass(slots=True)
class AttributeRecord:
    """AttributeProto; `reference` names an attribute of the function that the node stands in."""

    name: str = ""
    type: int = 0
    value: Any = None
    reference: str = ""


@dataclass(slots=True)
class NodeRecord:
    """NodeProto."""

    op: str = ""
    domain: str = ""
    name: str = ""
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    attributes: dict[str, AttributeRecord] = field(default_factory=dict)
    overload: str = ""


@dataclass(slots=True)
class GraphRecord:
    """GraphProto."""

    name: str = ""
    nodes: list[NodeRecord] = field(default_factory=list)
    initializers: list[TensorRecord] = field(default_factory=list)
    inputs: list[InfoRecord] = field(default_factory=list)
    outputs: list[InfoRecord] = field(default_factory=list)
    sparse: int = 0


@dataclass(slots=True)
class FunctionRecord:
    """FunctionProto: nodes that stand for an operator of the file's own."""

    name: str = ""
    domain: str = ""
    overload: str = ""
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    nodes: list[NodeRecord] = field(default_factory=list)
    attributes: list[str] = field(default_factory=list)
    defaults: dict[str, AttributeRecord] = field(default_factory=dict)
    opsets: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class ModelRecord:
    """ModelProto."""

    ir_version: int = 0
    producer: str = ""
    graph: GraphRecord | None = None
    opsets: dict[str, int] = field(default_factory=dict)
    functions: dict[tuple[str, str, str], FunctionRecord] = field(default_factory=dict)


class Reader:
    """Turns messages into records, counting them."""

    def __init__(self) -> None:
        self._left = self._most = MESSAGES

    def _fields(self, value: int | memoryview) -> Any:
        self._count()
        return wire.fields(wire.content(value))

    def _count(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise FormatError(f"an ONNX file of more than {self._most} nodes, attributes and tensors")

    def model(self, data: memoryview) -> ModelRecord:
        """ModelProto."""
        model = ModelRecord()
        for number, _, value in self._fields(data):
            if number == 1:
                model.ir_version = wire.number(value)
            elif number == 2:
                model.producer = wire.text(value)
            elif number == 7:
                model.graph = self.graph(value, 0)
            elif number == 8:
                domain, version = self._opset(value)
                model.opsets[domain] = version
            elif number == 25:
                function = self._function(value)
                model.functions[(function.domain, function.name, function.overload)] = function
        return model

    def _opset(self, value: int | memoryview) -> tuple[str, int]:
        domain, version = "", 0
        for number, _, part in self._fields(value):
            if number == 1:
                domain = wire.text(part)
            elif number == 2:
                version = wire.number(part)
        return "" if domain == "ai.onnx" else domain, version

    def graph(self, value: int | memoryview, depth: int) -> GraphRecord:
        """GraphProto."""
        if depth > DEPTH:
            raise FormatError(f"graphs inside graphs, more than {DEPTH} deep")
        graph = GraphRecord()
        for number, _, part in self._fields(value):
            if number == 1:
                graph.nodes.append(self._node(part, depth))
            elif number == 2:
                graph.name = wire.text(part)
            elif number == 5:
                graph.initializers.append(self.tensor(part))
            elif number == 11:
                graph.inputs.append(self._info(part))
            elif number == 12:
                graph.outputs.append(self._info(part))
            elif number == 15:
                graph.sparse += 1
        return graph

    def _node(self, value: int | memoryview, depth: int) -> NodeRecord:
        node = NodeRecord()
        for number, _, part in self._fields(value):
            if number == 1:
                node.inputs.append(wire.text(part))
            elif number == 2:
                node.outputs.append(wire.text(part))
            elif number == 3:
                node.name = wire.text(part)
            elif number == 4:
                node.op = wire.text(part)
            elif number == 5:
                attribute = self._attribute(part, depth)
                node.attributes[attribute.name] = attribute
            elif number == 7:
                node.domain = wire.text(part)
            elif number == 8:
                node.overload = wire.text(part)
        if node.domain == "ai.onnx":
            node.domain = ""
        return node

    def _function(self, value: int | memoryview) -> FunctionRecord:
        function = FunctionRecord()
        for number, _, part in self._fields(value):
            if number == 1:
                function.name = wire.text(part)
            elif number == 4:
                function.inputs.append(wire.text(part))
            elif number == 5:
                function.outputs.append(wire.text(part))
            elif number == 6:
                function.attributes.append(wire.text(part))
            elif number == 7:
                function.nodes.append(self._node(part, 0))
            elif number == 9:
                domain, version = self._opset(part)
                function.opsets[domain] = version
            elif number == 10:
                function.domain = wire.text(part)
            elif number == 11:
                attribute = self._attribute(part, 0)
                function.defaults[attribute.name] = attribute
            elif number == 13:
                function.overload = wire.text(part)
        return function

    def _attribute(self, value: int | memoryview, depth: int) -> AttributeRecord:
        attribute = AttributeRecord()
        single: dict[int, Any] = {}
        lists: dict[int, list[Any]] = {FLOATS: [], INTS: [], STRINGS: [], TENSORS: [], GRAPHS: []}
        for number, _, part in self._fields(value):
            if number == 1:
                attribute.name = wire.text(part)
            elif number == 2:
                single[FLOAT] = float(wire.fixed(part, "<f4")[0]) if len(wire.content(part)) == 4 else 0.0
            elif number == 3:
                single[INT] = wire.number(part)
            elif number == 4:
                single[STRING] = bytes(wire.content(part))
            elif number == 5:
                single[TENSOR] = self.tensor(part)
            elif number == 6:
                single[GRAPH] = self.graph(part, depth + 1)
            elif number == 7:
                lists[FLOATS].append(wire.fixed(part, "<f4"))
            elif number == 8:
                lists[INTS] += wire.integers(part)
            elif number == 9:
                self._count()
                lists[STRINGS].append(bytes(wire.content(part)))
            elif number == 10:
                lists[TENSORS].append(self.tensor(part))
            elif number == 11:
                lists[GRAPHS].append(self.graph(part, depth + 1))
            elif number == 14:
                single[TYPE_PROTO] = self._type(part)
            elif number == 20:
                attribute.type = wire.number(part)
            elif number == 21:
                attribute.reference = wire.text(part)
        attribute.type = attribute.type or _guessed(single, lists)
        attribute.value = _value(attribute.type, single, lists)
        return attribute

    def tensor(self, value: int | memoryview) -> TensorRecord:
        """TensorProto."""
        tensor = TensorRecord()
        dims: list[int] = []
        for number, _, part in self._fields(value):
            if number == 1:
                dims += wire.integers(part)
            elif number == 2:
                tensor.type = wire.number(part)
            elif number == 4:
                tensor.numbers.append(wire.fixed(part, "<f4"))
            elif number in (5, 7, 11):
                tensor.numbers.append(wire.varints(part))
            elif number == 6:
                self._count()
                tensor.texts.append(bytes(wire.content(part)))
            elif number == 8:
                tensor.name = wire.text(part)
            elif number == 9:
                tensor.raw = wire.content(part)
            elif number == 10:
                tensor.numbers.append(wire.fixed(part, "<f8"))
            elif number == 13:
                key, entry = self._entry(part)
                tensor.external[key] = entry
            elif number == 14:
                tensor.location = wire.number(part)
        tensor.dims = tuple(dims)
        if len(tensor.dims) > DIMS:
            raise FormatError(f"a tensor of {len(tensor.dims)} dims; at most {DIMS} are allowed")
        return tensor

    def _entry(self, value: int | memoryview) -> tuple[str, str]:
        """StringStringEntryProto."""
        key = entry = ""
        for number, _, part in self._fields(value):
            if number == 1:
                key = wire.text(part)
            elif number == 2:
                entry = wire.text(part)
        return key, entry

    def _info(self, value: int | memoryview) -> InfoRecord:
        info, name = InfoRecord(), ""
        for number, _, part in self._fields(value):
            if number == 1:
                name = wire.text(part)
            elif number == 2:
                info = self._type(part)
        info.name = name
        return info

    def _type(self, value: int | memoryview, depth: int = 0) -> InfoRecord:
        """TypeProto: a tensor's element type and dims, of anything else its kind and the element type inside."""
        info = InfoRecord()
        for number, _, part in self._fields(value):
            if number == 1:
                info.kind = "tensor"
                self._tensor_type(part, info)
            elif number in _KINDS:
                info.kind = _KINDS[number]
                for inner, _, element in self._fields(part):
                    if inner == 1 and number in (4, 9) and depth < DEPTH:
                        info.type = self._type(element, depth + 1).type
        return info

    def _tensor_type(self, value: int | memoryview, info: InfoRecord) -> None:
        for number, _, part in self._fields(value):
            if number == 1:
                info.type = wire.number(part)
            elif number == 2:
                info.dims = tuple(self._dim(d) for n, _, d in self._fields(part) if n == 1)
                if len(info.dims) > DIMS:
                    raise FormatError(f"a tensor of {len(info.dims)} dims; at most {DIMS} are allowed")

    def _dim(self, value: int | memoryview) -> int | str:
        dim: int | str = ""
        for number, _, part in self._fields(value):
            if number == 1:
                dim = wire.number(part)
            elif number == 2:
                dim = wire.text(part)
        return "" if isinstance(dim, int) and dim < 0 else dim


_KINDS = {4: "sequence", 5: "map", 8: "sparse tensor", 9: "optional"}


def _guessed(single: dict[int, Any], lists: dict[int, list[Any]]) -> int:
    """The type of an attribute that does not say it, as files before IR version 2 did."""
    return next(iter(single), next((kind for kind, values in lists.items() if values), 0))


def _value(kind: int, single: dict[int, Any], lists: dict[int, list[Any]]) -> Any:
    if kind == FLOATS:
        return tuple(float(v) for part in lists[FLOATS] for v in part)
    if kind in lists:
        return tuple(lists[kind])
    return single.get(kind, {FLOAT: 0.0, INT: 0, STRING: b""}.get(kind))
