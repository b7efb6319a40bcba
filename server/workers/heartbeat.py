"""Heartbeat: notices a worker's process that is stopped, or that has nothing to do and does not answer all the same."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

PATIENCE = 2
"""Beats in a row at which something must be wrong: one may be the server's own fault, or a moment's."""
STOPPED, TRACED = "T", "t"


class Heartbeat:
    """Looks at one process every `interval` seconds, asks it whether it is there, and calls `lost` once with how it is.

    What keeps a handler busy for too long is responseTimeout's business, unless the process is stopped: then it never
    ends. One that a debugger holds is left alone.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        interval: float,
        state: Callable[[], str],
        *,
        busy: Callable[[], bool],
        ping: Callable[[], None],
        heard_at: Callable[[], float],
        lost: Callable[[str], None],
    ) -> None:
        """Begin; `state` tells the process's as the kernel has it, `heard_at` when it last said anything."""
        self._loop = loop
        self._interval = interval
        self._state = state
        self._busy = busy
        self._ping = ping
        self._heard_at = heard_at
        self._lost = lost
        self._asked_at: float | None = None
        self._wrong = 0
        self._timer = loop.call_later(interval, self._beat)

    def stop(self) -> None:
        """Look no more."""
        self._timer.cancel()

    def _beat(self) -> None:
        state, busy = self._state(), self._busy()
        silent = self._asked_at is not None and self._heard_at() < self._asked_at
        if state == STOPPED or (silent and not busy and state != TRACED):
            self._wrong += 1
        else:
            self._wrong = 0
        if self._wrong >= PATIENCE:
            waited = f"in {self._interval * PATIENCE:g} s (worker_heartbeat)"
            self._lost(
                "was stopped by a signal" if state == STOPPED else f"had nothing to do, and did not answer {waited}"
            )
            return
        if busy:
            self._asked_at = None
        elif not silent:
            self._asked_at = self._loop.time()
            self._ping()
        self._timer = self._loop.call_later(self._interval, self._beat)


def state_of(pid: int, proc: Path = Path("/proc")) -> str:
    """The letter of a process's state, "" where there is no such process. Source: proc_pid_stat(5)."""
    try:
        return (proc / str(pid) / "stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return ""
