"""A strict reader of ZIP archives: one that two programs could read in two ways is refused.

Members must lie one after the other from the first byte of the file to its directory, and each local header must say
what the directory says. So there is no room for overlapping members, hidden ones, or a second file around the first.
Numbers in comments are sections of PKWARE's APPNOTE.TXT 6.3.10.
"""

from __future__ import annotations

import os
import stat
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, NoReturn

from .entry import Entry, Names, safe_name
from .errors import ArchiveError
from .inflate import PIECE_BYTES, RAW, inflate
from .limits import Budget, Limits

LOCAL = struct.Struct("<4s5H3I2H")  # 4.3.7
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
class _Record:
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


@dataclass(frozen=True, slots=True)
class ZipMember:
    """A checked member: what it is, and where its data stands in the file."""

    entry: Entry
    method: int
    crc: int
    start: int
    packed: int


class ZipReader:
    """The members of a ZIP file, all of them checked before the first is read."""

    def __init__(self, file: BinaryIO, limits: Limits) -> None:
        """Read the directory and every local header; raises ArchiveError."""
        self._file = file
        self._limits = limits
        self._size = os.fstat(file.fileno()).st_size
        self.members = self._checked()

    def read(self, member: ZipMember) -> Iterator[bytes]:
        """The member's data in pieces; raises ArchiveError where it is not what the directory says."""
        crc = count = 0
        packed = self._packed(member)
        for piece in packed if member.method == STORED else inflate(packed, RAW):
            crc = zlib.crc32(piece, crc)
            count += len(piece)
            if count > member.entry.size:
                break
            yield piece
        if count != member.entry.size:
            _refuse(member.entry.name, f"does not unpack to the {member.entry.size} bytes its header says")
        if crc != member.crc:
            _refuse(member.entry.name, "is damaged: its checksum differs")

    def _packed(self, member: ZipMember) -> Iterator[bytes]:
        position, end = member.start, member.start + member.packed
        while position < end:
            piece = self._at(position, min(PIECE_BYTES, end - position))
            position += len(piece)
            yield piece

    def _checked(self) -> tuple[ZipMember, ...]:
        start, size, count = self._directory()
        records = _records(self._at(start, size), count, self._limits)
        budget, names = Budget(self._limits, self._size), Names()
        for record in records:
            names.add(_entry(record))
            budget.enter(record.name, record.size)
            budget.spend(record.size)
        return tuple(self._tiled(records, start))

    def _tiled(self, records: list[_Record], end: int) -> Iterator[ZipMember]:
        """Members in the order of the file, each beginning where the one before it ends, the last ending at `end`."""
        ordered = sorted(records, key=lambda record: record.offset)
        offsets = [*(record.offset for record in ordered), end]
        if offsets[0]:
            raise ArchiveError("the ZIP file has bytes before its first member; the archive is refused")
        for record, following in zip(ordered, offsets[1:], strict=True):
            start = self._data_start(record)
            if start + record.packed > following:
                _refuse(record.name, "reaches into the next one")
            self._check_descriptor(record, start + record.packed, following)
            yield ZipMember(_entry(record), record.method, record.crc, start, record.packed)

    def _data_start(self, record: _Record) -> int:
        """Where the data begins, after a local header that agrees with the directory."""
        fields = LOCAL.unpack(self._at(record.offset, LOCAL.size))
        magic, _, flags, method, _, _, crc, packed, size, name_length, extra_length = fields
        rest = self._at(record.offset + LOCAL.size, name_length + extra_length)
        extras = _extras(rest[name_length:], record.name)
        size, packed = _widen(extras, record.name, size, packed)
        same = (magic, flags, method, rest[:name_length]) == (b"PK\3\4", record.flags, record.method, record.raw_name)
        agreed = (crc, packed, size) == (record.crc, record.packed, record.size)
        postponed = bool(flags & DESCRIPTOR_FLAG) and not (crc or packed or size)
        if not same or not (agreed or postponed):
            _refuse(record.name, "is described in two different ways by its header and the directory")
        return int(record.offset + LOCAL.size + name_length + extra_length)

    def _check_descriptor(self, record: _Record, start: int, end: int) -> None:
        """The sizes after the data (4.3.9), where the flags announce them, must fill the gap and agree."""
        gap = self._at(start, end - start) if end - start <= 24 else b"-"
        if not record.flags & DESCRIPTOR_FLAG:
            if gap:
                _refuse(record.name, "is followed by bytes that belong to no member")
            return
        forms = [struct.pack("<I2Q", record.crc, record.packed, record.size)]
        if max(record.packed, record.size) <= WIDE_32:
            forms.append(struct.pack("<3I", record.crc, record.packed, record.size))
        if gap.removeprefix(b"PK\7\10") not in forms and gap not in forms:
            _refuse(record.name, "is described in two different ways by the directory and the sizes after its data")

    def _directory(self) -> tuple[int, int, int]:
        """Start, size and number of records of the directory, which must end where the end record begins."""
        where, (_, disk, first_disk, here, count, size, start, _) = self._end()
        number, end = count, where
        locator = self._at(where - LOCATOR.size, LOCATOR.size) if where >= LOCATOR.size else b""
        if locator.startswith(b"PK\6\7"):
            end = LOCATOR.unpack(locator)[2]
            if end + END64.size != where - LOCATOR.size:
                raise ArchiveError("the ZIP64 end record is not where it should be")
            wide = END64.unpack(self._at(end, END64.size))
            narrow = (disk, first_disk, here, count, size, start)
            if wide[0] != b"PK\6\6" or not all(map(_stands_for, narrow, wide[4:], (2, 2, 2, 2, 4, 4))):
                raise ArchiveError("the two end records of the ZIP file disagree")
            disk, first_disk, here, number, size, start = wide[4:]
        if disk or first_disk or here != number:
            raise ArchiveError("the ZIP file is a part of a set of several files; join them first")
        if start + size != end:
            raise ArchiveError("the ZIP file has bytes before or after its content, or it is cut off")
        if number > self._limits.entries or size > number * (self._limits.path_bytes + LONGEST_RECORD):
            raise ArchiveError(f"the archive holds more than {self._limits.entries} members, the most that is accepted")
        return start, size, number

    def _end(self) -> tuple[int, tuple[int, ...]]:
        """Position and fields of the end record: the last thing in the file, but for a comment."""
        tail_start = max(0, self._size - END.size - WIDE_16)
        tail = self._at(tail_start, self._size - tail_start)
        found = tail.rfind(b"PK\5\6")
        if found < 0 or len(tail) - found < END.size:
            raise ArchiveError(f"this is not a ZIP file, or it is cut off{_other_format(self._at(0, 4))}")
        fields = END.unpack_from(tail, found)
        if found + END.size + fields[-1] != len(tail):
            raise ArchiveError("the ZIP file has bytes after its end, or it is cut off")
        return tail_start + found, fields

    def _at(self, position: int, count: int) -> bytes:
        """Exactly `count` bytes, or ArchiveError."""
        if position + count > self._size:
            raise ArchiveError("the ZIP file is cut off, or a header in it is wrong")
        self._file.seek(position)
        return self._file.read(count)


