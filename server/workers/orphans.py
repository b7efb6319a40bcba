"""Orphans: what handlers' processes have left behind, which the kernel makes children of the server (subreaper).

Those in a worker's session end with it (spawn.py). Those that have left it are buried here when they end, and are ended
with the server.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress

import psutil

LOOK_SECONDS = 1.0
"""Seconds between two looks at whether somebody is to be buried."""
LAST_WAIT = 5.0
"""Seconds the kernel gets to end those that were killed."""
OURS: set[int] = set()
"""Processes that somebody here has started, and waits for."""


async def bury() -> None:
    """Bury those that nobody here waits for, as they end, until cancelled."""
    before: set[int] = set()
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        dead = _dead()
        for each in dead & before:  # still there at a second look: nobody else has come for it
            with suppress(ChildProcessError):
                os.waitpid(each, os.WNOHANG)
        before = dead - before


def end_all() -> None:
    """End all that are left, with what they have started, and bury them; for when no worker lives any more."""
    left = [psutil.Process(pid) for pid in _children()]
    for orphan in left:
        for each in (*orphan.children(recursive=True), orphan):
            with suppress(psutil.NoSuchProcess):
                each.kill()
    psutil.wait_procs(left, LAST_WAIT)


def _dead() -> set[int]:
    """Those that have ended and are nobody's here. Mostly nobody has, which takes one call to the kernel to know."""
    try:
        if os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            return set()
    except ChildProcessError:
        return set()
    return {pid for pid, status in _children().items() if status == psutil.STATUS_ZOMBIE}


def _children() -> dict[int, str]:
    """Our children that we have not started ourselves, and their states: what we start is listed, or stays in our
    session."""
    found: dict[int, str] = {}
    for each in psutil.Process().children():
        with suppress(psutil.NoSuchProcess, ProcessLookupError):
            if each.pid not in OURS and os.getsid(each.pid) != os.getsid(0):
                found[each.pid] = each.status()
    return found
