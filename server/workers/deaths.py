"""Deaths: how a worker's process has ended, in words for the log and in one for the metric."""

from __future__ import annotations

import signal
from typing import NamedTuple

from ..control_group import ControlGroup

CRASHES = {"SIGABRT", "SIGBUS", "SIGFPE", "SIGILL", "SIGSEGV", "SIGSYS", "SIGTRAP"}
"""Signals by which the kernel, or its own runtime, ends a process for what it has done."""
OUT_OF_MEMORY, UNRESPONSIVE = "out_of_memory", "unresponsive"


class Death(NamedTuple):
    """`how` follows on the words "the process"; `cause` is one of `metrics.models.CAUSES`."""

    how: str
    cause: str = "died"


class OomKills:
    """Tells a worker that the kernel has ended for want of memory from one that somebody has killed."""

    def __init__(self, group: ControlGroup | None = None) -> None:
        """Know of none yet."""
        self._group = group or ControlGroup()
        self._known = 0

    def look(self) -> None:
        """Take note of those so far: they were no worker's that starts now."""
        self._known = self._group.oom_kills() or 0

    def claim(self) -> bool:
        """Whether there is one that nobody has claimed yet; it is claimed by that."""
        if (self._group.oom_kills() or 0) <= self._known:
            return False
        self._known += 1
        return True


OOM_KILLS = OomKills()
"""Those of this process's group."""


def death_of(code: int, oom_kills: OomKills) -> Death:
    """How a process ended: Popen's return code, or a shell's 128 + signal."""
    number = -code if code < 0 else code - 128
    try:
        name = signal.Signals(number).name
    except ValueError:
        return Death(f"exited with code {code}" + (", though nobody had asked it to" if code == 0 else ""), "exited")
    if code > 0:
        return Death(f"exited with code {code}, like {name}", "exited")
    if name == "SIGKILL" and oom_kills.claim():
        return Death(f"was killed by {name}, by the kernel, as memory had run out", OUT_OF_MEMORY)
    return Death(f"was killed by {name}", "crashed" if name in CRASHES else "killed")
