"""Heads of requests that are known already, and need no parser."""

from __future__ import annotations

import re

from ..api.direct import Place

KNOWN_BYTES, LENGTH_DIGITS = 2048, 16
"""What a head may have, and its length, to be known again: each connection keeps its latest."""
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)


class KnownHead:
    """The head of a prediction, by which the next ones are told that differ from it in their length alone.

    The parser has understood it once, and would find the same in the same bytes: a request line, headers, and a body of
    the length that they say. Clients that keep their connection send little else.
    """

    __slots__ = ("_after", "_before", "_headers", "_limit", "place")

    def __init__(self, before: bytes, after: bytes, place: Place, headers: dict[str, str], limit: int) -> None:
        """Know what stands before and after the length of the body, which may be up to `limit`."""
        self._before, self._after = before, after
        self.place = place
        self._headers = headers
        self._limit = limit

    @classmethod
    def of(cls, data: bytes, place: Place, headers: dict[str, str], limit: int) -> KnownHead | None:
        """That of a request of which the parser has found the place and the headers in `data`.

        None where it is not all of that, says no length, or is too long to keep.
        """
        end = data.find(b"\r\n\r\n", 0, KNOWN_BYTES) + 4
        length = LENGTH.search(data, 0, end)
        if length is None or int(length[1]) != len(data) - end:
            return None
        return cls(data[: length.start(1)], data[length.end(1) : end], place, headers, limit)

    def read(self, data: bytes) -> tuple[dict[str, str], bytes] | None:
        """The headers and the body of a request that has this head, and is all there is in `data`; else None."""
        start = len(self._before)
        if not data.startswith(self._before):
            return None
        end = data.find(b"\r", start, start + LENGTH_DIGITS)
        if end < 0 or not data.startswith(self._after, end):
            return None
        length, body = data[start:end], data[end + len(self._after) :]
        if not length.isdigit() or int(length) != len(body) or len(body) > self._limit:
            return None
        headers = self._headers.copy()
        headers["content-length"] = length.decode()
        return headers, body
