"""StopSignals: the first SIGTERM or SIGINT asks for an orderly end, another one for the same without waiting.

SIGHUP asks for new workers; but a terminal that closes says it too, and then it is the end of a server that runs there.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterable
from typing import Any


class StopSignals:
    """What the process has been told by signals, for the running loop."""

    def __init__(self) -> None:
        """Listen from now on."""
        self._asked, self._urged = asyncio.Event(), asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self.note)

    def on_hang_up(self, renew: Callable[[], None]) -> None:
        """Have SIGHUP mean `renew`, or the end where standard input is a terminal."""
        heard = self.note if os.isatty(0) else renew
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, heard)

    @property
    def urgent(self) -> bool:
        """Whether somebody has asked twice."""
        return self._urged.is_set()

    def note(self) -> None:
        """Take note of a signal."""
        (self._urged if self._asked.is_set() else self._asked).set()

    async def asked(self) -> None:
        """Return when there was a first signal."""
        await self._asked.wait()

    async def wait(self, seconds: float, tasks: Iterable[asyncio.Future[Any]] = ()) -> None:
        """Return when tasks, where there are any, have ended, after some seconds, or at once when there was a second
        signal."""
        racing: set[asyncio.Future[Any]] = {asyncio.ensure_future(self._urged.wait())}
        if waited_for := [*tasks]:
            racing.add(asyncio.ensure_future(asyncio.wait(waited_for)))
        try:
            await asyncio.wait(racing, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for racer in racing:
                racer.cancel()
