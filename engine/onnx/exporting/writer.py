"""Writer, which puts an ONNX graph together: nodes, constants and sizes that follow the batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np

from ...dtype import Array, DType, of, result_dtype
from ...errors import UnsupportedOpError
from ...graph.inference import outline
from ...graph.ir import Extent, Graph, Node, Operand, Shape, Size, Value
from .. import records
from ..elements import element_of
from ..wire import WIDTH, Message

OPSET = 20
ALIGNMENT = 64
Rule = Callable[["Writer", Node], None]
Function = TypeVar("Function", bound=Rule)

RULES: dict[str, Rule] = {}


def rule(*primitives: str) -> Callable[[Function], Function]:
    """Make a function the one that writes these primitives down."""

    def register(function: Function) -> Function:
        RULES.update(dict.fromkeys(primitives, function))
        return function

    return register


class Writer:
    """A graph that is being written."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.nodes: list[Message] = []
        self.constants: dict[str, Array] = {}
        self._layer = ""
        self._taken = {v.name for v in graph.inputs} | set(graph.constants) | set(graph.producers())
        self._numbers = self._count()
        self._sizes: dict[Size, str] = {}

    def _count(self) -> Iterator[str]:
        number = 0
        while True:
            name = f"made_{number}"
            number += 1
            if name not in self._taken:
                yield name

    def write(self, node: Node) -> None:
        """The nodes that stand for an operation of ours."""
        self._layer = node.layer
        RULES[node.op](self, node)

    # What rules are made of

    def node(
        self, op: str, inputs: Sequence[str], outputs: str | Sequence[str] | None = None, **attributes: Any
    ) -> str:
        """Write a node; the name of its first output, which is made up where none is given."""
        names = [next(self._numbers)] if outputs is None else [outputs] if isinstance(outputs, str) else list(outputs)
        message = Message()
        for name in _trimmed(inputs):
            message.text(1, name)
        for name in names:
            message.text(2, name)
        message.text(3, f"{self._layer}/{op}_{len(self.nodes)}".lstrip("/")).text(4, op)
        for name, value in attributes.items():
            if value is not None:
                message.message(5, _attribute(name, value))
        self.nodes.append(message)
        return names[0]

    def node_name(self) -> str:
        """A name that nothing has yet."""
        return next(self._numbers)

    def constant(self, array: Any, dtype: Any = None, name: str = "") -> str:
        """A constant, by its name."""
        name = name or next(self._numbers)
        self.constants[name] = np.asarray(array, dtype)
        return name

    def whole(self, *numbers: int) -> str:
        """A vector of whole numbers."""
        return self.constant(np.array(numbers, np.int64))

    def read(self, operand: Operand, dtype: DType | None = None) -> str:
        """The name of an operand, brought to a dtype where one is given; "" for None."""
        if operand is None:
            return ""
        if isinstance(operand, Value):
            array = self.graph.constant(operand)
            if array is not None and operand.name not in self.constants:
                self.constants[operand.name] = array
            if dtype is None or operand.dtype.numpy == dtype.numpy:
                return operand.name
            return self.cast(operand.name, dtype)
        if isinstance(operand, Extent):
            name = self._size(operand)
            return name if dtype is None or dtype.name == "int64" else self.cast(name, dtype)
        return self.constant(operand, None if dtype is None else dtype.numpy)

    def cast(self, name: str, dtype: DType, output: str | None = None) -> str:
        """A value as another dtype."""
        return self.node("Cast", [name], output, to=element_of(np.empty(0, dtype.numpy)).code)

    def together(self, node: Node) -> tuple[list[str], DType]:
        """All operands in the dtype that they meet in, and that dtype."""
        arrays = [
            outline((1,) * len(o.shape), o.dtype.numpy) if isinstance(o, Value) else 1 if isinstance(o, Extent) else o
            for o in node.inputs
        ]
        met = of(np.empty(0, result_dtype(*[a for a in arrays if a is not None])))
        return [self.read(o, met) for o in node.inputs], met

    # Sizes

    def _size(self, extent: Extent) -> str:
        """A size that follows the batch, as a number without dims."""
        if extent not in self._sizes:
            batch = self._batch()
            times = batch if extent.a == 1 else self.node("Mul", [batch, self.constant(extent.a, np.int64)])
            whole = times if not extent.b else self.node("Add", [times, self.constant(extent.b, np.int64)])
            self._sizes[extent] = whole
        return self._sizes[extent]

    def _batch(self) -> str:
        """The batch, from the first size of an input that follows it."""
        plain = Extent(1)
        if plain not in self._sizes:
            value, dim, size = next(
                (v, d, s) for v in self.graph.inputs for d, s in enumerate(v.shape) if isinstance(s, Extent)
            )
            met = self.node("Gather", [self.node("Shape", [value.name]), self.constant(dim, np.int64)])
            if size.b:
                met = self.node("Sub", [met, self.constant(size.b, np.int64)])
            self._sizes[plain] = met if size.a == 1 else self.node("Div", [met, self.constant(size.a, np.int64)])
        return self._sizes[plain]

    def sizes(self, shape: Sequence[Size]) -> str:
        """A shape as a vector."""
        if all(isinstance(s, int) for s in shape):
            return self.whole(*(s for s in shape if isinstance(s, int)))
        parts = [
            self.whole(s) if isinstance(s, int) else self.node("Unsqueeze", [self._size(s), self.whole(0)])
            for s in shape
        ]
        return self.node("Concat", parts, axis=0)

    def reshape(self, name: str, shape: Shape, output: str | None = None) -> str:
        """A value in another shape; a single size that follows the batch is left to be found."""
        follows = [s for s in shape if isinstance(s, Extent)]
        if len(follows) == 1 and 0 not in shape:
            return self.node(
                "Reshape", [name, self.whole(*(-1 if isinstance(s, Extent) else s for s in shape))], output
            )
        allow = 1 if 0 in shape else None
        return self.node("Reshape", [name, self.sizes(shape)], output, allowzero=allow)


