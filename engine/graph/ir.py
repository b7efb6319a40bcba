"""Graph, a model as a flat list of operations on named values, and what it consists of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..dtype import Array, DType
from ..errors import EngineError, ShapeError


@dataclass(frozen=True, slots=True)
class Extent:
    """A size that follows the batch: a · N + b."""

    a: int
    b: int = 0

    def at(self, batch: int) -> int:
        """The size for a batch of so many."""
        return self.a * batch + self.b

    def __str__(self) -> str:
        follows = "N" if self.a == 1 else f"{self.a}N"
        return follows if not self.b else f"{follows}{self.b:+d}"

    __repr__ = __str__


Size = int | Extent
Shape = tuple[Size, ...]


@dataclass(frozen=True, slots=True)
class Value:
    """What flows between operations: an array of this shape and dtype, known by a name that is unique in its graph."""

    name: str
    shape: Shape
    dtype: DType

    def __str__(self) -> str:
        return f"{self.name} {_kind(self)}"


Operand = Value | Extent | bool | int | float | complex | None


@dataclass(frozen=True)
class Node:
    """One operation: a row of PRIMITIVES, its operands and attributes, and the layer of the model it stands in."""

    op: str
    inputs: tuple[Operand, ...]
    outputs: tuple[Value, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    layer: str = ""

    @property
    def output(self) -> Value:
        """The first output, for most operations the only one."""
        return self.outputs[0]

    @property
    def values(self) -> Iterator[Value]:
        """The operands that are values."""
        return (i for i in self.inputs if isinstance(i, Value))

    def __str__(self) -> str:
        results = ", ".join(map(str, self.outputs))
        operands = ", ".join(o.name if isinstance(o, Value) else str(o) for o in self.inputs)
        options = "; ".join(f"{name}={_brief(value)}" for name, value in self.attributes.items())
        return f"{results} = {self.op}({operands}{'; ' if options else ''}{options})"


@dataclass(frozen=True)
class Graph:
    """Operations in running order, between inputs and outputs; `constants` are arrays by the names of their values.

    A graph whose inputs have an Extent is right for every batch; at(batch) gives it with plain sizes. `structure` says
    what the outputs are part of (structure.py); None where they are a tuple, or the only one. `note` says why a graph
    is for one batch alone.
    """

    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    nodes: tuple[Node, ...]
    constants: Mapping[str, Array] = field(default_factory=dict)
    structure: Any = None
    note: str = ""

    @property
    def polymorphic(self) -> bool:
        """Whether it is right for every batch."""
        return any(isinstance(size, Extent) for value in self.inputs for size in value.shape)

    def is_constant(self, operand: Operand) -> bool:
        """Whether an operand is a value that is there before the graph runs."""
        return isinstance(operand, Value) and operand.name in self.constants

    def constant(self, operand: Operand) -> Array | None:
        """The array of a constant; None for anything else."""
        return self.constants.get(operand.name) if isinstance(operand, Value) else None

    def producers(self) -> dict[str, Node]:
        """The node that makes each value, by the value's name."""
        return {output.name: node for node in self.nodes for output in node.outputs}

    def producer(self, value: Value) -> Node | None:
        """The node that makes a value; None for inputs and constants."""
        return next((n for n in self.nodes if any(o.name == value.name for o in n.outputs)), None)

    def users(self) -> dict[str, list[Node]]:
        """The nodes that read each value, by the value's name, once for every time that they do."""
        table: dict[str, list[Node]] = {}
        for node in self.nodes:
            for value in node.values:
                table.setdefault(value.name, []).append(node)
        return table

    def consumers(self, value: Value) -> tuple[Node, ...]:
        """The nodes that read a value."""
        return tuple(n for n in self.nodes if any(v.name == value.name for v in n.values))

    def at(self, batch: int) -> Graph:
        """The graph for one batch: no Extent is left in shapes, operands and attributes."""

        def fixed(value: Value) -> Value:
            return replace(value, shape=tuple(s.at(batch) if isinstance(s, Extent) else s for s in value.shape))

        def operand(item: Operand) -> Operand:
            return fixed(item) if isinstance(item, Value) else item.at(batch) if isinstance(item, Extent) else item

        nodes = tuple(
            replace(
                n,
                inputs=tuple(map(operand, n.inputs)),
                outputs=tuple(map(fixed, n.outputs)),
                attributes=each(dict(n.attributes), lambda e: e.at(batch) if isinstance(e, Extent) else e),
            )
            for n in self.nodes
        )
        return replace(
            self, inputs=tuple(map(fixed, self.inputs)), outputs=tuple(map(fixed, self.outputs)), nodes=nodes
        )

    def batch_of(self, shapes: Sequence[Sequence[int]]) -> int:
        """The batch that inputs of these shapes are; ShapeError where they do not fit the graph."""
        if len(shapes) != len(self.inputs):
            raise ShapeError(f"the graph has {len(self.inputs)} inputs; met {len(shapes)}")
        batch: int | None = None
        for value, shape in zip(self.inputs, shapes, strict=True):
            if batch is None:
                batch = _solved(value, shape)
            expected = tuple(s.at(batch or 0) if isinstance(s, Extent) else s for s in value.shape)
            if tuple(shape) != expected:
                raise ShapeError(f"input {value.name!r}: met shape {tuple(shape)}; expected {_listed(value.shape)}")
        return 1 if batch is None else batch

    def validate(self) -> Graph:
        """The graph itself, or EngineError where a value is read before it is made, or made twice."""
        known = {v.name: v for v in self.inputs}
        for name in self.constants:
            if name in known:
                raise EngineError(f"graph: {name!r} is an input and a constant")
        for node in self.nodes:
            for value in node.values:
                _check_read(value, known, self.constants, f"{node.op} (layer {node.layer or '-'})")
            for value in node.outputs:
                if value.name in known or value.name in self.constants:
                    raise EngineError(f"graph: {node.op} makes {value.name!r}, which is there already")
                known[value.name] = value
        for value in self.outputs:
            _check_read(value, known, self.constants, "the outputs")
        return self

    def __str__(self) -> str:
        lines = [f"graph({', '.join(map(str, self.inputs))})"]
        layer = None
        for node in self.nodes:
            if node.layer != layer:
                layer = node.layer
                lines.append(f"  # {layer or '(the model itself)'}")
            lines.append(f"  {node}")
        lines.append(f"  return {', '.join(v.name for v in self.outputs)}")
        weights = sum(a.nbytes for a in self.constants.values())
        lines.append(f"  # {len(self.nodes)} nodes; {len(self.constants)} constants, {weights / 1e6:.1f} MB")
        return "\n".join(lines)


