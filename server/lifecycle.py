"""The one server of a machine: its lock, and the state file by which the command line finds it.

Only the standard library: the command line imports this before it knows whether there is work to do.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType

from .properties import InvalidConfiguration

PID_FILE = ".numserve.pid"
STATE_FILE = ".numserve.json"
READY = "Model server started."
RUNNING = "numserve is already running, please use numserve --stop to stop numserve."


class AlreadyRunning(Exception):
    """Another server holds the lock."""


@dataclass(frozen=True, slots=True)
class State:
    """Where a running server is to be found. A listener that is not open has no address."""

    pid: int
    inference: str
    management: str
    metrics: str | None
    logs: str | None
    model_store: str | None = None
    key_file: str | None = None
    certificate: str | None = None
    grpc_inference: str | None = None
    grpc_management: str | None = None


def temp_dir(environment: Mapping[str, str]) -> Path:
    """The folder of the pid file: TEMP, else the system's.

    Raises: InvalidConfiguration where TEMP names none.
    """
    folder = Path(environment.get("TEMP") or tempfile.gettempdir())
    if not folder.is_dir():
        raise InvalidConfiguration(f"Invalid temp directory: {folder}, please check TEMP environment variable.")
    return folder


class Lock:
    """The pid file, locked for as long as the server lives: the kernel lets go of it however the server ends.

    The lock belongs to the process and is lost when the process closes any descriptor of the file: never open it again.
    """

    def __init__(self, folder: Path) -> None:
        """Use the pid and state files of `folder`."""
        self._pid_file = folder / PID_FILE
        self._state_file = folder / STATE_FILE
        self._descriptor = -1

    def __enter__(self) -> Lock:
        """Take the lock, or raise AlreadyRunning."""
        while True:
            descriptor = _open(self._pid_file, os.O_CREAT)
            try:
                fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                os.close(descriptor)
                raise AlreadyRunning(str(self._pid_file)) from error
            if self._pid_file.exists() and os.path.samestat(os.fstat(descriptor), self._pid_file.stat()):
                break
            os.close(descriptor)  # a server that was about to end has removed it meanwhile
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        self._descriptor = descriptor
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove both files, then let go."""
        self._state_file.unlink(missing_ok=True)
        self._pid_file.unlink(missing_ok=True)
        os.close(self._descriptor)

    def publish(self, state: State) -> None:
        """Tell where the server is to be found; whole or not at all."""
        draft = self._state_file.with_suffix(".draft")  # of whoever has the lock
        draft.write_text(json.dumps(asdict(state)))
        draft.replace(self._state_file)


def running_pid(folder: Path) -> int | None:
    """The process that holds the lock, or None. A file that nobody holds is left over from a crash."""
    try:
        descriptor = _open(folder / PID_FILE)
    except FileNotFoundError:
        return None
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return int(os.read(descriptor, 32) or b"0") or None
    else:
        return None
    finally:
        os.close(descriptor)


def orphaned(folder: Path) -> bool:
    """Whether a pid file lies there that nobody holds."""
    return (folder / PID_FILE).exists() and running_pid(folder) is None


def remove_orphans(folder: Path) -> None:
    """Remove what a crashed server has left, unless another one has just taken it over."""
    with contextlib.suppress(AlreadyRunning), Lock(folder):
        pass


def running(folder: Path) -> State | None:
    """The running server's state, or None while there is none to talk to."""
    if running_pid(folder) is None:
        return None
    try:
        return State(**json.loads((folder / STATE_FILE).read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def _open(path: Path, create: int = 0) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | create, 0o600)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise InvalidConfiguration(
            f"{path} cannot be used: {error.strerror}. Set TEMP to a folder of your own."
        ) from error
