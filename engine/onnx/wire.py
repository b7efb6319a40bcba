"""The protobuf wire format, read and written: tags, varints, and fields of fixed or given length.

Source: https://protobuf.dev/programming-guides/encoding/.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

import numpy as np

from ..dtype import Array
from ..errors import FormatError

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
WIDTH = 5
_LONGEST_VARINT = 10
Field = tuple[int, int, "int | memoryview"]


def fields(data: memoryview) -> Iterator[Field]:
    """Each field as (number, wire type, value): an unsigned number for varints, else the bytes. Nothing is copied."""
    position, end = 0, len(data)
    while position < end:
        tag = data[position]
        if tag < 0x80:
            position += 1
        else:
            tag, position = _varint(data, position, end)
        number, kind = tag >> 3, tag & 7
        if not number:
            raise FormatError("protobuf: a field with the number 0")
        if kind in (VARINT, LENGTH):
            if position < end and (value := data[position]) < 0x80:
                position += 1
            else:
                value, position = _varint(data, position, end)
            if kind == VARINT:
                yield number, kind, value
                continue
            length = value
        elif kind in (FIXED64, FIXED32):
            length = 8 if kind == FIXED64 else 4
        else:
            raise FormatError(f"protobuf: a field of wire type {kind}; expected 0, 1, 2 or 5")
        if length > end - position:
            raise FormatError(f"protobuf: a field of {length} bytes where {end - position} are left; it may be cut off")
        yield number, kind, data[position : position + length]
        position += length


def _varint(data: memoryview, position: int, end: int) -> tuple[int, int]:
    result = shift = 0
    for _ in range(_LONGEST_VARINT):
        if position >= end:
            raise FormatError("protobuf: a number without its end; the file may be cut off")
        byte = data[position]
        position += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result & 0xFFFF_FFFF_FFFF_FFFF, position
        shift += 7
    raise FormatError("protobuf: a number of more than 10 bytes")


def signed(value: int) -> int:
    """A varint as the int64 or int32 that it stands for."""
    return value - (1 << 64) if value >> 63 else value


def varints(value: int | memoryview) -> Array:
    """A repeated integer field, packed or a single one, as int64 (the bits of uint64 where it is one)."""
    if isinstance(value, int):
        return np.array([value], np.uint64).view(np.int64)
    data = np.frombuffer(value, np.uint8)
    if not data.size:
        return np.empty(0, np.int64)
    ends = np.flatnonzero(data < 0x80)
    if not ends.size or ends[-1] != len(data) - 1:
        raise FormatError("protobuf: packed numbers without their end; the file may be cut off")
    starts = np.concatenate(([0], ends[:-1] + 1))
    longest = int((ends - starts).max()) + 1
    if longest > _LONGEST_VARINT:
        raise FormatError("protobuf: a number of more than 10 bytes")
    numbers = np.zeros(len(ends), np.uint64)
    for place in range(longest):
        at = starts + place
        inside = at <= ends
        part = (data[np.minimum(at, len(data) - 1)] & 0x7F).astype(np.uint64) << np.uint64(7 * place)
        numbers |= np.where(inside, part, np.uint64(0))
    return numbers.view(np.int64)


def integers(value: int | memoryview) -> list[int]:
    """A repeated integer field, packed or a single one, as numbers."""
    found: list[int] = [signed(value)] if isinstance(value, int) else varints(value).tolist()
    return found


def fixed(value: int | memoryview, dtype: str) -> Array:
    """A repeated field of floats or doubles, packed or a single one."""
    if isinstance(value, int):
        raise FormatError("protobuf: a whole number where a floating one is expected")
    if len(value) % np.dtype(dtype).itemsize:
        raise FormatError(f"protobuf: {len(value)} bytes of packed numbers of {np.dtype(dtype).itemsize} bytes each")
    return np.frombuffer(value, dtype)


def number(value: int | memoryview) -> int:
    """A whole number."""
    if not isinstance(value, int):
        raise FormatError("protobuf: bytes where a number is expected")
    return signed(value)


def content(value: int | memoryview) -> memoryview:
    """The bytes of a text, of raw data or of a message."""
    if isinstance(value, int):
        raise FormatError("protobuf: a number where bytes are expected")
    return value


def text(value: int | memoryview) -> str:
    """A text."""
    try:
        return bytes(content(value)).decode()
    except UnicodeDecodeError as error:
        raise FormatError(f"protobuf: a text that is not UTF-8: {error}") from None


class Message:
    """A message that is being written, field by field; large contents are kept as they are, not copied."""

    def __init__(self) -> None:
        self._parts: list[bytes | memoryview] = []
        self.length = 0

    def _add(self, part: bytes | memoryview) -> None:
        self._parts.append(part)
        self.length += len(part)

    def integer(self, field: int, value: int) -> Message:
        """A whole number."""
        self._add(_tag(field, VARINT) + varint(value))
        return self

    def floating(self, field: int, value: float) -> Message:
        """A float of 32 bits."""
        self._add(_tag(field, FIXED32) + struct.pack("<f", value))
        return self

    def text(self, field: int, value: str) -> Message:
        """A text."""
        return self.data(field, value.encode())

    def data(self, field: int, value: bytes | memoryview) -> Message:
        """Bytes."""
        self._add(_tag(field, LENGTH) + varint(len(value)))
        self._add(value)
        return self

    def integers(self, field: int, values: Sequence[int]) -> Message:
        """Whole numbers, packed."""
        return self.data(field, b"".join(map(varint, values)))

    def floats(self, field: int, values: Sequence[float]) -> Message:
        """Floats of 32 bits, packed."""
        return self.data(field, struct.pack(f"<{len(values)}f", *values))

    def message(self, field: int, value: Message) -> Message:
        """A message inside this one."""
        self._add(_tag(field, LENGTH) + varint(value.length))
        for part in value.parts():
            self._add(part)
        return self

    def placed(self, field: int, *parts: bytes | memoryview) -> Message:
        """Bytes whose length is written in WIDTH bytes, so that where they begin is known before they are."""
        self._add(_tag(field, LENGTH) + _wide(sum(map(len, parts))))
        for part in parts:
            self._add(part)
        return self

    def parts(self) -> Iterator[bytes | memoryview]:
        """What it consists of, in order."""
        return iter(self._parts)


def _wide(value: int) -> bytes:
    """A number in WIDTH groups of 7 bits, the last ones empty."""
    groups = [value >> 7 * n & 0x7F | 0x80 for n in range(WIDTH)]
    groups[-1] &= 0x7F
    return bytes(groups)


def _tag(field: int, kind: int) -> bytes:
    return varint(field << 3 | kind)


def varint(value: int) -> bytes:
    """A number, negative ones as 64 bits, in groups of 7 bits."""
    value &= 0xFFFF_FFFF_FFFF_FFFF
    groups = bytearray()
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    groups.append(value)
    return bytes(groups)
