"""The certificate that the listeners show: read again when its files have changed."""

from __future__ import annotations

import asyncio
import logging
import ssl
from pathlib import Path
from typing import Any

from .listeners import CannotBind, tls_context

logger = logging.getLogger(__name__)

LOOK_SECONDS = 1.0


class Certificates:
    """A certificate with its key, by their PEM files.

    Connections that are there keep what they were shown; each new one is shown the newest.
    """

    def __init__(self, chain: Path, key: Path) -> None:
        """Read both files. Raises: CannotBind naming what is wrong with them."""
        self._chain, self._key = chain, key
        self._seen: tuple[int, ...] | None
        self._met: tuple[int, ...] | None
        self._newest: ssl.SSLContext
        self._pem: tuple[bytes, bytes]
        self._read()
        self.context = self._newest
        """What listeners are made with; it leads each handshake to the newest, whose key may be of another kind."""
        self.context.sni_callback = self._choose

    def pem(self) -> tuple[bytes, bytes]:
        """The key and the certificate, for gRPC."""
        return self._pem

    def renew(self) -> None:
        """Read the files again. Those that cannot be used leave all as it was, with an error in the log."""
        try:
            self._read()
        except (CannotBind, OSError) as error:
            logger.error("the certificate stays in use: %s", error)
        else:
            logger.info("%s and %s were read again", self._chain, self._key)

    async def watch(self) -> None:
        """Look at the files once a second, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self.look()

    def look(self) -> None:
        """Renew where the files have changed, and have not since the last look: there are two of them to write."""
        state, before = self._state(), self._met
        self._met = state
        if state not in (None, self._seen) and state == before:
            self.renew()

    def _read(self) -> None:
        self._seen = self._met = self._state()
        context = tls_context(self._chain, self._key)
        self._pem = self._key.read_bytes(), self._chain.read_bytes()
        self._newest = context

    def _state(self) -> tuple[int, ...] | None:
        """What changes with the files; None where one of them is not there."""
        try:
            found = [file.stat() for file in (self._chain, self._key)]
        except OSError:
            return None
        return tuple(number for file in found for number in (file.st_mtime_ns, file.st_size, file.st_ino))

    def _choose(self, connection: Any, name: str | None, context: ssl.SSLContext) -> None:
        """Called within each handshake, whether or not the client names a server."""
        if connection.context is not self._newest:
            connection.context = self._newest
