"""export(), which writes a module as an ONNX file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..errors import EngineError, MissingOperatorsError, UnsupportedOpError
from ..formats.mapping import FilePath
from ..formats.writing import replacing
from ..graph.capture import capture
from ..graph.ir import Extent, Graph, Size, Value
from ..graph.recording import CaptureError
from ..nn.module import Module
from .elements import element_of
from .exporting import OPSET, RULES, Writer
from .exporting.writer import aligned_tensor
from .wire import WIDTH, Message

IR_VERSION = 10
MOST = (1 << 31) - 1  # what protobuf allows a message to be


def export(
    module: Module,
    example: Any,
    path: FilePath,
    *,
    dynamic_batch: bool = True,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
) -> None:
    """Write what a module does to inputs like the example (a tensor, or a tuple of several) as an ONNX file.

    With `dynamic_batch` the file is for every batch: the first dim of its inputs is called "batch". The values of the
    module's parameters go into the file.
    Raises: CaptureError where what the module does depends on values, or on the batch where that is to be dynamic;
    MissingOperatorsError with all operations that ONNX has no counterpart for.
    """
    examples = tuple(example) if isinstance(example, (tuple, list)) else (example,)
    graph = capture(module, *examples)
    if not dynamic_batch:
        graph = graph.at(graph.batch_of([tensor.array.shape for tensor in examples]))
    elif not graph.polymorphic:
        raise CaptureError(f"the graph is {graph.note or 'for one batch'}; export with dynamic_batch=False")
    write(_named(graph, input_names, output_names), path)


def write(graph: Graph, path: FilePath) -> None:
    """Write a captured graph as an ONNX file.

    Raises: MissingOperatorsError with all operations without a counterpart in ONNX; EngineError where it is too large.
    """
    message = _model(graph)
    if message.length > MOST:
        raise EngineError(f"the file would have {message.length} bytes; protobuf allows {MOST}")
    with replacing(path) as file:
        for part in message.parts():
            file.write(part)


def _model(graph: Graph) -> Message:
    """ModelProto."""
    opset = Message().text(1, "").integer(2, OPSET)
    header = Message().integer(1, IR_VERSION).text(2, "numserve").message(8, opset)
    return header.placed(7, *_graph(graph, header.length + 1 + WIDTH).parts())


def _graph(graph: Graph, start: int) -> Message:
    """GraphProto for a place in a file; the tensors come last."""
    writer = Writer(graph)
    _write_all(writer, graph)
    outputs = [_own_name(writer, graph, value, n) for n, value in enumerate(graph.outputs)]
    message = Message().text(2, "model")
    for node in writer.nodes:
        message.message(1, node)
    for value in graph.inputs:
        message.message(11, _info(value.name, value))
    for name, value in zip(outputs, graph.outputs, strict=True):
        message.message(12, _info(name, value))
    for name, array in writer.constants.items():
        made = aligned_tensor(name, array, start + message.length + 1 + WIDTH)
        message.placed(5, *made.parts())
    return message


def _own_name(writer: Writer, graph: Graph, value: Value, place: int) -> str:
    """The name of an output; one of its own where the value is an input, a constant, or an output already."""
    made = {output.name for node in graph.nodes for output in node.outputs}
    before = {other.name for other in graph.outputs[:place]}
    if value.name in made and value.name not in before:
        return value.name
    return writer.node("Identity", [writer.read(value)])


def _write_all(writer: Writer, graph: Graph) -> None:
    """Write every node; refuse those without a counterpart, all of them at once."""
    missing: dict[str, str] = {}
    for node in graph.nodes:
        layer = f"{node.op} (layer {node.layer or '-'})"
        try:
            if node.op in RULES:
                writer.write(node)
            else:
                missing.setdefault(node.op, layer)
        except UnsupportedOpError as error:
            missing.setdefault(str(error), f"{layer}: {error}")
    if missing:
        raise MissingOperatorsError(f"ONNX has no counterpart for {'; '.join(missing.values())}")


def _info(name: str, value: Value) -> Message:
    """ValueInfoProto."""
    shape = Message()
    for size in value.shape:
        shape.message(1, _dim(size))
    kind = element_of(np.empty(0, value.dtype.numpy))
    tensor = Message().integer(1, kind.code).message(2, shape)
    return Message().text(1, name).message(2, Message().message(1, tensor))


def _dim(size: Size) -> Message:
    if isinstance(size, int):
        return Message().integer(1, size)
    return Message().text(
        2, "batch" if size == Extent(1) else f"{size.a}*batch{size.b:+d}" if size.b else f"{size.a}*batch"
    )


def _named(graph: Graph, inputs: Sequence[str] | None, outputs: Sequence[str] | None) -> Graph:
    """The graph with other names for its inputs and outputs."""
    names = {}
    for values, given in ((graph.inputs, inputs), (graph.outputs, outputs)):
        if given is not None:
            if len(given) != len(values) or len(set(given)) != len(given):
                raise EngineError(f"{len(given)} names, {', '.join(given)}, for {len(values)} inputs or outputs")
            names.update({v.name: name for v, name in zip(values, given, strict=True)})
    return _renamed(graph, names) if names else graph


def _renamed(graph: Graph, names: dict[str, str]) -> Graph:
    taken = ({v.name for n in graph.nodes for v in n.outputs} | set(graph.constants)) - names.keys()
    clashes = taken & set(names.values())
    names = {**{name: f"{name}_" for name in clashes}, **names}

    def value(v: Any) -> Any:
        return replace(v, name=names.get(v.name, v.name)) if isinstance(v, Value) else v

    def values(items: Iterable[Any]) -> tuple[Any, ...]:
        return tuple(map(value, items))

    nodes = tuple(replace(n, inputs=values(n.inputs), outputs=values(n.outputs)) for n in graph.nodes)
    constants = {names.get(name, name): array for name, array in graph.constants.items()}
    return replace(graph, inputs=values(graph.inputs), outputs=values(graph.outputs), nodes=nodes, constants=constants)
