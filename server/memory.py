"""What processes hold of the machine's memory: pages that several of them share are counted in parts (PSS)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path

import psutil

CGROUP = Path("/sys/fs/cgroup")


def proportional_bytes(pid: int) -> int | None:
    """The proportional set size of a process; None where the kernel does not tell. Source: proc_pid_smaps_rollup(5)."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", "rb") as file:
            return next((int(line.split()[1]) << 10 for line in file if line.startswith(b"Pss:")), None)
    except OSError:
        return None


async def measured(pids: Iterable[int]) -> dict[int, int]:
    """Process → its proportional set size, for those that can be asked.

    In a thread, as the kernel goes through all pages: some milliseconds a gigabyte.
    """
    wanted = frozenset(pids)
    found = await asyncio.to_thread(lambda: {pid: proportional_bytes(pid) for pid in wanted}) if wanted else {}
    return {pid: held for pid, held in found.items() if held is not None}


def available_bytes(cgroup: Path = CGROUP) -> int:
    """Memory that can still be taken: the machine's, or what the container's limit leaves where that is less.

    Source: the kernel's cgroup-v2 guide; files that were read and can be dropped count as available.
    """
    available: int = psutil.virtual_memory().available
    try:
        limit, used = (int((cgroup / name).read_text()) for name in ("memory.max", "memory.current"))
        told = dict(line.split() for line in (cgroup / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):  # no such group, or "max"
        return available
    return min(available, max(0, limit - used + int(told.get("inactive_file", 0))))
