"""Decompression in bounded pieces: however much a stream unpacks to, memory holds one piece of it."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator

from .errors import ArchiveError

PIECE_BYTES = 1 << 18
RAW = -zlib.MAX_WBITS
GZIP = zlib.MAX_WBITS | 16


def inflate(pieces: Iterable[bytes], window: int) -> Iterator[bytes]:
    """Decompress one deflate (RAW) or GZIP stream; it must end exactly where `pieces` does."""
    decoder = zlib.decompressobj(window)
    try:
        for piece in pieces:
            if decoder.eof:
                raise ArchiveError("there are bytes after the end of the compressed data")
            yield from _feed(decoder, piece)
        yield from _feed(decoder, b"")
    except zlib.error as error:
        raise ArchiveError(f"the compressed data is damaged: {error}") from error
    if not decoder.eof:
        raise ArchiveError("the compressed data ends early; the file seems cut off")
    if decoder.unused_data:
        raise ArchiveError("there are bytes after the end of the compressed data")


def _feed(decoder: zlib._Decompress, piece: bytes) -> Iterator[bytes]:
    """All that `piece` lets the decoder put out."""
    while output := decoder.decompress(piece, PIECE_BYTES):
        yield output
        piece = decoder.unconsumed_tail
