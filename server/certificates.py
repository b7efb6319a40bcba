"""The certificate that the listeners show: read again when its files have changed."""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path

from .listeners import CannotBind, tls_context

logger = logging.getLogger(__name__)

LOOK_SECONDS = 1.0


class Certificate:
    """One context for all handshakes; those that come after a change see the new certificate."""

    def __init__(self, chain: Path, key: Path) -> None:
        """Read both PEM files. Raises: CannotBind naming what is wrong with them."""
        self._chain, self._key = chain, key
        self._read = self._met = self._state()
        self.context = tls_context(chain, key)

    async def watch(self) -> None:
        """Look at the files once a second, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self.look()

    def look(self) -> None:
        """Read the files again that have changed, and have not since the last look: there are two of them to write.

        Files that cannot be used leave all as it was, with an error in the log.
        """
        state, before = self._state(), self._met
        self._met = state
        if state in (None, self._read) or state != before:
            return
        self._read = state
        try:
            tls_context(self._chain, self._key)  # elsewhere, as half a certificate would spoil the context in use
            self.context.load_cert_chain(self._chain, self._key)
        except (CannotBind, OSError) as error:
            logger.error("the certificate stays in use: %s", error)
        else:
            logger.info("%s and %s were read again", self._chain, self._key)

    def _state(self) -> tuple[int, ...] | None:
        """What changes with the files; None where one of them is not there."""
        try:
            found = [os.stat(file) for file in (self._chain, self._key)]
        except OSError:
            return None
        return tuple(number for file in found for number in (file.st_mtime_ns, file.st_size, file.st_ino))