def _records(directory: bytes, count: int, limits: Limits) -> list[_Record]:
    """The directory's records: `count` of them, filling it."""
    records, position = [], 0
    while position < len(directory):
        record, position = _record(directory, position, limits)
        records.append(record)
    if len(records) != count:
        raise ArchiveError(f"the ZIP file says it has {count} members and lists {len(records)}")
    return records


def _record(directory: bytes, position: int, limits: Limits) -> tuple[_Record, int]:
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
    extras = _extras(extra, name)
    size, packed, offset = _widen(extras, name, size, packed, offset)
    record = _Record(name, raw_name, flags, method, crc, packed, size, offset, attributes >> 16)
    _check_record(record, extras, disk, limits)
    return record, position


def _check_record(record: _Record, extras: dict[int, bytes], disk: int, limits: Limits) -> None:
    """Raise ArchiveError for what no model archive needs."""
    safe_name(record.name.removesuffix("/"), limits)
    if record.flags & ENCRYPTED_FLAGS:
        _refuse(record.name, "is encrypted")
    if record.flags & ~KNOWN_FLAGS or disk:
        _refuse(record.name, f"has flags {record.flags:#x} that are not supported")
    if record.method not in (STORED, DEFLATED):
        _refuse(record.name, f"is compressed by method {record.method}; only stored (0) and deflate (8) are read")
    if record.method == STORED and record.packed != record.size:
        _refuse(record.name, "is stored, and its two sizes differ")
    if stat.S_IFMT(record.mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        _refuse(record.name, "is a link or a device")
    if record.name.endswith("/") and record.size:
        _refuse(record.name, "is a folder with data")
    if UNICODE_NAME_EXTRA in extras and extras[UNICODE_NAME_EXTRA][5:] != record.raw_name:
        _refuse(record.name, "has two names")


def _extras(data: bytes, name: str) -> dict[int, bytes]:
    """The extra fields (4.5.1) by kind."""
    found: dict[int, bytes] = {}
    while len(data) >= 4:
        kind, length = struct.unpack_from("<2H", data)
        if length > len(data) - 4 or (kind in found and kind in (ZIP64_EXTRA, UNICODE_NAME_EXTRA)):
            _refuse(name, "has extra fields that are damaged")
        found[kind] = data[4 : 4 + length]
        data = data[4 + length :]
    if any(data):  # zipalign pads with up to three zeros
        _refuse(name, "has extra fields that are damaged")
    return found


def _widen(extras: dict[int, bytes], name: str, *values: int) -> tuple[int, ...]:
    """The values, those that do not fit 32 bits taken from the ZIP64 field (4.5.3), which must hold no others."""
    wide, result = extras.get(ZIP64_EXTRA, b""), []
    for value in values:
        if value == WIDE_32 and ZIP64_EXTRA in extras:
            if len(wide) < 8:
                _refuse(name, "has a ZIP64 field that is too short")
            value, wide = struct.unpack_from("<Q", wide)[0], wide[8:]
        result.append(value)
    if len(wide) > 4:
        _refuse(name, "has a ZIP64 field for sizes that need none")
    return tuple(result)


def _stands_for(narrow: int, wide: int, width: int) -> bool:
    """Whether a field of the end record says what its ZIP64 twin says, or leaves it to that."""
    return narrow in (wide, (WIDE_16, WIDE_32)[width == 4])


def _decoded(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise ArchiveError(f"member {raw[:100]!r} has a name that is not UTF-8; the archive is refused") from error


def _entry(record: _Record) -> Entry:
    return Entry(record.name.removesuffix("/"), record.size, record.packed, record.name.endswith("/"))


def _other_format(magic: bytes) -> str:
    """What the file seems to be instead."""
    if magic.startswith(b"\x1f\x8b"):
        return "; it is gzip data, so its name should end in .tar.gz"
    return ""


def _refuse(name: str, reason: str) -> NoReturn:
    raise ArchiveError(f"member {name[:100]!r} {reason}; the archive is refused")
