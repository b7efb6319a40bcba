"""What a server has in use, and what it leaves behind: processes, descriptors, memory, temporary files."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PATIENCE = 30.0
MARK = "NUMSERVE_TESTS_MARK"
SHARED_MEMORY = Path("/dev/shm")
RSS_SHARE, RSS_SLACK = 0.10, 24 << 20
"""How far the memory may be from where it was: a tenth, and what a heap of some 70 MB does not give back at once."""

OF_WORKERS = 2
"""Descriptors: each worker, of two, shares memory with the server from its first large body to its end."""


@dataclass(frozen=True)
class Traces:
    """One moment: processes by number, files in the server's temporary folder and in shared memory."""

    processes: frozenset[int]
    files: frozenset[str]
    shared: frozenset[str]
    descriptors: int
    rss: int

    @classmethod
    def now(cls, mark: str, temp: Path, pid: int | None = None) -> Traces:
        """Of the processes that bear the mark in their environment; descriptors and memory of one of them."""
        return cls(
            frozenset(marked(mark)),
            frozenset(_listed(temp)),
            frozenset(name for name in os.listdir(SHARED_MEMORY) if name.startswith("numserve")),
            len(os.listdir(f"/proc/{pid}/fd")) if pid else 0,
            int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if pid else 0,
        )

    def since(self, before: Traces) -> list[str]:
        """What there is now and was not before; workers may have been replaced, one for one."""
        found = [
            f"{name} that were not there: {sorted(now - then)}"
            for name, now, then in (("files", self.files, before.files), ("memory", self.shared, before.shared))
            if now - then
        ]
        if len(self.processes) > len(before.processes):
            new = {pid: _command(pid) for pid in self.processes - before.processes}
            found.append(f"{len(self.processes)} processes after {len(before.processes)}: {new}")
        if self.descriptors > before.descriptors + OF_WORKERS:
            found.append(f"{self.descriptors} descriptors after {before.descriptors}")
        if self.rss > before.rss * (1 + RSS_SHARE) + RSS_SLACK:
            found.append(f"{self.rss >> 20} MB after {before.rss >> 20}")
        return found


def settle(before: Traces, mark: str, temp: Path, pid: int | None = None) -> None:
    """Wait until there is nothing more than before."""
    until = time.monotonic() + PATIENCE
    while left := Traces.now(mark, temp, pid).since(before):
        assert time.monotonic() < until, "; ".join(left)
        time.sleep(0.05)


def marked(mark: str) -> Iterator[int]:
    """The processes that inherited the mark, whoever their parent is now; zombies have no environment any more."""
    sought = f"{MARK}={mark}".encode()
    for name in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError):
            if sought in Path(f"/proc/{name}/environ").read_bytes():
                yield int(name)


def _listed(folder: Path) -> Iterator[str]:
    """Files to two levels: what is unpacked has a folder of its own in the server's."""
    with suppress(OSError):
        for entry in os.scandir(folder):
            yield entry.name
            if entry.is_dir(follow_symlinks=False):
                with suppress(OSError):
                    yield from (f"{entry.name}/{inner}" for inner in os.listdir(entry.path))


def _command(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()[-80:]
    return "gone"
