"""What processes hold of the machine's memory: pages that several of them share are counted in parts (PSS)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable


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
