"""The directory of a ZIP file: where it is, and what it says of each member.

Numbers in comments are sections of PKWARE's APPNOTE.TXT 6.3.10.
"""

from __future__ import annotations

import os
import stat
import struct
from dataclasses import dataclass
from typing import BinaryIO, NoReturn

from .entry import Entry, safe_name
from .errors import ArchiveError
from .limits import Limits

CENTRAL = struct.Struct("<4s6H3I5H2I")  # 4.3.12
END64 = struct.Struct("<4sQ2H2I4Q")  # 4.3.14
LOCATOR = struct.Struct("<4sIQI")  # 4.3.15
END = struct.Struct("<4s4H2IH")  # 4.3.16

STORED, DEFLATED = 0, 8  # 4.4.5
DESCRIPTOR_FLAG = 1 << 3  # 4.4.4: sizes follow the data
KNOWN_FLAGS = 0b110 | DESCRIPTOR_FLAG | 1 << 11  # how well it was deflated; UTF-8 names
ENCRYPTED_FLAGS = 1 | 1 << 6 | 1 << 13
ZIP64_EXTRA = 0x0001  # 4.5.3
UNICODE_NAME_EXTRA = 0x7075  # 4.6.9
WIDE_16, WIDE_32 = 0xFFFF, 0xFFFFFFFF
LONGEST_RECORD = 4096
"""Bytes that a member's record in the directory may take on top of its name."""


@dataclass(frozen=True, slots=True)
class Record:
    """One member as the directory describes it."""

    name: str
    raw_name: bytes
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    offset: int
    mode: int

    @property
    def entry(self) -> Entry:
        """The member without what only the ZIP format needs."""
        return Entry(self.name.removesuffix("/"), self.size, self.packed, self.name.endswith("/"))


class Window:
    """A file to be read at any place, but never past its end."""

    def __init__(self, file: BinaryIO) -> None:
        """Take the file as long as it is now."""
        self._file = file
        self.size = os.fstat(file.fileno()).st_size

    def at(self, position: int, count: int) -> bytes:
        """Exactly `count` bytes, or ArchiveError."""
        if position + count <= self.size:
            self._file.seek(position)
            data = self._file.read(count)
            if len(data) == count:
                return data
        raise ArchiveError("the ZIP file is cut off, or a header in it is wrong")


def read_directory(window: Window, limits: Limits) -> tuple[list[Record], int]:
    """The members' records, and where the directory begins. Raises ArchiveError."""
    start, size, count = _place(window, limits)
    return _records(window.at(start, size), count, limits), start


def _place(window: Window, limits: Limits) -> tuple[int, int, int]:
    """Start, size and number of records of the directory, which must end where the end record begins."""
    where, (_, disk, first_disk, here, count, size, start, _) = _end(window)
    number, end = count, where
    locator = window.at(where - LOCATOR.size, LOCATOR.size) if where >= LOCATOR.size else b""
    if locator.startswith(b"PK\6\7"):
        end = LOCATOR.unpack(locator)[2]
        if end + END64.size != where - LOCATOR.size:
            raise ArchiveError("the ZIP64 end record is not where it should be")
        wide = END64.unpack(window.at(end, END64.size))
        narrow = (disk, first_disk, here, count, size, start)
        if wide[0] != b"PK\6\6" or not all(map(_stands_for, narrow, wide[4:], (2, 2, 2, 2, 4, 4))):
            raise ArchiveError("the two end records of the ZIP file disagree")
        disk, first_disk, here, number, size, start = wide[4:]
    if disk or first_disk or here != number:
        raise ArchiveError("the ZIP file is a part of a set of several files; join them first")
    if start + size != end:
        raise ArchiveError("the ZIP file has bytes before or after its content, or it is cut off")
    if number > limits.entries or size > number * (limits.path_bytes + LONGEST_RECORD):
        raise ArchiveError(f"the archive holds more than {limits.entries} members, the most that is accepted")
    return start, size, number


def _end(window: Window) -> tuple[int, tuple[int, ...]]:
    """Position and fields of the end record: the last thing in the file, but for a comment."""
    tail_start = max(0, window.size - END.size - WIDE_16)
    tail = window.at(tail_start, window.size - tail_start)
    found = tail.rfind(b"PK\5\6")
    if found < 0 or len(tail) - found < END.size:
        raise ArchiveError(f"this is not a ZIP file, or it is cut off{_other_format(window.at(0, 4))}")
    fields = END.unpack_from(tail, found)
    if found + END.size + fields[-1] != len(tail):
        raise ArchiveError("the ZIP file has bytes after its end, or it is cut off")
    return tail_start + found, fields


