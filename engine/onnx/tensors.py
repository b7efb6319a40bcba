"""Tensors of a file as arrays: over the file's own memory where they lie there as they are needed."""

from __future__ import annotations

import math

import numpy as np

from ..dtype import Array
from ..errors import FormatError
from ..formats.limits import quote
from .elements import STRING, Element, element
from .external import Folder
from .records import TensorRecord

EXTERNAL = 1
SMALL = 4096  # bytes that are worth a copy for being aligned; protobuf aligns nothing


def array_of(record: TensorRecord, folder: Folder) -> tuple[Array, Element]:
    """The values of a tensor and what they are; nothing is allocated before the sizes are known to fit."""
    kind = element(record.type)
    if any(size < 0 for size in record.dims):
        raise FormatError(f"tensor {quote(record.name)} has the shape {quote(str(record.dims))}")
    count = math.prod(record.dims)
    if record.location == EXTERNAL:
        values = _from_bytes(record, kind, count, folder.bytes_of(record, _bytes_for(kind, count)))
    elif kind is STRING:
        values = _texts(record, count)
    elif record.raw is not None:
        values = _from_bytes(record, kind, count, np.frombuffer(record.raw, np.uint8))
    else:
        values = _from_numbers(record, kind, count)
    if not values.flags.aligned and values.nbytes <= SMALL:
        values = values.copy()
    try:
        return values.reshape(record.dims), kind
    except ValueError as error:
        raise FormatError(f"tensor {quote(record.name)} has a shape that NumPy cannot hold: {error}") from error


def _bytes_for(kind: Element, count: int) -> int:
    return -(-count * kind.bits // 8)


def _from_bytes(record: TensorRecord, kind: Element, count: int, data: Array) -> Array:
    if kind is STRING:
        raise FormatError(f"tensor {quote(record.name)} holds texts as raw bytes")
    if data.size != _bytes_for(kind, count):
        raise FormatError(
            f"tensor {quote(record.name)} takes {quote(_bytes_for(kind, count))} bytes by its shape; met {data.size}"
        )
    return kind.decode(data, count)


def _from_numbers(record: TensorRecord, kind: Element, count: int) -> Array:
    numbers = np.concatenate(record.numbers) if len(record.numbers) > 1 else next(iter(record.numbers), np.empty(0))
    packed = kind.bits < 8
    expected = count * 2 if kind.carrier.kind == "c" else _bytes_for(kind, count) if packed else count
    if numbers.size != expected:
        raise FormatError(f"tensor {quote(record.name)} has {numbers.size} numbers; expected {quote(expected)}")
    if kind.carrier.kind == "c":
        half = np.float32 if kind.carrier.itemsize == 8 else np.float64
        return np.ascontiguousarray(numbers, half).view(kind.carrier)
    if packed:
        return kind.decode(numbers.astype(np.uint8), count)
    if numbers.dtype.kind == "i":
        return kind.from_codes(numbers)
    return numbers.astype(kind.carrier, copy=False)


def _texts(record: TensorRecord, count: int) -> Array:
    if len(record.texts) != count:
        raise FormatError(f"tensor {quote(record.name)} has {len(record.texts)} texts; expected {quote(count)}")
    values = np.empty(count, object)
    for place, text in enumerate(record.texts):
        values[place] = text.decode(errors="replace")
    return values
