"""Content-Encoding of the Open Inference Protocol's requests: gzip and deflate, bounded by what comes out."""

from __future__ import annotations

import zlib

from ..errors import InvalidRequest
from .errors import TooLarge, UnknownEncoding

CONTENT_ENCODING = b"content-encoding"
EITHER = 47  # zlib.decompressobj: the largest window, and the header, zlib's or gzip's, says which it is


def decoded(encoding: str, body: bytes | bytearray, limit: int) -> bytes | bytearray:
    """The body as it was before it was compressed.

    Raises: TooLarge as soon as more than `limit` bytes come out, UnknownEncoding, InvalidRequest.
    """
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return body
    if name not in ("gzip", "x-gzip", "deflate"):
        raise UnknownEncoding(encoding)
    try:
        inflater = zlib.decompressobj(EITHER)
        plain = inflater.decompress(body, limit + 1)
    except zlib.error as error:
        raise InvalidRequest(f"The body is no {name}: {error}") from error
    if len(plain) > limit:
        raise TooLarge(limit)
    if not inflater.eof or inflater.unused_data:
        raise InvalidRequest(
            f"The body is no {name}: it {'breaks off' if not inflater.eof else 'goes on after its end'}"
        )
    return plain
