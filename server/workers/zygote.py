"""Zygote: our end of the process that workers are forked from; the other end is nursery.py.

A worker that is started imports NumPy, the engine and the handlers anew, which takes most of a second; one that is
forked finds them there, and shares their memory. What no model needs (../needs.py) is imported by
nobody.
"""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from typing import IO, get_args

from ..messages import Needs
from .environment import THREAD_VARIABLES
from .orders import READY, WARM_UP, Order, send_order, unpack_number
from .orphans import OURS

logger = logging.getLogger(__name__)

PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
IMPORT_WAIT = 30.0
"""Seconds it may take to import everything."""
FORK_WAIT = 1.0
"""Seconds it may take to fork, in which the server does nothing else: usually some milliseconds."""
POLL = 0.005
"""Seconds between two looks at whether it is ready."""
ATTEMPTS = 3
"""How often one that fails is started anew before workers are started without."""


class Forked:
    """A process that was forked for us, as far as subprocess.Popen would know it."""

    def __init__(self, pid: int, stdout: IO[bytes]) -> None:
        """Be its parent."""
        self.pid = pid
        self.stdout = stdout
        self._code: int | None = None

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, or the signal that ended it, negative.

        Raises: subprocess.TimeoutExpired
        """
        until = None if timeout is None else time.monotonic() + timeout
        while self._code is None:
            pid, status = os.waitpid(self.pid, 0 if until is None else os.WNOHANG)
            if pid:
                self._code = os.waitstatus_to_exitcode(status)
            elif until is not None and time.monotonic() > until:
                raise subprocess.TimeoutExpired(f"worker {self.pid}", timeout or 0)
            else:
                time.sleep(POLL)
        return self._code


class Zygote:
    """A process to fork workers from, which sees `environment`."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        """Start it; it is not ready yet.

        Raises: OSError
        """
        self.environment = _of_zygote(environment)
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ExitStack() as undo, theirs:
            undo.callback(self._control.close)
            arguments = [str(theirs.fileno()), str(os.getpid())]
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-u", "-m", "numserve.server.workers.nursery", *arguments],
                stdin=subprocess.DEVNULL,
                env=self.environment,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
            undo.pop_all()
        OURS.add(self._process.pid)
        self._control.settimeout(FORK_WAIT)
        self._has: Needs = "python"
        self._busy = 1
        """How often it has still to say that it is ready."""

    @property
    def alive(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def warm_up(self, needs: Needs) -> None:
        """Have it import what a model needs."""
        known = get_args(Needs)
        if known.index(needs) > known.index(self._has):
            self._has = needs
            self._busy += 1
            with suppress(OSError):  # it has ended, as whoever waits for it will find
                self._control.send(WARM_UP[needs])

    async def ready(self) -> bool:
        """Whether it can fork, once it has imported what it was to."""
        until = time.monotonic() + IMPORT_WAIT
        while self.alive and self._busy and time.monotonic() < until:
            if select.select([self._control], [], [], 0)[0]:
                self._busy -= self._control.recv(len(READY)) == READY
            else:
                await asyncio.sleep(POLL)
        return self.alive and not self._busy

    def fork(self, folder: str, environment: Mapping[str, str], connection: int) -> Forked:
        """A worker in a session of its own, which reads and writes the descriptor `connection`.

        Raises: OSError; after a TimeoutError, when it hangs or was stopped, it is no more.
        """
        adopt_orphans(True)
        here = self.environment
        changes: dict[str, str | None] = {n: value for n, value in environment.items() if here.get(n) != value}
        changes |= dict.fromkeys(here.keys() - environment.keys())
        threads = environment.get("OPENBLAS_NUM_THREADS", "")
        reading, writing = os.pipe()
        output = os.fdopen(reading, "rb", buffering=0)
        try:
            order = Order(folder, int(threads) if threads.isdecimal() else 1, changes, connection, writing)
            send_order(self._control, order)
            return Forked(unpack_number(self._control.recv(16)), output)
        except OSError as error:
            output.close()
            if isinstance(error, TimeoutError):
                self._process.kill()
                self._process.wait()
            raise
        finally:
            os.close(writing)

    def close(self) -> None:
        """End it; its workers live on."""
        self._process.kill()  # before it notices that we hang up, which it would complain of
        self._process.wait()
        self._control.close()
        OURS.discard(self._process.pid)


class Forks:
    """The zygote of this process: started when it is first needed, and anew when it has ended."""

    def __init__(self) -> None:
        """Have none."""
        self._zygote: Zygote | None = None
        self._attempts = 0

    def start(self, environment: Mapping[str, str], needs: Needs = "python") -> Zygote | None:
        """Have a zygote that lives, ready or not, for models with such needs; None where that has failed too often."""
        if self._zygote and not self._zygote.alive:
            self.close()
        if not self._zygote and self._attempts < ATTEMPTS:
            self._attempts += 1
            with suppress(OSError):
                self._zygote = Zygote(environment)
        if self._zygote:
            self._zygote.warm_up(needs)
        return self._zygote

    def keep(self, environment: Mapping[str, str]) -> None:
        """Have none that sees another environment."""
        if self._zygote and self._zygote.environment != _of_zygote(environment):
            self.close()

    async def ready(self, environment: Mapping[str, str], needs: Needs = "engine") -> Zygote | None:
        """A zygote that can fork; None where workers must be started without."""
        while zygote := self.start(environment, needs):
            if await zygote.ready():
                self._attempts = 0
                return zygote
            if zygote is self._zygote:
                logger.warning("the process that workers are forked from has ended or hangs")
                self.close()
        return None

    def close(self) -> None:
        """End it; the next worker is forked from a new one."""
        zygote, self._zygote = self._zygote, None
        if zygote:
            zygote.close()


def _of_zygote(environment: Mapping[str, str]) -> dict[str, str]:
    """What a zygote sees, whose libraries use one thread until a worker wants more."""
    return {**environment, **dict.fromkeys(THREAD_VARIABLES, "1")}


FORKS = Forks()
"""Those of this process."""


def adopt_orphans(wanted: bool) -> None:
    """Be, or be not, the parent of what our children's children leave behind."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, int(wanted), 0, 0, 0)
