"""Emitter, which writes a graph down as the code of a forward(): names, literals and lines."""

from __future__ import annotations

import keyword
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ..aten import CODES
from ..dtype import DType
from ..errors import UnsupportedOpError
from ..graph.ir import Extent, Graph, Node, Operand, Value

Rule = Callable[["Emitter", Node], str]

_RESERVED = frozenset({
    *keyword.kwlist, "torch", "ops", "self", "inf", "nan", "CONSTANTS", "annotate", "uninitialized", "unchecked_cast",
    "int", "float", "bool", "str", "range", "print", "getattr", "hasattr", "isinstance", "fork", "Tensor", "len",
})  # fmt: skip


class Emitter:
    """Writes the nodes of a graph, each by the rule for its operation."""

    def __init__(self, graph: Graph, constants: dict[str, str], reserved: Iterable[str] = ()) -> None:
        self.graph = graph
        self.lines: list[str] = []
        self._taken = {*_RESERVED, *reserved}
        self._names = {v.name: self.fresh(v.name) for v in graph.inputs}
        self._names |= constants
        self.inputs = [self._names[v.name] for v in graph.inputs]
        self._size = ""

    def body(self, rules: dict[str, Rule]) -> list[str]:
        """The lines that compute the outputs."""
        for node in self.graph.nodes:
            rule = rules.get(node.op)
            if rule is None:
                raise UnsupportedOpError(f"{node.op} (layer {node.layer or '-'}) cannot be written as TorchScript")
            expression = rule(self, node)
            names = [self.fresh(value.name) for value in node.outputs]
            self.lines.append(f"{', '.join(names)}{', ' if len(names) > 1 else ''} = {expression}")
            self._names |= {v.name: name for v, name in zip(node.outputs, names, strict=True)}
        return self.lines

    # Names and lines

    def fresh(self, stem: str) -> str:
        """A name that nothing has yet, as near to the stem as a name can be."""
        base = re.sub(r"\W", "_", stem)
        base = base if base[:1].isalpha() else f"v{base}"
        name, number = base, 0
        while name in self._taken:
            name, number = f"{base}_{number}", number + 1
        self._taken.add(name)
        return name

    def let(self, expression: str, stem: str = "part") -> str:
        """Give an expression a name."""
        name = self.fresh(stem)
        self.lines.append(f"{name} = {expression}")
        return name

    def know(self, name: str) -> None:
        """Let a value be asked for by the name of a line."""
        self._names[name] = name

    def unpacked(self, expression: str, count: int) -> list[str]:
        """Give each of several results a name."""
        names = [self.fresh("part") for _ in range(count)]
        self.lines.append(f"{', '.join(names)}, = {expression}")
        return names

    # Values

    def operand(self, item: Operand) -> str:
        """A value's name, or a number as text."""
        return self._names[item.name] if isinstance(item, Value) else self.text(item)

    def operands(self, items: Iterable[Operand]) -> list[str]:
        """Several of them."""
        return [self.operand(item) for item in items]

    def tensor(self, item: Operand, like: Value) -> str:
        """An operand as a tensor, where a number will not do."""
        if isinstance(item, Value):
            return self.operand(item)
        return f"torch.full([], {self.operand(item)}, dtype={CODES[like.dtype.name]})"

    def text(self, item: Any) -> str:
        """A number, text, list or size that follows the batch."""
        if isinstance(item, Extent):
            return self._extent(item)
        if isinstance(item, DType):
            return str(CODES[item.name])
        if isinstance(item, float):
            return _float(item)
        if isinstance(item, complex):
            return f"torch.Complex({_float(item.real)}, {_float(item.imag)})"
        if isinstance(item, str):
            return '"' + item.replace("\\", "\\\\").replace('"', '\\"') + '"'
        if isinstance(item, (tuple, list)):
            return f"[{', '.join(map(self.text, item))}]"
        return repr(item)

    def _extent(self, extent: Extent) -> str:
        size = self._batch()
        scaled = size if extent.a == 1 else f"torch.mul({size}, {extent.a})"
        return scaled if not extent.b else f"torch.add({scaled}, {extent.b})"

    def _batch(self) -> str:
        """The size of the batch, read off the first input that has it."""
        if not self._size:
            value, dim, extent = next(
                (v, d, s) for v in self.graph.inputs for d, s in enumerate(v.shape) if isinstance(s, Extent)
            )
            expression = f"torch.size({self.operand(value)}, {dim})"
            if extent.b:
                expression = f"torch.sub({expression}, {extent.b})"
            if extent.a != 1:
                expression = f"torch.floordiv({expression}, {extent.a})"
            self._size = self.fresh("batch")
            self.lines.insert(0, f"{self._size} = {expression}")
        return self._size


def call(name: str, *arguments: str, **named: str) -> str:
    """The call of an operator."""
    parts = [*arguments, *(f"{key}={value}" for key, value in named.items())]
    return f"torch.{name}({', '.join(parts)})"


def sizes_of(value: Value, count: int) -> Sequence[Any]:
    """The last sizes of a value."""
    return value.shape[len(value.shape) - count :]


def _float(value: float) -> str:
    if value != value or value in (float("inf"), float("-inf")):
        return "nan" if value != value else "inf" if value > 0 else "-inf"
    digits = repr(value)
    return digits if any(mark in digits for mark in ".e") else f"{digits}."
