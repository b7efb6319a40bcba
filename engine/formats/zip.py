"""The records of a zip archive over mapped memory: found by their own headers, checked, inflated within bounds.

Source: PKWARE APPNOTE 6.3.10; the section numbers below are its.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from itertools import pairwise
from mmap import mmap
from typing import NamedTuple

import numpy as np

from ..dtype import Array
from ..errors import FormatError
from .limits import DEFAULT, Limits, quote
from .mapping import window

_END = struct.Struct("<4s4H2LH")  # 4.3.16
_END64_LOCATOR = struct.Struct("<4sLQL")  # 4.3.15
_END64 = struct.Struct("<4sQ2H2L4Q")  # 4.3.14
_ENTRY = struct.Struct("<4s6H3L5H2L")  # 4.3.12
_LOCAL = struct.Struct("<4s5H3L2H")  # 4.3.7
_STORED, _DEFLATED = 0, 8
_ENCRYPTED = 1
_FULL, _FULL64 = 0xFFFF, 0xFFFFFFFF


class Record(NamedTuple):
    """One entry of the central directory."""

    name: str
    header: int
    size: int
    stored_size: int
    method: int
    checksum: int


class Archive:
    """A zip archive's records by name, below the folder that torch puts around them all."""

    def __init__(self, data: mmap, limits: Limits = DEFAULT) -> None:
        self._data = data
        self._may_inflate = limits.inflated_bytes + limits.inflation * len(data)
        entries = _directory(data, limits)
        self.root = entries[0].name.partition("/")[0] if entries else ""
        self.records = {entry.name: entry for entry in entries}
        if len(self.records) < len(entries):
            raise FormatError("a zip archive with two records of one name; it was not written by torch")
        _refuse_overlaps(entries)

    def __contains__(self, name: str) -> bool:
        return f"{self.root}/{name}" in self.records

    def read(self, name: str) -> bytes:
        """A record's content as bytes, its checksum verified."""
        record = self._find(name)
        content = self._bytes(record).tobytes()
        # Writers that were told not to compute checksums leave 0.
        if record.checksum and zlib.crc32(content) != record.checksum:
            raise FormatError(f"record {quote(record.name)} fails its checksum; the file is damaged")
        return content

    def array(self, name: str) -> Array:
        """A record's content as an array of bytes: mapped where it is stored, a copy where it is compressed."""
        record = self._find(name)
        if record.method == _DEFLATED:
            return np.frombuffer(bytearray(self.read(name)), np.uint8)
        return self._bytes(record)

    def _find(self, name: str) -> Record:
        record = self.records.get(f"{self.root}/{name}")
        if record is None:
            raise FormatError(f"the archive has no record {quote(name)}; the file is incomplete")
        return record

    def _bytes(self, record: Record) -> Array:
        stored = window(self._data, self._start(record), record.stored_size)
        return stored if record.method == _STORED else self._inflate(record, stored)

    def _start(self, record: Record) -> int:
        """Where the content begins; the local header's extra field is not the central one's (it holds padding)."""
        start, name = record.header + _LOCAL.size, record.name.encode()
        header = self._data[record.header : start + len(name)]
        if header[:4] != b"PK\x03\x04" or len(header) != _LOCAL.size + len(name):
            raise self._misplaced(record)
        *_, name_length, extra_length = _LOCAL.unpack_from(header)
        if name_length != len(name) or header[_LOCAL.size :] != name:
            raise self._misplaced(record)
        return start + int(name_length) + int(extra_length)

    def _misplaced(self, record: Record) -> FormatError:
        return FormatError(f"record {quote(record.name)} is not where the zip directory says; the file is damaged")

    def _inflate(self, record: Record, stored: Array) -> Array:
        self._may_inflate -= record.size
        if self._may_inflate < 0:
            raise FormatError("compressed records that inflate to far more than weights do; store them uncompressed")
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            content = inflater.decompress(stored.data, record.size + 1)
        except zlib.error as error:
            raise FormatError(f"record {quote(record.name)} cannot be inflated: {error}") from error
        if len(content) != record.size:
            raise FormatError(f"record {quote(record.name)} does not inflate to the {record.size} bytes it declares")
        return np.frombuffer(content, np.uint8)


def directory_of(data: mmap) -> bytes:
    """The central directory as it stands: all names, sizes, checksums and places of an archive's records."""
    _, size, offset = _end(data)
    return bytes(window(data, offset, size))


