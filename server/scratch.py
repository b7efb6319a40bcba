"""Scratch: a server's private folder for what it unpacks, and the removal of those whose server was killed.

A folder is locked for as long as its server lives: the kernel lets go of it however the server ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import shutil
import tempfile
from pathlib import Path

logger = logging.getLogger(__name__)

PREFIX = "numserve-store-"


class Scratch:
    """A folder that is ours alone until `close()`."""

    def __init__(self, parent: Path) -> None:
        """Make it under a new name in `parent`."""
        while True:
            self.path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
            if (descriptor := _locked(self.path)) is not None:  # otherwise it was swept before we had locked it
                break
        self._descriptor = descriptor

    def close(self) -> None:
        """Remove it with all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def sweep(parent: Path) -> int:
    """Remove the folders of our user that no process has locked any more; returns how many there were."""
    swept = 0
    for path in parent.glob(f"{PREFIX}*"):
        descriptor = _locked(path)
        if descriptor is not None:
            shutil.rmtree(path, ignore_errors=True)
            os.close(descriptor)
            swept += 1
    if swept:
        logger.info("removed what %d killed servers had unpacked in %s", swept, parent)
    return swept


def _locked(path: Path) -> int | None:
    """A descriptor of a folder of our user, which it locks; None where it is another's, or gone."""
    with contextlib.ExitStack() as undo:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            undo.callback(os.close, descriptor)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            opened, there = os.fstat(descriptor), os.stat(path, follow_symlinks=False)
        except OSError:
            return None
        if opened.st_uid != os.geteuid() or not os.path.samestat(opened, there):
            return None
        undo.pop_all()
        return descriptor
