"""Stream: the further pieces of an answer, on their way from a worker to whoever sends them out."""

from __future__ import annotations

import asyncio
from collections import deque

from ..errors import ServingError, StreamBroken

PIECE_COST = 64
"""Bytes that a piece counts beside its own, so that empty ones cannot pile up without end."""


class Stream:
    """Pieces in order, then an end or an error. `limit` bytes may wait to be read; beyond that the stream breaks."""

    def __init__(self, limit: int) -> None:
        """Be open and empty."""
        self._limit = limit
        self._pieces: deque[bytes | bytearray | memoryview] = deque()
        self._waiting = 0
        self._ended = False
        self._error: ServingError | None = None
        self._news = asyncio.Event()

    @property
    def ended(self) -> bool:
        """Whether nothing more can be put in."""
        return self._ended

    def put(self, piece: bytes | bytearray | memoryview) -> None:
        """Add a piece; once ended, it is dropped."""
        if self._ended:
            return
        self._pieces.append(piece)
        self._waiting += len(piece) + PIECE_COST
        self._news.set()
        if self._waiting > self._limit:
            self.end(StreamBroken(f"{self._waiting} bytes wait to be read; {self._limit} may (max_response_size)"))

    def end(self, error: ServingError | None = None) -> None:
        """There will be no more pieces, for this reason if there is one."""
        if not self._ended:
            self._ended, self._error = True, error
            self._news.set()

    def close(self) -> None:
        """The reader has left: what waits is dropped, and so is what will come."""
        self.end()
        self._pieces.clear()

    def __aiter__(self) -> Stream:
        return self

    async def __anext__(self) -> bytes | bytearray | memoryview:
        """The next piece. Raises: the error that the stream was ended with, after the pieces before it."""
        while not self._pieces:
            if self._error:
                raise self._error
            if self._ended:
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()
        piece = self._pieces.popleft()
        self._waiting -= len(piece) + PIECE_COST
        return piece