def each(item: Any, change: Callable[[Any], Any]) -> Any:
    """An attribute with a change made to every number, text or Extent in it."""
    if isinstance(item, (tuple, list)):
        return type(item)(each(i, change) for i in item)
    if isinstance(item, dict):
        return {name: each(i, change) for name, i in item.items()}
    if isinstance(item, slice):
        return slice(*(each(i, change) for i in (item.start, item.stop, item.step)))
    return change(item)


def fresh_names(graph: Graph, stem: str) -> Iterator[str]:
    """Names that the graph does not have, with a common beginning."""
    taken = {v.name for v in graph.inputs} | set(graph.constants) | set(graph.producers())
    return (name for name in (f"{stem}{n}" for n in _count()) if name not in taken)


def _count() -> Iterable[int]:
    number = 0
    while True:
        yield number
        number += 1


def _solved(value: Value, shape: Sequence[int]) -> int | None:
    """The batch from the first size that follows it."""
    for size, met in zip(value.shape, shape, strict=False):
        if isinstance(size, Extent):
            batch, rest = divmod(met - size.b, size.a)
            if rest or batch < 0:
                raise ShapeError(f"input {value.name!r}: met shape {tuple(shape)}; expected {_listed(value.shape)}")
            return batch
    return None


def _check_read(value: Value, known: Mapping[str, Value], constants: Mapping[str, Array], reader: str) -> None:
    if value.name in constants:
        if constants[value.name].shape != value.shape:
            raise EngineError(f"graph: constant {value} is read by {reader}; it is {constants[value.name].shape}")
    elif known.get(value.name) != value:
        made = known.get(value.name)
        raise EngineError(f"graph: {value} is read by {reader}; {f'it is {made}' if made else 'nothing makes it'}")


def _listed(shape: Shape) -> str:
    return f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"


def _kind(value: Value) -> str:
    return f"{value.dtype.name}[{', '.join(map(str, value.shape))}]"


def _brief(item: Any) -> str:
    if isinstance(item, (tuple, list)):
        return f"({', '.join(map(_brief, item))})"
    if isinstance(item, slice):
        return ":".join("" if i is None else str(i) for i in (item.start, item.stop)) + (
            "" if item.step is None else f":{item.step}"
        )
    return getattr(item, "name", None) or repr(item)
