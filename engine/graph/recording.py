"""Recorder, which watches a module run and writes down every operation on values by number.

A value is what a place in memory holds between two changes of it. So views, detached tensors and in-place operations
come out as operations on values that never change: a change through a view is a `place` into what it is a view of.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, NamedTuple

import numpy as np

from ..dtype import Array, DType, of
from ..errors import EngineError
from ..ops.primitive import Primitive
from ..ops.shape import place
from ..tensor import Tensor
from .inference import BY_VALUES, ELEMENTWISE, outlines_of

ENGINE = str(Path(__file__).parent.parent)
OURS_TO_SHOW = str(Path(ENGINE) / "models")
COPIES = {"clone", "contiguous"}
# What gives arrays of its own, of shapes that are known before.
SPARED = (ELEMENTWISE - {"cast", "conj", *COPIES}) | {
    "conv", "conv_transpose", "linear", "matmul", "scaled_dot_product_attention", "rnn", "lstm", "gru", "batch_norm",
    "layer_norm", "rms_norm", "group_norm", "local_response_norm", "max_pool", "avg_pool", "adaptive_max_pool",
    "interpolate", "softmax", "log_softmax", "cat", "stack", "sum", "mean", "amax", "amin", "var", "std",
}  # fmt: skip
WORTH_SPARING = 4096  # elements


class CaptureError(EngineError):
    """A module that cannot be captured as a graph; it runs eager."""


class Ref(NamedTuple):
    """A value, by its number."""

    number: int


@dataclass(frozen=True)
class Slot:
    """What is known of a value: `array` for a constant, `name` for an input or a part of the module's state."""

    shape: tuple[int, ...]
    dtype: DType
    array: Array | None = None
    name: str = ""
    place: str = ""


@dataclass(frozen=True)
class Event:
    """One operation."""

    op: str
    operands: tuple[Any, ...]
    attributes: dict[str, Any]
    results: tuple[int, ...]
    layer: str
    place: str


class Location(NamedTuple):
    """Where the elements of an array lie."""

    address: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: DType

    @classmethod
    def of(cls, array: Array) -> Location:
        """Where an array lies."""
        return cls(array.__array_interface__["data"][0], array.shape, array.strides, of(array))


class Link(NamedTuple):
    """How a view came from another location of the same memory."""

    parent: Location
    primitive: Primitive
    attributes: dict[str, Any]


@dataclass
class Memory:
    """What the locations of one piece of memory hold; `box` is the version that all tensors over it share."""

    box: list[int]
    version: int
    current: dict[Location, int]
    links: dict[Location, Link] = field(default_factory=dict)


@dataclass
class Recording:
    """What one run of a module did."""

    batch: int
    slots: list[Slot] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    inputs: int = 0
    outputs: tuple[int, ...] = ()
    structure: Any = None


