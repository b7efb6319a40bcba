"""Call, what an operator is given: its attributes and version, and primitives to carry out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from ..dtype import Array, DType, bfloat16, of
from ..errors import FormatError
from ..graph.recording import CaptureError
from .elements import ELEMENTS, Element, element
from .items import Item, Operand, Thing, known
from .records import AttributeRecord, GraphRecord, NodeRecord
from .running import Run

DTYPES: dict[int, DType] = {
    code: of(np.empty(0, e.carrier)) for code, e in ELEMENTS.items() if e.carrier.kind in "biufc"
}


class Inner(Protocol):
    """What runs the graphs inside a node: branches and the bodies of loops."""

    def __call__(self, graph: GraphRecord, inputs: Sequence[Thing]) -> list[Thing]:
        """The graph's outputs."""
        ...


class Call:
    """One node being run. Calling it carries a primitive out: `at("relu", x)`."""

    def __init__(self, run: Run, node: NodeRecord, version: int, inner: Inner) -> None:
        self.run = run
        self.node = node
        self.version = version
        self.inner = inner
        self.attributes: Mapping[str, AttributeRecord] = node.attributes

    def __call__(self, name: str, *operands: Operand, **attributes: Any) -> Item:
        """The result of a primitive, the first where there are several."""
        return self.run.apply(name, operands, attributes)[0]

    def several(self, name: str, *operands: Operand, **attributes: Any) -> tuple[Item, ...]:
        """All results of a primitive."""
        return self.run.apply(name, operands, attributes)

    @property
    def outputs(self) -> int:
        """How many outputs are wanted."""
        return max((n for n, name in enumerate(self.node.outputs, 1) if name), default=0)

    # Attributes

    def has(self, name: str) -> bool:
        """Whether the node has the attribute."""
        return name in self.attributes

    def _value(self, name: str, default: Any, kind: type | tuple[type, ...]) -> Any:
        if name not in self.attributes:
            if default is ...:
                raise FormatError(f"the attribute {name!r} is missing")
            return default
        value = self.attributes[name].value
        if not isinstance(value, kind):
            raise FormatError(f"the attribute {name!r} is of another type than it should be")
        return value

    def integer(self, name: str, default: Any = ...) -> Any:
        """A whole number."""
        return self._value(name, default, int)

    def flag(self, name: str, default: bool = False) -> bool:
        """A whole number that says yes or no."""
        return bool(self._value(name, default, int))

    def number(self, name: str, default: Any = ...) -> Any:
        """A number with a fraction."""
        value = self._value(name, default, (float, int))
        return value if value is None else float(value)

    def text(self, name: str, default: Any = ...) -> Any:
        """A text."""
        value = self._value(name, default, bytes)
        return value.decode(errors="replace") if isinstance(value, bytes) else value

    def integers(self, name: str, default: Any = ...) -> Any:
        """Whole numbers."""
        value = self._value(name, default, tuple)
        if value and not all(isinstance(v, int) for v in value):
            raise FormatError(f"the attribute {name!r} does not hold whole numbers")
        return value

    def numbers(self, name: str, default: Any = ...) -> Any:
        """Numbers with fractions."""
        value = self._value(name, default, tuple)
        return None if value is None else tuple(map(float, value))

    def texts(self, name: str, default: Any = ...) -> Any:
        """Texts."""
        value = self._value(name, default, tuple)
        if value is None:
            return None
        return tuple(v.decode(errors="replace") if isinstance(v, bytes) else v for v in value)

    def tensor(self, name: str, default: Any = ...) -> Item:
        """A tensor."""
        value: Item = self._value(name, default, Item)
        return value

    def graph(self, name: str) -> GraphRecord:
        """A graph."""
        value: GraphRecord = self._value(name, ..., GraphRecord)
        return value

    def element(self, name: str, default: Any = ...) -> Element:
        """An element type."""
        value = self._value(name, default, (int, Element))
        return element(value) if isinstance(value, int) else value

    # Values

    def constant(self, array: Any, like: Item | None = None) -> Item:
        """An item of values that are there, in the dtype of another one where that is given."""
        values = np.asarray(array) if like is None else np.asarray(array, like.array.dtype)
        return known(values)

    def values(self, item: Thing, what: str) -> Array:
        """The values of an input that must be known; CaptureError where they depend on the model's inputs."""
        if not isinstance(item, Item):
            raise FormatError(f"the input {what} is missing")
        if not item.known:
            raise CaptureError(f"runs eager: {what} of {self.where} depends on the inputs")
        return item.array

    def whole(self, item: Thing, what: str) -> tuple[int, ...]:
        """Whole numbers that must be known."""
        array = self.values(item, what)
        if array.dtype.kind not in "iu":
            raise FormatError(f"the input {what} is {array.dtype}; expected whole numbers")
        return tuple(array.reshape(-1).tolist())

    def one(self, item: Thing, what: str) -> Any:
        """A single number that must be known."""
        array = self.values(item, what)
        if array.size != 1:
            raise FormatError(f"the input {what} has the shape {array.shape}; expected one value")
        return array.item()

    def hosted(self, function: Callable[..., Any], *items: Thing) -> Any:
        """What a plain function gives for values that must be known: for operators that no graph can hold."""
        unknown = next((i for i in items if isinstance(i, Item) and not i.known), None)
        if unknown is not None:
            raise CaptureError(f"runs eager: {self.where} is not an operation on graphs")
        with np.errstate(all="ignore"):
            return function(*(i.array if isinstance(i, Item) else i for i in items))

    @property
    def where(self) -> str:
        """The node, for messages."""
        return f"{self.node.op} {self.node.name!r}" if self.node.name else self.node.op

    # What many operators do

    def cast(self, item: Item, kind: Element, saturate: bool = True) -> Item:
        """The item as another element type."""
        if item.known:
            with np.errstate(all="ignore"):
                return Item(kind.hold(item.array, saturate), kind)
        if kind.name == "bfloat16":
            return Item(*self._relabelled(self("cast", item, dtype=bfloat16), kind))
        if kind.narrow or kind.code not in DTYPES:
            raise CaptureError(f"runs eager: {self.where} casts to {kind.name}")
        if item.array.dtype == kind.carrier:
            return Item(item.array, kind, item.number, item.name)
        return Item(*self._relabelled(self("cast", item, dtype=DTYPES[kind.code]), kind))

    def _relabelled(self, item: Item, kind: Element) -> tuple[Array, Element, int | None]:
        return item.array, kind, item.number

    def part(self, x: Item, axis: int, start: int, stop: int, step: int = 1) -> Item:
        """Part of a dim."""
        return self("getitem", x, index=(*(slice(None),) * (axis % x.ndim), slice(start, stop, step)))

    def pick(self, x: Item, axis: int, place: int) -> Item:
        """One place of a dim, without that dim."""
        return self("getitem", x, index=(*(slice(None),) * (axis % x.ndim), place))

    def as_float(self, item: Item) -> Item:
        """The item in float32 where it is coarser than that."""
        return self.cast(item, ELEMENTS[1]) if item.array.dtype.itemsize < 4 or not item.floating else item

    def axis(self, axis: int, ndim: int) -> int:
        """An axis counted from the front."""
        if not -ndim <= axis < max(ndim, 1):
            raise FormatError(f"there is no axis {axis} among {ndim}")
        return axis % max(ndim, 1)
