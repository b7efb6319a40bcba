"""A child process: started in one step, watched until it ends, and ended with all it has started itself."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Coroutine, Mapping
from contextlib import ExitStack, suppress
from typing import IO, Any

from .base import Load
from .deaths import OOM_KILLS, Death, death_of
from .environment import environment_of
from .orphans import OURS
from .zygote import Forked, Zygote

GRACE = 2.0
"""Seconds between asking a worker to end and ending it."""
BURIAL = 0.1
"""Seconds between two looks at whether what a worker had started has ended."""
LAST_WAIT = 5.0
"""Seconds the kernel gets to end a process that was killed."""


class Child:
    """A worker's process, the leader of a session of its own."""

    def __init__(self, load: Load, environment: Mapping[str, str] = os.environ, zygote: Zygote | None = None) -> None:
        """Fork it from a zygote, or start it.

        Raises: OSError
        """
        self._loop = asyncio.get_running_loop()
        OOM_KILLS.look()
        ours, theirs = socket.socketpair()
        with ExitStack() as undo, theirs:
            undo.callback(ours.close)
            seen = environment_of(environment, load.hidden_variables, load.spec.threads)
            self._process = (
                _fork(zygote, load, theirs.fileno(), seen) if zygote else _start(load, theirs.fileno(), seen)
            )
            OURS.add(self._process.pid)
            undo.callback(self._abandon)
            self._pidfd = os.pidfd_open(self._process.pid)
            undo.pop_all()
        self.pid = self._process.pid
        self._connection: socket.socket | None = ours
        self._output = self._process.stdout
        self.ended: asyncio.Future[Death] = self._loop.create_future()
        """Resolved, when it has ended, with how."""
        self._loop.add_reader(self._pidfd, self._reap)

    def hand_over_connection(self) -> socket.socket | None:
        """Our end of its socket, which the caller closes from now on."""
        connection, self._connection = self._connection, None
        return connection

    def hand_over_output(self) -> IO[bytes] | None:
        """What it prints, which the caller closes from now on."""
        output, self._output = self._output, None
        return output

    async def stop(self) -> None:
        """Ask it to end, then make it: it and all it has started."""
        for number, patience in ((signal.SIGTERM, GRACE), (signal.SIGKILL, LAST_WAIT)):
            if self.ended.done():
                return
            self.signal(number)
            self.signal(signal.SIGCONT)  # one that is stopped would not notice
            try:
                await asyncio.wait([self.ended], timeout=patience)
            except asyncio.CancelledError:
                self.signal(signal.SIGKILL)
                raise

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to it and to all it has started, unless it has ended."""
        if not self.ended.done():
            with suppress(ProcessLookupError):
                os.killpg(self.pid, number)

    def close(self) -> None:
        """Let go of what nobody has taken over; kills what has not ended."""
        self.signal(signal.SIGKILL)
        for ours in (self._connection, self._output):
            if ours:
                ours.close()
        if not self.ended.done():
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(LAST_WAIT)
                self._reap()

    def _reap(self) -> None:
        """It has ended: end what it has started, while its number is still its own, and learn how it ended."""
        if self.ended.done():
            return
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        self.signal(signal.SIGKILL)
        self.ended.set_result(death_of(self._process.wait(), OOM_KILLS))
        OURS.discard(self.pid)
        self._reap_others()

    def _reap_others(self) -> None:
        """Bury what it had started, which is ours now; what was killed may need a moment to end."""
        try:
            while os.waitid(os.P_PGID, self.pid, os.WEXITED | os.WNOHANG):
                pass
        except ChildProcessError:
            return
        self._loop.call_later(BURIAL, self._reap_others)

    def _abandon(self) -> None:
        """End a process that cannot be watched."""
        os.kill(self._process.pid, signal.SIGKILL)
        self._process.wait()
        OURS.discard(self._process.pid)
        if self._process.stdout:
            self._process.stdout.close()


def _fork(zygote: Zygote, load: Load, fd: int, environment: Mapping[str, str]) -> Forked:
    if not os.path.isdir(load.spec.model_dir):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), load.spec.model_dir)
    return zygote.fork(load.spec.model_dir, environment, fd)


def _start(load: Load, fd: int, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    command = [
        load.python or sys.executable,
        "-P",
        "-u",
        "-m",
        "numserve.server.workers.child",
        str(fd),
        str(os.getpid()),
    ]
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=load.spec.model_dir,
        env=environment,
        pass_fds=[fd],
        start_new_session=True,
    )


async def finish(work: Coroutine[Any, Any, None]) -> None:
    """Await clean-up to its end, however often we are cancelled meanwhile; the cancellation is raised afterwards."""
    task = asyncio.ensure_future(work)
    cancelled = False
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            cancelled = True
    task.result()
    if cancelled:
        raise asyncio.CancelledError
