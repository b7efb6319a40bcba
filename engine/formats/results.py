"""From records to what the caller gets: engine tensors, and plain objects where the engine has no such tensor."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..device import device
from ..dtype import Array, of
from ..errors import DtypeError, FormatError
from ..tensor import Tensor
from .builders import need
from .elements import Element
from .limits import DEFAULT, Limits, quote
from .numpy_objects import NumpyDtype
from .storage import ArrayRecord, QuantizedRecord, SparseRecord, Storage, TensorRecord

# Layout → how many tensors come before the shape. Source: torch/_tensor.py, _reduce_ex_internal.
_LAYOUTS = {
    "torch.sparse_coo": 2,
    "torch.sparse_csr": 3,
    "torch.sparse_csc": 3,
    "torch.sparse_bsr": 3,
    "torch.sparse_bsc": 3,
}
_PACKED = ("quint4x2", "quint2x4")


@dataclass(frozen=True, slots=True, eq=False)
class RawTensor:
    """A tensor of a type that neither NumPy nor the engine has (float8, complex32, packed 4-bit): its bits.

    `bits` holds one unsigned integer an element; for packed types, the storage's bytes as they are.
    """

    dtype: str
    shape: tuple[int, ...]
    bits: Array


@dataclass(frozen=True, slots=True, eq=False)
class QuantizedTensor:
    """Integers with the scale and zero point that turn them into numbers; along `axis`, one pair a slice."""

    dtype: str
    values: Array
    scale: Array
    zero_point: Array
    axis: int | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """The sizes."""
        return self.values.shape

    def dequantize(self) -> Tensor:
        """The numbers, as float32: (value − zero point) · scale."""
        sizes = [1] * self.values.ndim
        if self.axis is not None:
            sizes[self.axis] = -1
        shifted = self.values.astype(np.float32) - self.zero_point.reshape(sizes).astype(np.float32)
        return Tensor((shifted * self.scale.reshape(sizes).astype(np.float32)).astype(np.float32))


@dataclass(frozen=True, slots=True, eq=False)
class SparseTensor:
    """A sparse tensor's parts: indices and values (COO), or compressed and plain indices and values (CSR, …)."""

    layout: str
    shape: tuple[int, ...]
    parts: tuple[Tensor | RawTensor, ...]


def to_tensor(record: TensorRecord) -> Tensor | RawTensor:
    """The engine's tensor over the record's memory; its bits where the engine has no such dtype."""
    array = record.array()
    if record.element.dtype is None:
        return RawTensor(record.element.name, array.shape, array)
    if record.requires_grad and array.dtype.kind not in "fc":
        raise FormatError(f"a tensor of {record.element.name} that requires a gradient; only floating ones can")
    return Tensor(array, requires_grad=record.requires_grad)


def to_quantized(record: QuantizedRecord) -> QuantizedTensor | RawTensor:
    """The integers and their quantisation, checked against each other."""
    tensor = record.tensor
    if tensor.element.name in _PACKED:
        return RawTensor(tensor.element.name, tensor.shape, tensor.storage.array(tensor.element))
    values = tensor.array()
    match record.quantizer:
        case ("per_tensor_affine" | "per_tensor_symmetric", float(scale), int(zero_point)):
            scales, zero_points, axis = np.array(scale), np.array(zero_point, np.int64), None
        case (str(scheme), TensorRecord() as scales_record, TensorRecord() as points_record, int(axis)) if (
            scheme.startswith("per_channel_")
        ):
            scales, zero_points = scales_record.array(), points_record.array()
            if not 0 <= axis < values.ndim or not scales.shape == zero_points.shape == (values.shape[axis],):
                raise FormatError("a quantised tensor whose scales do not match its channels")
        case _:
            raise FormatError("a quantised tensor of an unknown scheme; expected per tensor or per channel")
    return QuantizedTensor(tensor.element.name, values, scales, zero_points, axis)


def to_sparse(record: SparseRecord) -> SparseTensor:
    """The parts as tensors."""
    count = _LAYOUTS.get(record.layout)
    if count is None or not count < len(record.parts) <= count + 2:
        raise FormatError(f"a sparse tensor of layout {quote(record.layout)}; expected {', '.join(_LAYOUTS)}")
    shape = record.parts[count]
    if type(shape) is not tuple:
        raise FormatError("a sparse tensor without its shape; the file is damaged")
    parts = tuple(to_tensor(need(part, TensorRecord)) for part in record.parts[:count])
    return SparseTensor(record.layout.removeprefix("torch."), shape, parts)


