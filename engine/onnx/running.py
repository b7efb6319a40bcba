"""Run, which carries primitives out: at once on values that are known, and into a recording on those that are not.

So one way through a model's operators serves both for running it eager (all is known) and for its graph (the inputs
are not): what does not depend on the inputs, such as the arithmetic on shapes, is folded on the way.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from ..dtype import Array, of
from ..errors import EngineError, FormatError
from ..graph.inference import ELEMENTWISE, RULES, outlines_of
from ..graph.recording import CaptureError, Event, Recording, Ref, Slot
from ..ops import PRIMITIVES
from .elements import Element, element_of
from .items import Item, Operand

# Nodes that one run passes, those of loops once for each turn: into a graph, and eager.
MOST_RECORDED, MOST_STEPS = 200_000, 5_000_000
# Bytes that one operator makes out of few: of a constant, and eager, where they may be activations.
MOST_FOLDED, MOST_MADE = 1 << 30, 1 << 32
WORTH_KEEPING = 64
SCALARS = {"add", "sub", "mul", "div", "pow", "maximum", "minimum"}


class Folds:
    """The constants that were folded, for runs of the same model to share."""

    def __init__(self) -> None:
        self._kept: dict[Any, tuple[tuple[Any, ...], tuple[Array, ...]]] = {}

    def get(self, name: str, operands: Sequence[Any], attributes: dict[str, Any]) -> tuple[Array, ...] | None:
        """The results of an earlier fold of the same arrays."""
        found = self._kept.get(_key(name, operands, attributes))
        return found[1] if found else None

    def keep(self, name: str, operands: Sequence[Any], attributes: dict[str, Any], results: tuple[Array, ...]) -> None:
        """Keep results; the operands with them, so that nothing else can take their place in memory."""
        if max(r.size for r in results) >= WORTH_KEEPING:
            self._kept[_key(name, operands, attributes)] = (tuple(operands), results)


def _key(name: str, operands: Sequence[Any], attributes: dict[str, Any]) -> Any:
    parts = tuple(id(o) if isinstance(o, np.ndarray) else repr(o) for o in operands)
    return name, parts, repr(sorted(attributes.items()))


class Run:
    """One way through a model, for one batch; without a recording everything must be known."""

    def __init__(self, recording: Recording | None = None, folds: Folds | None = None) -> None:
        self.recording = recording
        self.layer = ""
        self._folds = folds
        self._constants: dict[int, int] = {}
        self._kept: list[Array] = []
        self._most = self._left = MOST_STEPS if folds is None else MOST_RECORDED

    def step(self) -> None:
        """Count a node; EngineError where there are more than any model has."""
        self._left -= 1
        if self._left < 0 and self._folds is not None:
            raise CaptureError(f"runs eager: its loops, unrolled, are more than {self._most} nodes")
        if self._left < 0:
            raise EngineError(f"the model's loops go on for more than {self._most} nodes")

    def input(self, name: str, array: Array, element: Element) -> Item:
        """An input of the recording."""
        assert self.recording is not None
        number = self._slot(Slot(array.shape, of(array), name=name))
        self.recording.inputs += 1
        return Item(array, element, number, name)

    def apply(self, name: str, operands: Sequence[Operand], attributes: dict[str, Any]) -> tuple[Item, ...]:
        """The results of a primitive."""
        arrays = [o.array if isinstance(o, Item) else o for o in operands]
        if all(o.known for o in operands if isinstance(o, Item)):
            results = self._folded(name, arrays, attributes)
            return tuple(Item(r, _element(r, operands)) for r in results)
        attributes = {**_defaults(name), **attributes}
        outlines = outlines_of(name, arrays, attributes)
        numbers = tuple(self._slot(Slot(o.shape, of(o), place=self.layer)) for o in outlines)
        refs = tuple(self._operand(name, o) for o in operands)
        assert self.recording is not None
        self.recording.events.append(Event(name, refs, attributes, numbers, self.layer, self.layer))
        return tuple(Item(o, _element(o, operands), n) for o, n in zip(outlines, numbers, strict=True))

    def _folded(self, name: str, arrays: Sequence[Any], attributes: dict[str, Any]) -> tuple[Array, ...]:
        if self._folds is None:
            _refuse_large(name, arrays, attributes, MOST_MADE)
            return _run(name, arrays, attributes)
        found = self._folds.get(name, arrays, attributes)
        if found is None:
            _refuse_large(name, arrays, attributes, MOST_FOLDED)
            found = _run(name, arrays, attributes)
            self._folds.keep(name, arrays, attributes, found)
        return found

    def _slot(self, slot: Slot) -> int:
        assert self.recording is not None
        self.recording.slots.append(slot)
        return len(self.recording.slots) - 1

    def _operand(self, name: str, operand: Operand) -> Any:
        if not isinstance(operand, Item):
            return operand
        if operand.known and not operand.array.ndim and name in SCALARS and operand.array.dtype.kind in "fiu":
            return operand.array.item()
        return Ref(self.number(operand))

    def number(self, item: Item) -> int:
        """An item's number in the recording; what is known is a constant there."""
        if item.number is not None:
            return item.number
        found = self._constants.get(id(item.array))
        if found is None:
            found = self._slot(Slot(item.shape, item.dtype, item.array, item.name, self.layer))
            self._constants[id(item.array)] = found
            self._kept.append(item.array)
        return found


@cache
def _defaults(name: str) -> dict[str, Any]:
    """The attributes that a primitive has by default: passes over graphs look for all of them."""
    parameters = inspect.signature(PRIMITIVES[name].kernel).parameters.values()
    return {
        p.name: p.default
        for p in parameters
        if p.kind is p.KEYWORD_ONLY and p.default is not p.empty and not isinstance(PRIMITIVES[name].kernel, np.ufunc)
    }


def _run(name: str, arrays: Sequence[Any], attributes: dict[str, Any]) -> tuple[Array, ...]:
    result = PRIMITIVES[name].run(*arrays, **attributes)
    return result if isinstance(result, tuple) else (np.asarray(result),)


def _refuse_large(name: str, arrays: Sequence[Any], attributes: dict[str, Any], most: int) -> None:
    """FormatError before something is made that no honest file asks for."""
    if name not in RULES and name not in ELEMENTWISE:
        return
    given = sum(_held(a) for a in arrays if isinstance(a, np.ndarray))
    try:
        size = sum(o.size * o.itemsize for o in outlines_of(name, arrays, attributes))
    except EngineError:
        return  # the values tell, and what they tell is no more than they are
    if size > max(most, 4 * given):
        raise FormatError(f"{name} makes {size} bytes of {given}; more than {most} are not made of so few")


def _held(array: Array) -> int:
    """The bytes that an array has in memory: what is stretched counts once."""
    sizes = (size for size, stride in zip(array.shape, array.strides, strict=True) if stride)
    return int(math.prod(sizes) * array.itemsize)


def _element(array: Array, operands: Sequence[Operand]) -> Element:
    """The ONNX type of a result: that of the first operand which the same carrier carries."""
    for operand in operands:
        if isinstance(operand, Item) and operand.element.narrow and operand.element.carrier == array.dtype:
            return operand.element
    return element_of(array)
