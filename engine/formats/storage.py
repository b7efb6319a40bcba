"""Storages and tensors as a file describes them, before they become the engine's: inert records."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..dtype import Array
from ..errors import FormatError
from .elements import Element
from .limits import quote

_MOST_DIMS = 64  # of a NumPy array


class Storage:
    """A run of elements that tensors view; its bytes are fetched when a tensor is first made of it.

    Every tensor over one storage gets the same memory, so aliases in the file stay aliases.
    """

    __slots__ = ("_arrays", "_big_endian", "_bytes", "_fetch", "element", "length")

    def __init__(
        self, element: Element, length: int, fetch: Callable[[], Array] | None = None, big_endian: bool = False
    ) -> None:
        if type(length) is not int or not 0 <= length < 1 << 62:
            raise FormatError(f"a storage of {quote(length)} elements; expected a count from 0 up")
        self.element = element
        self.length = length
        self._fetch = fetch
        self._big_endian = big_endian
        self._bytes: Array | None = None
        self._arrays: dict[tuple[str, bool, bool], Array] = {}

    def bind(self, fetch: Callable[[], Array]) -> None:
        """Say where the bytes come from."""
        self._fetch = fetch

    def share(self) -> Array:
        """The elements as the file's bytes, the same memory each time; a copy where those are not aligned."""
        if self._bytes is None:
            if self._fetch is None:
                raise FormatError("the file names a storage and then holds no data for it; it may be cut off")
            data = self._fetch()
            self._bytes = data.copy() if data.__array_interface__["data"][0] % self.element.itemsize else data
        return self._bytes

    def array(self, element: Element, conjugated: bool = False, negated: bool = False) -> Array:
        """The elements as a flat array of values where the engine has the type, of bits where it has not."""
        key = (element.name, conjugated, negated)
        if key not in self._arrays:
            self._arrays[key] = self._make(element, conjugated, negated)
        return self._arrays[key]

    def _make(self, element: Element, conjugated: bool, negated: bool) -> Array:
        data = element.to_native(self.share()) if self._big_endian else self.share()
        values = values_of(data, element)
        if (conjugated or negated) and values.dtype.kind not in "fc":
            raise FormatError(f"a tensor of {element.name} that is marked as conjugated or negated")
        if conjugated:
            values = values.conj()
        return np.negative(values) if negated else values


def values_of(data: Array, element: Element) -> Array:
    """A flat array of bytes as the elements they are: the same memory where NumPy can use it as it stands."""
    bits: Array = data[: len(data) // element.itemsize * element.itemsize].view(element.bits)
    if element.name == "bfloat16":
        return (bits.astype(np.uint32) << np.uint32(16)).view(np.float32)
    if element.name == "bool" and data.max(initial=0) > 1:
        return data.astype(np.bool_)  # NumPy counts on bools being 0 or 1 when it sizes masks
    return bits if bits.flags.aligned else bits.copy()


@dataclass(slots=True)
class TensorRecord:
    """A tensor as a checkpoint describes it: a window on a storage."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    element: Element
    requires_grad: bool = False
    conjugated: bool = False
    negated: bool = False

    def array(self) -> Array:
        """The window itself, sharing memory with all others on the storage.

        Raises: FormatError where it would reach outside.
        """
        flat = self.storage.array(self.element, self.conjugated, self.negated)
        if _in_order(self.shape, self.strides) and 0 <= self.offset <= len(flat) - (count := math.prod(self.shape)):
            return flat[self.offset : self.offset + count].reshape(self.shape)
        check_window(self.offset, self.shape, self.strides, len(flat))
        if 0 in self.shape:
            return np.empty(self.shape, flat.dtype)
        strides = tuple(step * flat.itemsize for step in self.strides)
        try:
            return np.lib.stride_tricks.as_strided(flat[self.offset :], self.shape, strides)
        except ValueError as error:
            raise FormatError(f"a tensor of {len(self.shape)} dimensions that NumPy cannot hold: {error}") from error


@dataclass(slots=True)
class QuantizedRecord:
    """Integers that stand for numbers, with what turns them back: as stored, not yet checked."""

    tensor: TensorRecord
    quantizer: tuple[Any, ...]


@dataclass(slots=True)
class SparseRecord:
    """A sparse tensor's layout and the parts its layout is made of."""

    layout: str
    parts: tuple[Any, ...]


@dataclass(slots=True)
class ArrayRecord:
    """A NumPy array that the pickle makes first and fills later; `is_tensor` where torch would make a tensor of it."""

    array: Array | None = None
    is_tensor: bool = False


def _in_order(shape: Sequence[int], strides: Sequence[int]) -> bool:
    """Whether the elements of a window, of which there are some, follow one another as NumPy lays them out."""
    expected = 1
    for size, step in zip(reversed(shape), reversed(strides), strict=False):
        if step != expected or size < 1:
            return False
        expected *= size
    return len(shape) == len(strides) <= _MOST_DIMS


def check_window(offset: int, shape: Sequence[int], strides: Sequence[int], available: int) -> None:
    """Refuse a window that would leave a storage of `available` elements; Python's integers cannot overflow."""
    if len(shape) != len(strides) or len(shape) > _MOST_DIMS:
        raise FormatError(
            f"a tensor of {len(shape)} sizes and {len(strides)} strides; expected as many, at most {_MOST_DIMS}"
        )
    if offset < 0 or any(n < 0 for n in shape) or any(n < 0 for n in strides):
        raise FormatError("a tensor with a negative offset, size or stride")
    if math.prod(shape) >= 1 << 60 or any(n >= 1 << 60 for n in (*shape, *strides)):
        raise FormatError("a tensor of more elements than any memory holds")
    last = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
    if 0 not in shape and last >= available:
        raise FormatError(f"a tensor reaches to element {last} of a storage of {available}")
