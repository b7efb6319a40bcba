"""What a worker prints: read always, so that it never blocks, and logged line by line within limits."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable

logger = logging.getLogger("numserve.model")

LINE_BYTES = 8192
LINES_PER_SECOND = 200
BURST_LINES = 2000
TAIL_LINES = 5
TELL_SECONDS = 1.0
"""After which it is told how many lines were dropped, where nothing more comes."""


class WorkerOutput(asyncio.Protocol):
    """The reading end of a worker's standard output and error."""

    def __init__(self, worker: str, clock: Callable[[], float] = time.monotonic) -> None:
        """Log under the worker's name."""
        self._worker = worker
        self._clock = clock
        self._rest = b""
        self._cut = 0
        self._allowance = float(BURST_LINES)
        self._refilled_at = clock()
        self._dropped = 0
        self._timer: asyncio.TimerHandle | None = None
        self.tail: deque[str] = deque(maxlen=TAIL_LINES)
        """The last lines that were logged."""
        self.ended = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        """Log the lines that are complete; beyond the limits only count them."""
        self._refill()
        if self._allowance < 1:
            self._drop(data.count(b"\n"))
            self._rest, self._cut = b"", 0
            return
        *lines, rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._line(line)
        self._cut += max(0, len(rest) - LINE_BYTES)
        self._rest = rest[:LINE_BYTES]

    def connection_lost(self, error: Exception | None) -> None:
        """Log what has no line end, too."""
        if self._rest:
            self._line(self._rest)
        self._tell_dropped()
        if not self.ended.done():
            self.ended.set_result(None)

    def _line(self, line: bytes) -> None:
        cut, self._cut = self._cut + max(0, len(line) - LINE_BYTES), 0
        if self._allowance < 1:
            self._drop(1)
            return
        self._allowance -= 1
        text = line[:LINE_BYTES].decode("utf-8", "replace").rstrip("\r")
        if cut:
            text += f" … and {cut} bytes more"
        self.tail.append(text)
        self._log(text)

    def _refill(self) -> None:
        now = self._clock()
        self._allowance = min(BURST_LINES, self._allowance + (now - self._refilled_at) * LINES_PER_SECOND)
        self._refilled_at = now
        if self._allowance >= 1:
            self._tell_dropped()

    def _drop(self, lines: int) -> None:
        """Count lines, and tell of them soon: the worker may say nothing more for hours."""
        self._dropped += lines
        if self._dropped and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(TELL_SECONDS, self._tell_dropped)

    def _tell_dropped(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if self._dropped:
            self._log(f"… {self._dropped} lines dropped: a worker may log {LINES_PER_SECOND} a second")
            self._dropped = 0

    def _log(self, text: str) -> None:
        logger.info("%s", text, extra={"worker": self._worker})
