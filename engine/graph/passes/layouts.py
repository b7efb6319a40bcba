"""Layouts, a draft in which images are laid out with channels last, and as they were where that is asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from ...dtype import Array, float32
from ..ir import Graph, Node, Operand, Shape, Value
from .draft import Draft


class Layouts(Draft):
    """A draft that knows for each value which layouts of it there are.

    `last` has the images with channels last, `flat` those of them that were flattened, (N, H·W·C): what makes these
    takes the old value's name, and other layouts of it are made when they are asked for.
    """

    def __init__(self, graph: Graph) -> None:
        super().__init__(graph)
        self.last: dict[str, Value] = {}
        self.flat: dict[str, tuple[Value, Value]] = {}
        self._plain: dict[str, Value] = {}
        self._asked: dict[str, Value] = {}
        self._sources: dict[str, Value] = {}

    def prefers_last(self, operand: Operand) -> bool:
        """Whether a value is made with channels last."""
        return isinstance(operand, Value) and operand.name in self.last

    def plain(self, operand: Operand) -> Any:
        """A value as it was in the old graph."""
        if not isinstance(operand, Value) or not (operand.name in self.last or operand.name in self.flat):
            return operand
        if operand.name not in self._plain:
            made = self._plain[operand.name] = self._made_plain(operand)
            self._sources[made.name] = operand
        return self._plain[operand.name]

    def _made_plain(self, value: Value) -> Value:
        if value.name not in self.flat:
            return self._first(self.last[value.name], value.shape)
        flat, image = self.flat[value.name]
        shape = image_shape(image.shape)
        whole = self._first(self.add("reshape", (flat,), value, shape, shape=shape), image.shape)
        return self.add("reshape", (whole,), value, value.shape, shape=value.shape)

    def _first(self, image: Value, shape: Shape) -> Value:
        """An image with channels last as one with channels first."""
        if len(shape) == 4:
            return self.add("permute", (image,), image, shape, dims=(0, 3, 1, 2))
        n, channels, length = shape
        rows = self.add("reshape", (image,), image, (n, length, channels), shape=(n, length, channels))
        return self.add("permute", (rows,), image, shape, dims=(0, 2, 1))

    def images(self, operand: Operand) -> Any:
        """A value with channels last; numbers as they are."""
        if not isinstance(operand, Value):
            return operand
        if operand.name in self.last:
            return self.last[operand.name]
        if operand.name not in self._asked:
            self._asked[operand.name] = self._turned(operand)
        return self._asked[operand.name]

    def _turned(self, value: Value) -> Value:
        array, plain = self.array(value), self.plain(value)
        if array is not None:
            return self.derived(value.name, ("turned", value.name, array.ndim), lambda: _turned_array(array))
        if len(value.shape) == 4:
            return self.add("permute", (plain,), value, image_shape(value.shape), dims=(0, 2, 3, 1))
        n, channels, length = value.shape
        rows = self.add("permute", (plain,), value, (n, length, channels), dims=(0, 2, 1))
        return self.add("reshape", (rows,), value, image_shape(value.shape), shape=image_shape(value.shape))

    def fitted(self, operand: Operand, dims: int) -> Any:
        """An operand of an elementwise operation on images of so many dims before they were turned."""
        if not isinstance(operand, Value) or not operand.shape:
            return self.plain(operand)
        if len(operand.shape) == dims:
            return self.images(operand)
        shape = (1,) * (dims - len(operand.shape)) + operand.shape
        array = self.array(operand)
        if array is not None:
            whole = array.reshape((1,) * (dims - array.ndim) + array.shape)
            return self.derived(operand.name, ("turned", operand.name, dims), lambda: _turned_array(whole))
        return self.images(self.add("reshape", (self.plain(operand),), operand, shape, shape=shape))

    def write(self, node: Node, op: str, inputs: tuple[Any, ...], **attributes: Any) -> bool:
        """Write what an old node becomes, its output being an image with channels last."""
        self.release(node.output)
        output = Value(self.fresh(node.output.name), image_shape(node.output.shape), node.output.dtype)
        self.keep(Node(op, inputs, (output,), attributes, node.layer))
        self.last[node.output.name] = output
        return True

    def write_plain(self, node: Node, op: str, inputs: tuple[Any, ...], **attributes: Any) -> bool:
        """Write what an old node becomes, its output being as it was."""
        self.keep(replace(node, op=op, inputs=inputs, attributes=attributes))
        return True

    def source_of(self, plain: Operand) -> Value | None:
        """The value of the old graph that one is the plain layout of, if it is made with channels last."""
        return self._sources.get(plain.name) if isinstance(plain, Value) else None

    def is_image(self, operand: Operand) -> bool:
        """Whether a value is a float32 image or sequence of known size."""
        return (
            isinstance(operand, Value) and operand.dtype == float32 and len(operand.shape) in (3, 4)
            and all(isinstance(size, int) for size in operand.shape[1:])
        )  # fmt: skip


def image_shape(shape: Shape) -> Shape:
    """The shape of an image or sequence with channels last."""
    n, channels, *sizes = shape
    return (n, *(1,) * (2 - len(sizes)), *sizes, channels)


def sizes_of(shape: Shape) -> tuple[int, int]:
    """The height and width of an image, which do not follow the batch."""
    height, width = image_shape(shape)[1:3]
    assert isinstance(height, int) and isinstance(width, int)
    return height, width


def _turned_array(array: Array) -> Array:
    """A constant with channels last."""
    n, channels, *sizes = array.shape
    turned = np.moveaxis(array, 1, -1)
    return np.ascontiguousarray(turned.reshape(n, *(1,) * (2 - len(sizes)), *sizes, channels))


def turned_dim(dim: int, dims: int) -> int:
    """Where a dim of a value of so many dims lies once channels are last."""
    return {3: (0, 3, 2), 4: (0, 3, 1, 2)}[dims][dim % dims]


Rule = Callable[[Node, Layouts], bool]  # writes what a node becomes, or does nothing and says so
