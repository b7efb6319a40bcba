"""A strict reader of ZIP archives: one that two programs could read in two ways is refused.

Members must lie one after the other from the first byte of the file to its directory, and each local header must say
what the directory says. So there is no room for overlapping members, hidden ones, or a second file around the first.
Numbers in comments are sections of PKWARE's APPNOTE.TXT 6.3.10.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from .entry import Entry, Names
from .errors import ArchiveError
from .inflate import PIECE_BYTES, RAW, inflate
from .limits import Budget, Limits
from .zip_directory import (
    DESCRIPTOR_FLAG,
    STORED,
    WIDE_32,
    Record,
    Window,
    read_directory,
    read_extras,
    refuse,
    widen,
)

LOCAL = struct.Struct("<4s5H3I2H")  # 4.3.7


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
        self._window = Window(file)
        records, end = read_directory(self._window, limits)
        budget, names = Budget(limits, self._window.size), Names()
        for record in records:
            names.add(record.entry)
            budget.enter(record.name, record.size)
            budget.spend(record.size)
        self.members = tuple(self._tiled(records, end))

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
            refuse(member.entry.name, f"does not unpack to the {member.entry.size} bytes its header says")
        if crc != member.crc:
            refuse(member.entry.name, "is damaged: its checksum differs")

    def _packed(self, member: ZipMember) -> Iterator[bytes]:
        position, end = member.start, member.start + member.packed
        while position < end:
            piece = self._window.at(position, min(PIECE_BYTES, end - position))
            position += len(piece)
            yield piece

    def _tiled(self, records: list[Record], end: int) -> Iterator[ZipMember]:
        """Members in the order of the file, each beginning where the one before it ends, the last ending at `end`."""
        ordered = sorted(records, key=lambda record: record.offset)
        offsets = [*(record.offset for record in ordered), end]
        if offsets[0]:
            raise ArchiveError("the ZIP file has bytes before its first member; the archive is refused")
        for record, following in zip(ordered, offsets[1:], strict=True):
            start = self._data_start(record)
            if start + record.packed > following:
                refuse(record.name, "reaches into the next one")
            self._check_descriptor(record, start + record.packed, following)
            yield ZipMember(record.entry, record.method, record.crc, start, record.packed)

    def _data_start(self, record: Record) -> int:
        """Where the data begins, after a local header that agrees with the directory."""
        fields = LOCAL.unpack(self._window.at(record.offset, LOCAL.size))
        magic, _, flags, method, _, _, crc, packed, size, name_length, extra_length = fields
        rest = self._window.at(record.offset + LOCAL.size, name_length + extra_length)
        extras = read_extras(rest[name_length:], record.name)
        size, packed = widen(extras, record.name, size, packed)
        same = (magic, flags, method, rest[:name_length]) == (b"PK\3\4", record.flags, record.method, record.raw_name)
        agreed = (crc, packed, size) == (record.crc, record.packed, record.size)
        postponed = bool(flags & DESCRIPTOR_FLAG) and not (crc or packed or size)
        if not same or not (agreed or postponed):
            refuse(record.name, "is described in two different ways by its header and the directory")
        return int(record.offset + LOCAL.size + name_length + extra_length)

    def _check_descriptor(self, record: Record, start: int, end: int) -> None:
        """The sizes after the data (4.3.9), where the flags announce them, must fill the gap and agree."""
        gap = self._window.at(start, end - start) if end - start <= 24 else b"-"
        if not record.flags & DESCRIPTOR_FLAG:
            if gap:
                refuse(record.name, "is followed by bytes that belong to no member")
            return
        forms = [struct.pack("<I2Q", record.crc, record.packed, record.size)]
        if max(record.packed, record.size) <= WIDE_32:
            forms.append(struct.pack("<3I", record.crc, record.packed, record.size))
        if gap.removeprefix(b"PK\7\10") not in forms and gap not in forms:
            refuse(record.name, "is described in two different ways by the directory and the sizes after its data")