def _whole_storage(storage: Storage) -> Tensor | RawTensor:
    return to_tensor(TensorRecord(storage, 0, (storage.length,), (1,), storage.element))


def _filled(record: ArrayRecord) -> Array | Tensor:
    if record.array is None:
        raise FormatError("a NumPy array that was never filled; the file is damaged")
    return _numbers(record.array) if record.is_tensor else record.array


def _numbers(array: Array) -> Tensor:
    native = array.astype(array.dtype.newbyteorder("="), copy=False)
    try:
        of(native)
    except DtypeError as error:
        raise FormatError(f"a tensor saved as a NumPy array that is none: {error}") from error
    return Tensor(native)


# What may stand in a result as it is, and what has to be made into something else.
_PLAIN = frozenset({
    str, int, float, bool, bytes, bytearray, complex, type(None), slice, range, set, frozenset, device,
})  # fmt: skip
_MAKERS: dict[type, Callable[[Any], Any]] = {
    TensorRecord: to_tensor,
    QuantizedRecord: to_quantized,
    SparseRecord: to_sparse,
    ArrayRecord: _filled,
    Storage: _whole_storage,
    Element: lambda element: element.dtype or element,
    NumpyDtype: lambda record: record.dtype,
}
_CONTAINERS = frozenset({dict, OrderedDict, Counter, list, tuple})


def finish(root: Any, limits: Limits = DEFAULT) -> Any:
    """The object with every record in it made into a result; containers are changed in place.

    Raises: FormatError where it is nested too deeply, contains itself, or unfolds to too many values.
    """
    finisher = _Finisher(limits)
    for container in _children_first(root):
        finisher.enter(container)
    return finisher.value(root)


def _children_first(root: Any) -> list[Any]:
    """Every container within, once, after all that it contains; walked without recursion."""
    order: list[Any] = []
    finished: dict[int, bool] = {}
    todo: list[tuple[Any, bool]] = [(root, False)] if type(root) in _CONTAINERS else []
    while todo:
        node, leaving = todo.pop()
        if leaving:
            finished[id(node)] = True
            order.append(node)
        elif id(node) not in finished:
            finished[id(node)] = False
            todo.append((node, True))
            todo.extend((child, False) for child in _children(node) if type(child) in _CONTAINERS)
        elif not finished[id(node)]:
            raise FormatError("a container that contains itself; no checkpoint has that")
    return order


def _children(container: Any) -> Any:
    return container.values() if isinstance(container, dict) else container


class _Finisher:
    """Keeps what each record became, so that what was one object in the file is one object in the result."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._made: dict[int, tuple[Any, Any]] = {}  # id → (the record, kept alive; what it became)
        self._extent: dict[int, tuple[int, int]] = {}  # id of a container → (depth, values when unfolded)

    def enter(self, container: Any) -> None:
        """Finish a container whose children are finished."""
        self._measure(container)
        made = container
        if isinstance(container, dict):
            for key, child in container.items():
                container[key] = self.value(child)
        elif type(container) is list:
            container[:] = map(self.value, container)
        else:
            made = tuple(map(self.value, container))
        self._made[id(container)] = (container, made)

    def value(self, value: Any) -> Any:
        """What a value becomes."""
        kind = type(value)
        if kind in _PLAIN or isinstance(value, np.generic):
            return value
        if id(value) not in self._made:
            if kind not in _MAKERS:
                raise FormatError(f"the pickle leaves {quote(getattr(value, 'name', value))} as a value")
            self._made[id(value)] = (value, _MAKERS[kind](value))
        return self._made[id(value)][1]

    def _measure(self, container: Any) -> None:
        depth, values = 1, len(container)
        for child in _children(container):
            if type(child) in _CONTAINERS:
                below, within = self._extent[id(child)]
                depth, values = max(depth, below + 1), values + within
        if depth > self._limits.depth:
            raise FormatError(f"values nested more than {self._limits.depth} deep; no checkpoint needs that")
        if values > self._limits.values:
            raise FormatError(f"values that unfold to more than {self._limits.values}; no checkpoint needs that")
        self._extent[id(container)] = (depth, values)