def _trimmed(inputs: Sequence[str]) -> Sequence[str]:
    """Without the absent ones at the end."""
    last = max((n for n, name in enumerate(inputs, 1) if name), default=0)
    return inputs[:last]


def tensor(name: str, array: Array) -> Message:
    """TensorProto."""
    return _described(name, array).data(9, element_of(array).encode(array).data)


def _described(name: str, array: Array) -> Message:
    """A tensor's shape, type and name."""
    message = Message()
    for size in array.shape:
        message.integer(1, size)
    return message.integer(2, element_of(array).code).text(8, name)


def aligned_tensor(name: str, array: Array, at: int) -> Message:
    """TensorProto for the place `at` in a file, such that its values begin on a cache line: as they are mapped.

    What has to be between is a doc_string of blanks.
    """
    message = _described(name, array)
    gap = -(at + message.length + 1 + WIDTH) % ALIGNMENT if array.nbytes >= ALIGNMENT else 0
    if gap:
        message.data(12, b" " * ((gap if gap > 1 else gap + ALIGNMENT) - 2))
    return message.placed(9, element_of(array).encode(array).data)


def _attribute(name: str, value: Any) -> Message:
    """AttributeProto."""
    message = Message().text(1, name)
    if isinstance(value, (bool, int)):
        return message.integer(3, int(value)).integer(20, records.INT)
    if isinstance(value, float):
        return message.floating(2, value).integer(20, records.FLOAT)
    if isinstance(value, str):
        return message.text(4, value).integer(20, records.STRING)
    if isinstance(value, np.ndarray):
        return message.message(5, tensor("", value)).integer(20, records.TENSOR)
    if all(isinstance(v, int) for v in value):
        for number in value:
            message.integer(8, number)
        return message.integer(20, records.INTS)
    for text in value:
        message.text(9, text)
    return message.integer(20, records.STRINGS)


def unsupported(reason: str) -> UnsupportedOpError:
    """Why an operation has no counterpart."""
    return UnsupportedOpError(reason)