def _directory(data: mmap, limits: Limits) -> list[Record]:
    """The entries of the central directory."""
    count, size, offset = _end(data)
    if count > limits.records:
        raise FormatError(f"a zip archive of {count} records; at most {limits.records} are read")
    directory = bytes(window(data, offset, size))
    entries, position = [], 0
    for _ in range(count):
        entry, position = _entry(directory, position)
        entries.append(entry)
    return entries


def _end(data: mmap) -> tuple[int, int, int]:
    """(records, bytes of the central directory, its offset) from the end of the file."""
    position = data.rfind(b"PK\x05\x06", max(0, len(data) - _END.size - _FULL))
    if position < 0 or position + _END.size > len(data):
        raise FormatError("a zip archive without its directory, which stands at the end; the file is cut off")
    _, disk, _, _, count, size, offset, comment = _END.unpack(data[position : position + _END.size])
    if position + _END.size + comment != len(data) or disk not in (0, _FULL):
        raise FormatError("a zip archive with something behind its end; the file is damaged")
    locator = position - _END64_LOCATOR.size
    if locator >= 0 and data[locator : locator + 4] == b"PK\x06\x07":
        return _end64(data, locator)
    return count, size, offset


def _end64(data: mmap, locator: int) -> tuple[int, int, int]:
    _, _, position, _ = _END64_LOCATOR.unpack(data[locator : locator + _END64_LOCATOR.size])
    signature, *_, count, size, offset = _END64.unpack(bytes(window(data, position, _END64.size)))
    if signature != b"PK\x06\x06":
        raise FormatError("a zip archive whose 64-bit directory is not where it says; the file is damaged")
    return count, size, offset


def _entry(directory: bytes, position: int) -> tuple[Record, int]:
    """The entry at `position`, and where the next one is."""
    fixed = directory[position : position + _ENTRY.size]
    if len(fixed) < _ENTRY.size or fixed[:4] != b"PK\x01\x02":
        raise FormatError("a zip archive whose directory ends early; the file is damaged")
    fields = _ENTRY.unpack(fixed)
    flags, method, checksum = fields[3], fields[4], fields[7]
    stored_size, size, header = fields[8], fields[9], fields[16]
    name_end = position + _ENTRY.size + fields[10]
    extra_end = name_end + fields[11]
    raw_name = directory[position + _ENTRY.size : name_end]
    size, stored_size, header = _wide(directory[name_end:extra_end], size, stored_size, header)
    try:
        record = Record(raw_name.decode(), header, size, stored_size, method, checksum)
    except UnicodeDecodeError as error:
        raise FormatError("a zip archive with a name that is not UTF-8; it was not written by torch") from error
    _check_entry(record, flags)
    return record, extra_end + fields[12]


def _check_entry(record: Record, flags: int) -> None:
    if flags & _ENCRYPTED:
        raise FormatError(f"record {quote(record.name)} is encrypted; only open archives are read")
    if record.method not in (_STORED, _DEFLATED):
        raise FormatError(
            f"record {quote(record.name)} is compressed by method {record.method}; store it or deflate it"
        )
    if record.method == _STORED and record.size != record.stored_size:
        raise FormatError(f"record {quote(record.name)} is stored, yet has two sizes; the file is damaged")


def _wide(extra: bytes, *fields: int) -> Sequence[int]:
    """The fields that are too large for 32 bits, from the extra field that holds them (4.5.3)."""
    if _FULL64 not in fields:
        return fields
    wide, position = b"", 0
    while position + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, position)
        if kind == 1:
            wide = extra[position + 4 : position + 4 + length]
        position += 4 + length
    values = [value for (value,) in struct.iter_unpack("<Q", wide[: len(wide) // 8 * 8])]
    if sum(field == _FULL64 for field in fields) > len(values):
        raise FormatError("a zip archive without the 64-bit sizes that it refers to; the file is damaged")
    return [values.pop(0) if field == _FULL64 else field for field in fields]


def _refuse_overlaps(entries: list[Record]) -> None:
    spans = sorted((e.header, e.header + _LOCAL.size + len(e.name.encode()) + e.stored_size) for e in entries)
    if any(first[1] > second[0] for first, second in pairwise(spans)):
        raise FormatError("a zip archive whose records overlap; it was made to unfold into more than it is")
