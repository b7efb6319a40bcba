"""The control group that this process runs in: how much CPU it may use and has used, and whom the kernel ended in it.

Sources: the kernel's cgroup-v2 guide (cpu.max, cpu.stat, memory.events); for v1, its sched-bwc, cpuacct and memory
guides; proc(5) of vmstat.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

MICROSECONDS, NANOSECONDS = 1e6, 1e9


class ControlGroup:
    """A process's group, of version 2 or 1, read anew each time; what the kernel does not tell is None."""

    def __init__(self, root: Path = Path("/sys/fs/cgroup"), proc: Path = Path("/proc")) -> None:
        """Look for the group of this process below `root`, and for what holds for the machine below `proc`."""
        self._root = root
        self._proc = proc

    def cores(self) -> float | None:
        """The cores that it may use; None where it may use all."""
        try:
            if told := self._read("", "cpu.max"):
                quota, period = told.split()
            else:
                quota, period = self._read("cpu", "cpu.cfs_quota_us"), self._read("cpu", "cpu.cfs_period_us")
            return int(quota) / int(period) if int(quota) > 0 else None
        except ValueError:  # "max", or no such file
            return None

    def cpu_seconds(self) -> float | None:
        """The CPU time that it has used since it was made."""
        used = self._counter(self._read("", "cpu.stat"), "usage_usec")
        if used is not None:
            return used / MICROSECONDS
        told = self._read("cpuacct", "cpuacct.usage")
        return int(told) / NANOSECONDS if told else None

    def oom_kills(self) -> int | None:
        """How many of its processes the kernel has ended for want of memory; without a group, how many in all."""
        for told in (self._read("", "memory.events"), self._read("memory", "memory.oom_control")):
            if (kills := self._counter(told, "oom_kill")) is not None:
                return kills
        return self._counter(_text(self._proc / "vmstat"), "oom_kill")

    def _read(self, controller: str, name: str) -> str:
        """A file of the group, "" where there is none; `controller` is that of version 1.

        In a container, the path that the process knows may be the host's: then the group is the root that is seen.
        """
        folder = self._root / controller
        return _text(folder / self._paths.get(controller, "") / name) or _text(folder / name)

    @cached_property
    def _paths(self) -> dict[str, str]:
        """Controller → path of the group, as cgroups(7) describes /proc/self/cgroup; "" is version 2."""
        rows = [line.split(":", 2) for line in _text(self._proc / "self" / "cgroup").splitlines()]
        return {controller: row[2].lstrip("/") for row in rows if len(row) == 3 for controller in row[1].split(",")}

    def _counter(self, told: str, name: str) -> int | None:
        """The number behind a name, in lines of names and numbers."""
        found = dict(line.split(maxsplit=1) for line in told.splitlines() if " " in line)
        return int(found[name]) if name in found else None


def _text(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:
        return ""
