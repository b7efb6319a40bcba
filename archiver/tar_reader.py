"""A strict reader of tar.gz archives: files and folders only, read in one pass, never more than one piece in memory."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from typing import BinaryIO

from .entry import Entry, Names, safe_name
from .errors import ArchiveError
from .inflate import GZIP, PIECE_BYTES, inflate
from .limits import Budget, Limits

BLOCK = tarfile.BLOCKSIZE
LONGEST_EXTENSION = 1 << 16
MOST_EXTENSIONS = 4
"""Extended headers before one member."""
KINDS = {
    tarfile.LNKTYPE: "a hard link",
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.FIFOTYPE: "a pipe",
}
FILE_KINDS = (tarfile.REGTYPE, tarfile.AREGTYPE)
EXTENSION_KINDS = (tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.XGLTYPE)


@dataclass(frozen=True, slots=True)
class _Header:
    """What a block says of the member after it; `name` and `size` may come from the extension before it."""

    name: str
    size: int
    kind: bytes


def read_tar(file: BinaryIO, limits: Limits) -> Iterator[tuple[Entry, Iterator[bytes]]]:
    """Each member with its data in pieces, its first path component dropped; data left unread is passed over."""
    budget, names = Budget(limits, os.fstat(file.fileno()).st_size), Names()
    stream = _Stream(_counted(inflate(_pieces(file), GZIP), budget))
    for header in _headers(stream, budget):
        data = stream.pieces(header.size)
        if entry := _entry(header, limits):
            names.add(entry)
            yield entry, data
        for _ in data:
            pass
        stream.read(-header.size % BLOCK)
    stream.expect_zeros()


class _Stream:
    """The unpacked bytes, taken in the amounts that are asked for."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = b""

    def pieces(self, count: int) -> Iterator[bytes]:
        """The next `count` bytes, in pieces."""
        while count:
            if not self._rest:
                self._rest = next(self._pieces, b"")
            if not self._rest:
                raise ArchiveError("the tar data ends early; the file seems cut off")
            piece, self._rest = self._rest[:count], self._rest[count:]
            count -= len(piece)
            yield piece

    def read(self, count: int) -> bytes:
        """The next `count` bytes, a small number of them."""
        return b"".join(self.pieces(count))

    def expect_zeros(self) -> None:
        """Read to the end, over nothing but padding."""
        for piece in chain([self._rest], self._pieces):
            if piece.strip(b"\0"):
                raise ArchiveError("there are bytes after the end of the tar data; the archive is refused")


def _headers(stream: _Stream, budget: Budget) -> Iterator[_Header]:
    """The members' headers up to the block of zeros that ends a tar; extensions are applied to what follows them."""
    extension: dict[str, str] = {}
    extensions = 0
    while any(block := stream.read(BLOCK)):
        header = _header(block)
        if header.kind in EXTENSION_KINDS and extensions < MOST_EXTENSIONS:
            extension |= _extension(header, stream)
            extensions += 1
            continue
        header = _extended(header, extension)
        budget.enter(header.name, header.size)
        yield header
        extension, extensions = {}, 0


def _header(block: bytes) -> _Header:
    try:
        info = tarfile.TarInfo.frombuf(block, "utf-8", "strict")
    except tarfile.HeaderError as error:
        raise ArchiveError(f"the tar data is damaged: {error}") from error
    except UnicodeDecodeError as error:
        raise ArchiveError("a member has a name that is not UTF-8; the archive is refused") from error
    if info.size < 0:
        raise ArchiveError(f"member {info.name!r} has a negative size; the archive is refused")
    return _Header(info.name, info.size, info.type)


def _extension(header: _Header, stream: _Stream) -> dict[str, str]:
    """What a GNU long name or a pax header (POSIX.1-2001) says of the next member."""
    if header.size > LONGEST_EXTENSION:
        raise ArchiveError(f"an extended tar header has {header.size} bytes; the archive is refused")
    data = stream.read(header.size)
    stream.read(-header.size % BLOCK)
    try:
        if header.kind == tarfile.GNUTYPE_LONGNAME:
            return {"path": data.rstrip(b"\0").decode()}
        records = dict(_pax_records(data))
    except ValueError as error:
        raise ArchiveError(f"an extended tar header is damaged: {error}") from error
    unsupported = [key for key in records if key.startswith("GNU.sparse") or key == "hdrcharset"]
    if header.kind == tarfile.XGLTYPE:
        unsupported += records.keys() & {"path", "size"}
        records = {}
    if unsupported:
        raise ArchiveError(f"the tar header {unsupported[0]} is not supported; the archive is refused")
    return records


def _pax_records(data: bytes) -> Iterator[tuple[str, str]]:
    """The `length key=value` lines of a pax header."""
    while data:
        length, space, _ = data.partition(b" ")
        if not length.isdigit() or len(length) > 6 or not len(length) + 1 < int(length) <= len(data):
            raise ValueError("a record has a wrong length")
        line, data = data[len(length) + len(space) : int(length)], data[int(length) :]
        key, equals, value = line.partition(b"=")
        if not equals or not value.endswith(b"\n"):
            raise ValueError("a record is no key and value")
        # other keys (times, owners) may hold bytes of any kind
        yield key.decode(), value[:-1].decode(errors="strict" if key == b"path" else "replace")


def _extended(header: _Header, extension: dict[str, str]) -> _Header:
    size = extension.get("size", str(header.size))
    if not size.isascii() or not size.isdigit() or len(size) > 18:
        raise ArchiveError(f"member {header.name!r} has a size that is no number; the archive is refused")
    return replace(header, name=extension.get("path", header.name), size=int(size))


def _entry(header: _Header, limits: Limits) -> Entry | None:
    """The member without its first path component; None for the top folder itself."""
    folder = header.kind == tarfile.DIRTYPE
    if header.kind not in FILE_KINDS and not folder:
        kind = KINDS.get(header.kind, f"of type {header.kind!r}")
        raise ArchiveError(f"member {header.name[:100]!r} is {kind}; the archive is refused")
    if folder and header.size:
        raise ArchiveError(f"member {header.name[:100]!r} is a folder with data; the archive is refused")
    name = header.name.removesuffix("/") if folder else header.name
    if folder and name == ".":
        return None
    plain = safe_name(name.removeprefix("./"), limits)
    top, slash, inner = plain.partition("/")
    if name.startswith("./"):
        return Entry(plain, header.size, None, folder)
    if folder and not slash:
        return None
    return Entry(inner or top, header.size, None, folder)


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    file.seek(0)
    first = file.read(PIECE_BYTES)
    if not first.startswith(b"\x1f\x8b"):
        hint = "; it is a ZIP file, so its name should end in .mar" if first.startswith(b"PK\3\4") else ""
        raise ArchiveError(f"this is not a tar.gz file{hint}")
    yield first
    while piece := file.read(PIECE_BYTES):
        yield piece


def _counted(pieces: Iterable[bytes], budget: Budget) -> Iterator[bytes]:
    for piece in pieces:
        budget.spend(len(piece))
        yield piece
