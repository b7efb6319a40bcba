"""ONNX files put together in the tests, field by field."""

from __future__ import annotations

import io
import lzma
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numserve.engine.dtype import of
from numserve.engine.graph import Graph, Node, Value
from numserve.engine.onnx import OnnxModel, read
from numserve.engine.onnx.exporting.writer import tensor
from numserve.engine.onnx.wire import Message
from numserve.engine.ops import PRIMITIVES

FLOAT, INT, STRING, TENSOR, GRAPH, FLOATS, INTS, STRINGS = range(1, 9)
DATA = Path(__file__).parents[2] / "data" / "onnx"


def attribute(name: str, value: Any) -> Message:
    message = Message().text(1, name)
    if isinstance(value, float):
        return message.floating(2, value).integer(20, FLOAT)
    if isinstance(value, int):
        return message.integer(3, value).integer(20, INT)
    if isinstance(value, str):
        return message.text(4, value).integer(20, STRING)
    if isinstance(value, np.ndarray):
        return message.message(5, tensor("", value)).integer(20, TENSOR)
    if isinstance(value, Message):
        return message.message(6, value).integer(20, GRAPH)
    if value and isinstance(value[0], float):
        return message.floats(7, value).integer(20, FLOATS)
    if value and isinstance(value[0], str):
        for text in value:
            message.text(9, text)
        return message.integer(20, STRINGS)
    return message.integers(8, value).integer(20, INTS)


def node(op: str, inputs: Sequence[str], outputs: Sequence[str], domain: str = "", **attributes: Any) -> Message:
    message = Message()
    for name in inputs:
        message.text(1, name)
    for name in outputs:
        message.text(2, name)
    message.text(4, op).text(7, domain)
    for name, value in attributes.items():
        message.message(5, attribute(name, value))
    return message


def info(name: str, kind: int = 1, dims: Sequence[int | str] | None = None) -> Message:
    content = Message().integer(1, kind)
    if dims is not None:
        shape = Message()
        for dim in dims:
            shape.message(1, Message().integer(1, dim) if isinstance(dim, int) else Message().text(2, dim))
        content.message(2, shape)
    return Message().text(1, name).message(2, Message().message(1, content))


def graph(
    nodes: Sequence[Message],
    inputs: Sequence[Message] = (),
    outputs: Sequence[str] = ("y",),
    weights: Mapping[str, np.ndarray] | None = None,
    raw: Sequence[Message] = (),
) -> Message:
    message = Message()
    for part in nodes:
        message.message(1, part)
    for name, array in (weights or {}).items():
        message.message(5, tensor(name, array))
    for part in raw:
        message.message(5, part)
    for part in inputs:
        message.message(11, part)
    for name in outputs:
        message.message(12, Message().text(1, name))
    return message


def model(content: Message, opset: int = 20, functions: Sequence[Message] = (), **domains: int) -> bytes:
    message = Message().integer(1, 10).message(7, content)
    message.message(8, Message().text(1, "").integer(2, opset))
    for domain, version in domains.items():
        message.message(8, Message().text(1, domain.replace("_", ".")).integer(2, version))
    for function in functions:
        message.message(25, function)
    return b"".join(bytes(part) for part in message.parts())


def loaded(content: Message, opset: int = 20, **more: Any) -> OnnxModel:
    return read(memoryview(model(content, opset, **more)))


def run(op: str, *arrays: np.ndarray, opset: int = 20, outputs: int = 1, **attributes: Any) -> Any:
    """What one operator gives, its inputs being the model's."""
    from numserve.engine import Tensor
    from numserve.engine.onnx.elements import element_of

    names = [f"x{n}" for n in range(len(arrays))]
    results = [f"y{n}" for n in range(outputs)]
    infos = [info(name, element_of(array).code) for name, array in zip(names, arrays, strict=True)]
    made = loaded(graph([node(op, names, results, **attributes)], infos, results), opset)
    met = made(*map(Tensor, arrays))
    return tuple(t.array for t in met) if isinstance(met, tuple) else met.array


# Recurrent layers have their weights as constants from this operand on.
FIRST_WEIGHT = {"rnn": 2, "gru": 2, "lstm": 3}


def narrow(operand: Any) -> Any:
    wide = isinstance(operand, np.ndarray) and operand.dtype == np.float64
    return operand.astype(np.float32) if wide else operand


def graph_of(name: str, case: Any) -> tuple[Graph, list[np.ndarray]]:
    """A graph of one node, whose first operand is an input and whose others are constants, as layers have them."""
    operands = [narrow(o) for o in case.operands]
    values, inputs, constants = [], [], {}
    for n, operand in enumerate(operands):
        if not isinstance(operand, np.ndarray):
            values.append(operand)
            continue
        value = Value(f"v{n}", operand.shape, of(operand))
        values.append(value)
        if n >= FIRST_WEIGHT.get(name, n + 1):
            constants[value.name] = operand
        else:
            inputs.append((value, operand))
    results = PRIMITIVES[name].run(*operands, **case.attributes)
    results = results if isinstance(results, tuple) else (np.asarray(results),)
    outputs = tuple(Value(f"out{n}", r.shape, of(r)) for n, r in enumerate(results))
    node = Node(name, tuple(values), outputs, case.attributes)
    return Graph(tuple(v for v, _ in inputs), outputs, (node,), constants), [a for _, a in inputs]


def unpacked() -> dict[str, dict[str, np.ndarray]]:
    """Case → its model ("model"), inputs ("i0", …) and outputs ("o0", …)."""
    stream = io.BytesIO(lzma.decompress((DATA / "operators.xz").read_bytes()))
    cases: dict[str, dict[str, np.ndarray]] = {}
    while stream.tell() < len(stream.getbuffer()):
        name, _, part = str(np.load(stream)).partition("/")
        cases.setdefault(name, {})[part] = np.load(stream)
    return cases