class Recorder:
    """The watcher of one run; one for `shapes` alone lets expensive operations give zeros."""

    def __init__(
        self, batch: int, inputs: dict[str, Tensor], state: dict[str, Tensor], *, shapes: bool = False
    ) -> None:
        self._shapes = shapes
        self.recording = Recording(batch)
        self.failure: CaptureError | None = None
        self.layers: list[str] = []
        self._state = {id(tensor.version): name for name, tensor in state.items()}
        self._memories: dict[int, Memory] = {}
        self._alive: dict[Location, tuple[weakref.ref[Array], Memory]] = {}
        self._kept: list[Array] = []
        self._fed: set[int] = set()
        for name, tensor in inputs.items():
            number = self._slot(Slot(tensor.array.shape, tensor.dtype, name=name))
            self._fed.add(number)
            self._remember(tensor.array, tensor.version, number)
        self.recording.inputs = len(inputs)

    # What tensors tell

    def run(self, primitive: Primitive, operands: Sequence[Any], attributes: dict[str, Any]) -> Any:
        """What a primitive gives; what depends on the inputs may be zeros, as nothing may read it."""
        arrays = [o.array if isinstance(o, Tensor) else o for o in operands]
        if not self._shapes or primitive.name not in SPARED or not self._is_fed(operands):
            return primitive.run(*arrays, **attributes)
        if sum(a.size for a in arrays if isinstance(a, np.ndarray)) < WORTH_SPARING:
            return primitive.run(*arrays, **attributes)
        zeros = tuple(np.zeros(o.shape, o.dtype) for o in outlines_of(primitive.name, arrays, attributes))
        return zeros if len(zeros) > 1 else zeros[0]

    def _is_fed(self, operands: Sequence[Any]) -> bool:
        return any(isinstance(o, Tensor) and self.number(o) in self._fed for o in operands)

    def ran(
        self, primitive: Primitive, operands: Sequence[Any], attributes: dict[str, Any], outputs: Sequence[Tensor]
    ) -> None:
        """Write an operation down; copies are not operations on values."""
        refs = tuple(self._operand(o) for o in operands)
        if primitive.name in BY_VALUES or (primitive.name == "one_hot" and attributes.get("num_classes", -1) == -1):
            self._refuse_if_fed(refs, f"the shape of what {primitive.name}() gives depends on values")
        if primitive.name in COPIES:
            numbers: tuple[int, ...] = (refs[0].number,)
        else:
            numbers = self._event(primitive.name, refs, attributes, [(o.array.shape, o.dtype) for o in outputs])
        for output, number in zip(outputs, numbers, strict=True):
            source = next((o for o in operands if isinstance(o, Tensor) and o.version is output.version), None)
            memory = self._remember(output.array, output.version, number)
            here = Location.of(output.array)
            if source is not None and (parent := Location.of(source.array)) != here:
                memory.links[here] = Link(parent, primitive, attributes)

    def changing(self, tensor: Tensor) -> None:
        """Refuse changes of what the module keeps, before they are made."""
        if name := self._state.get(id(tensor.version)):
            raise self._refusal(f"the module changes {name!r}, which it keeps, in place")

    def became(self, tensor: Tensor, result: Tensor) -> None:
        """Follow a change in place up to the whole memory; other views of it are derived anew when they are used."""
        memory, here, value = self._memories[id(tensor.version)], Location.of(tensor.array), self.number(result)
        if result.dtype != tensor.dtype:
            value = self._derived("cast", (Ref(value),), {"dtype": tensor.dtype}, here)
        now = {here: value}
        while link := memory.links.get(here):
            whole = Ref(self._at(memory, link.parent))
            how = {"view": link.primitive, "how": link.attributes}
            value = self._derived(place.name, (whole, Ref(value)), how, link.parent)
            here = link.parent
            now[here] = value
        memory.current, memory.version = now, tensor.version[0]

    def read(self, tensor: Tensor, how: str) -> None:
        """Refuse to let values out that depend on the inputs."""
        if self.number(tensor) in self._fed:
            raise self._refusal(f"data-dependent control flow: {how} of a value that depends on the inputs")

    def _refuse_if_fed(self, refs: Sequence[Any], reason: str) -> None:
        if any(isinstance(ref, Ref) and ref.number in self._fed for ref in refs):
            raise self._refusal(f"{reason} that depend on the inputs")

    def number(self, tensor: Tensor) -> int:
        """The number of the value that a tensor has; unknown tensors are constants."""
        memory = self._memories.get(id(tensor.version)) or self._alias(tensor.array)
        if memory is None:
            return self._constant(tensor.array, tensor.version)
        if memory.box[0] != memory.version:
            raise self._refusal("memory was changed past the engine's operations")
        return self._at(memory, Location.of(tensor.array))

    # Keeping count

    def _operand(self, operand: Any) -> Any:
        if isinstance(operand, Tensor):
            return Ref(self.number(operand))
        if isinstance(operand, np.ndarray):
            memory = self._alias(operand)
            return Ref(self._constant(operand, [0]) if memory is None else self._at(memory, Location.of(operand)))
        return operand.item() if isinstance(operand, np.generic) else operand

    def _slot(self, slot: Slot) -> int:
        self.recording.slots.append(slot)
        return len(self.recording.slots) - 1

    def _event(
        self,
        op: str,
        operands: tuple[Any, ...],
        attributes: dict[str, Any],
        results: Sequence[tuple[tuple[int, ...], DType]],
    ) -> tuple[int, ...]:
        where = user_line()
        numbers = tuple(self._slot(Slot(shape, dtype, place=where)) for shape, dtype in results)
        if any(isinstance(o, Ref) and o.number in self._fed for o in operands):
            self._fed.update(numbers)
        layer = self.layers[-1] if self.layers else ""
        self.recording.events.append(Event(op, operands, attributes, numbers, layer, where))
        return numbers

    def _derived(self, op: str, operands: tuple[Any, ...], attributes: dict[str, Any], here: Location) -> int:
        return self._event(op, operands, attributes, [(here.shape, here.dtype)])[0]

    def _constant(self, array: Array, box: list[int]) -> int:
        """A new constant; its own copy, unless it is the module's, as it may be changed later."""
        name = self._state.get(id(box), "")
        kept = array if name else array.copy()
        number = self._slot(Slot(array.shape, of(array), kept, name, user_line()))
        self._kept.append(array)
        self._remember(array, box, number)
        return number

    def _remember(self, array: Array, box: list[int], number: int) -> Memory:
        memory = self._memories.setdefault(id(box), Memory(box, box[0], {}))
        here = Location.of(array)
        memory.current[here] = number
        self._alive[here] = (weakref.ref(array), memory)
        return memory

    def _alias(self, array: Array) -> Memory | None:
        """The memory that an array made past the engine lies in, if an array known to lie there is still alive."""
        known = self._alive.get(Location.of(array))
        return known[1] if known is not None and known[0]() is not None else None

    def _at(self, memory: Memory, here: Location) -> int:
        """The value at a location; where the memory has changed since, a view is taken anew."""
        if here not in memory.current:
            link = memory.links.get(here)
            if link is None:
                raise self._refusal("a view was made past the engine's operations")
            operands = (Ref(self._at(memory, link.parent)),)
            memory.current[here] = self._derived(link.primitive.name, operands, link.attributes, here)
        return memory.current[here]

    def _refusal(self, reason: str) -> CaptureError:
        layer = f" (layer {self.layers[-1]})" if self.layers and self.layers[-1] else ""
        self.failure = CaptureError(f"runs eager: {reason} at {user_line()}{layer}")
        return self.failure


# Code that runs programs of another language → how its frames, by their local names, tell where in one they are.
PROGRAMS: dict[CodeType, Callable[[Mapping[str, Any]], str]] = {}


def user_line() -> str:
    """The file and line that called into the engine, or the place in a program that it runs; models of ours count."""
    start = sys._getframe(1)
    frame: FrameType | None = start
    while frame is not None:
        name = frame.f_code.co_filename
        if (place := PROGRAMS.get(frame.f_code)) is not None:
            return place(frame.f_locals)
        if not name.startswith(ENGINE) or name.startswith(OURS_TO_SHOW):
            return f"{name}:{frame.f_lineno}"
        frame = frame.f_back
    return f"{start.f_code.co_filename}:{start.f_lineno}"
