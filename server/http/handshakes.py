"""Handshakes: who begins with TLS is counted from the first moment on, as who is inside already is."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable

from .guards import Door, peer_of
from .protocol import CarefulProtocol

logger = logging.getLogger(__name__)

AT_ONCE = 2048
"""Connections that are accepted in one turn of the loop."""
LAST_CALL_SECONDS = 1.0
"""How long handshakes get that are under way when the server stops: they take milliseconds."""
PAUSE_SECONDS = 1.0
"""How long nobody is accepted when there is no descriptor left."""


class Handshakes:
    """Accepts connections and shakes hands with each: asyncio's server, but for whom it does not let in.

    Of those that are too many nothing is read: a handshake costs more than all else that they could ask for.
    """

    def __init__(
        self,
        listening: socket.socket,
        door: Door,
        make: Callable[[], CarefulProtocol],
        tls: ssl.SSLContext,
        seconds: tuple[float, float],
    ) -> None:
        """Listen on a socket; a handshake and a farewell may take so many seconds."""
        self._listening = listening
        self._door = door
        self._make = make
        self._tls = tls
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._under_way: set[asyncio.Task[None]] = set()
        self._pause: asyncio.TimerHandle | None = None
        self._open()

    async def last_call(self) -> None:
        """Accept who has connected already, and nobody after that; returns when no handshake is under way."""
        self._accept()
        self.close()
        if self._under_way:
            _, silent = await asyncio.wait(self._under_way, timeout=LAST_CALL_SECONDS)
            for each in silent:
                each.cancel()

    def close(self) -> None:
        """Accept nobody any more."""
        if self._pause:
            self._pause.cancel()
        self._loop.remove_reader(self._listening)

    async def wait_closed(self) -> None:
        """Nothing is left to be done: see `last_call()`."""

    async def _shake(self, connection: socket.socket, place: object) -> None:
        """Have a connection speak TLS and its protocol, where it is let in and does so in time."""
        peer = peer_of(place)
        if not self._door.enter(peer):
            connection.close()
            return
        protocol = self._make()
        protocol.expected = True
        handshake, farewell = self._seconds
        try:
            connection.setblocking(False)
            await self._loop.connect_accepted_socket(
                lambda: protocol,
                connection,
                ssl=self._tls,
                ssl_handshake_timeout=handshake,
                ssl_shutdown_timeout=farewell,
            )
        except (OSError, EOFError) as error:
            logger.debug("%s does not speak TLS: %s", peer, error)
        finally:
            if protocol.expected:  # else it leaves when the connection is lost
                self._door.leave(peer)

    def _open(self) -> None:
        self._pause = None
        self._loop.add_reader(self._listening, self._accept)

    def _accept(self) -> None:
        for _ in range(AT_ONCE):
            try:
                accepted = self._listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                logger.error("nobody is accepted for %g s: %s", PAUSE_SECONDS, error.strerror)
                self._loop.remove_reader(self._listening)
                self._pause = self._loop.call_later(PAUSE_SECONDS, self._open)
                return
            task = self._loop.create_task(self._shake(*accepted))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)