def _records(directory: bytes, count: int, limits: Limits) -> list[Record]:
    """The directory's records: `count` of them, filling it."""
    records: list[Record] = []
    position = 0
    while position < len(directory) and len(records) <= count:
        record, position = _record(directory, position, limits)
        records.append(record)
    if len(records) != count:
        raise ArchiveError(f"the ZIP file says it has {count} members and lists {len(records)}")
    return records


def _record(directory: bytes, position: int, limits: Limits) -> tuple[Record, int]:
    """The record at `position`, and where it ends."""
    if len(directory) - position < CENTRAL.size or directory[position : position + 4] != b"PK\1\2":
        raise ArchiveError("the ZIP file's directory is damaged")
    fields = CENTRAL.unpack_from(directory, position)
    _, _, _, flags, method, _, _, crc, packed, size, *lengths, disk, _, attributes, offset = fields
    ends = [position := position + CENTRAL.size, *(position := position + length for length in lengths)]
    if position > len(directory):
        raise ArchiveError("the ZIP file's directory is damaged")
    raw_name, extra = directory[ends[0] : ends[1]], directory[ends[1] : ends[2]]
    name = _decoded(raw_name)
    extras = read_extras(extra, name)
    size, packed, offset = widen(extras, name, size, packed, offset)
    record = Record(name, raw_name, flags, method, crc, packed, size, offset, attributes >> 16)
    _check_record(record, extras, disk, limits)
    return record, position


def _check_record(record: Record, extras: dict[int, bytes], disk: int, limits: Limits) -> None:
    """Raise ArchiveError for what no model archive needs."""
    safe_name(record.name.removesuffix("/"), limits)
    if record.flags & ENCRYPTED_FLAGS:
        refuse(record.name, "is encrypted")
    if record.flags & ~KNOWN_FLAGS or disk:
        refuse(record.name, f"has flags {record.flags:#x} that are not supported")
    if record.method not in (STORED, DEFLATED):
        refuse(record.name, f"is compressed by method {record.method}; only stored (0) and deflate (8) are read")
    if record.method == STORED and record.packed != record.size:
        refuse(record.name, "is stored, and its two sizes differ")
    if stat.S_IFMT(record.mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        refuse(record.name, "is a link or a device")
    if record.name.endswith("/") and record.size:
        refuse(record.name, "is a folder with data")
    if UNICODE_NAME_EXTRA in extras and extras[UNICODE_NAME_EXTRA][5:] != record.raw_name:
        refuse(record.name, "has two names")


def read_extras(data: bytes, name: str) -> dict[int, bytes]:
    """The extra fields (4.5.1) by kind."""
    found: dict[int, bytes] = {}
    while len(data) >= 4:
        kind, length = struct.unpack_from("<2H", data)
        if length > len(data) - 4 or (kind in found and kind in (ZIP64_EXTRA, UNICODE_NAME_EXTRA)):
            refuse(name, "has extra fields that are damaged")
        found[kind] = data[4 : 4 + length]
        data = data[4 + length :]
    if any(data):  # zipalign pads with up to three zeros
        refuse(name, "has extra fields that are damaged")
    return found


def widen(extras: dict[int, bytes], name: str, *values: int) -> tuple[int, ...]:
    """The values, those that do not fit 32 bits taken from the ZIP64 field (4.5.3), which must hold no others."""
    wide, result = extras.get(ZIP64_EXTRA, b""), []
    for value in values:
        if value == WIDE_32 and ZIP64_EXTRA in extras:
            if len(wide) < 8:
                refuse(name, "has a ZIP64 field that is too short")
            value, wide = struct.unpack_from("<Q", wide)[0], wide[8:]
        result.append(value)
    if len(wide) > 4:
        refuse(name, "has a ZIP64 field for sizes that need none")
    return tuple(result)


def _stands_for(narrow: int, wide: int, width: int) -> bool:
    """Whether a field of the end record says what its ZIP64 twin says, or leaves it to that."""
    return narrow in (wide, (WIDE_16, WIDE_32)[width == 4])


def _decoded(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise ArchiveError(f"member {raw[:100]!r} has a name that is not UTF-8; the archive is refused") from error


def _other_format(magic: bytes) -> str:
    """What the file seems to be instead."""
    if magic.startswith(b"\x1f\x8b"):
        return "; it is gzip data, so its name should end in .tar.gz"
    return ""


def refuse(name: str, reason: str) -> NoReturn:
    """Raise ArchiveError for what is wrong with a member."""
    raise ArchiveError(f"member {name[:100]!r} {reason}; the archive is refused")
