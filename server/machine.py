"""Machine: whether there are CPU time and memory for another worker, in the part of the machine that is ours."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import psutil

from .control_group import ControlGroup
from .memory import available_bytes

FULL = 0.9
"""Share of the CPU time in use above which another worker would only take it from the others."""
LOOK_SECONDS = 1.0
"""Seconds over which the use of the CPU is measured, at least."""


class Machine:
    """Measures what is used of the cores that this process may run on, or of the quota of its control group."""

    def __init__(
        self,
        group: ControlGroup | None = None,
        available: Callable[[], int] = available_bytes,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin to measure."""
        self._group = group or ControlGroup()
        self._available = available
        self._clock = clock
        self._cores = self._group.cores()
        self._looked_at, self._used = clock(), self._cpu_seconds()
        self.busy = 0.0
        """Share of the CPU time that was used of late, from 0 to 1."""

    def look(self) -> None:
        """Measure anew, once a second at most."""
        now = self._clock()
        if (passed := now - self._looked_at) < LOOK_SECONDS:
            return
        used = self._cpu_seconds()
        cores = self._cores or len(os.sched_getaffinity(0))
        self.busy = min(1.0, max(0.0, (used - self._used) / (passed * cores)))
        self._looked_at, self._used = now, used

    def no_room(self, needed: int) -> str:
        """Why there is no room for another worker, which takes `needed` bytes of memory; "" where there is."""
        if self.busy > FULL:
            return f"the CPU is {self.busy:.0%} busy"
        if (available := self._available()) < needed:
            return f"{available >> 20} MB of memory are available, and a worker takes {needed >> 20}"
        return ""

    def _cpu_seconds(self) -> float:
        """The CPU time used so far: by our group, where it has a quota, else by everybody on our cores."""
        if self._cores and (used := self._group.cpu_seconds()) is not None:
            return used
        ours = os.sched_getaffinity(0)
        times = psutil.cpu_times(percpu=True)
        return sum(sum(t[:8]) - t.idle - t.iowait for number, t in enumerate(times) if number in ours)
