"""Sockets and HTTP servers: bound first, so that a port in use is known before anything else is done."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
import ssl
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import uvicorn

from ..api.direct import Direct
from ..api.listener import App
from .address import Address
from .direct import DirectProtocol, missing_in_uvicorn
from .guards import Door
from .handshakes import Handshakes
from .protocol import CarefulProtocol

logger = logging.getLogger(__name__)

BACKLOG = 2048
HANDSHAKE_SECONDS, FAREWELL_SECONDS = 10.0, 2.0
"""How long a client may take to begin with TLS, and to end with it."""
KEEP_ALIVE = 75
"""Seconds an idle connection stays open: longer than the usual load balancer's minute."""


class CannotBind(Exception):
    """A listener's address cannot be taken."""


@dataclass(frozen=True, slots=True)
class Bound:
    """A socket that listens already, and the address it really has."""

    socket: socket.socket
    address: Address

    def close(self) -> None:
        """Close the socket and remove its path."""
        self.socket.close()
        if self.address.path:
            Path(self.address.path).unlink(missing_ok=True)


def tls_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """TLS 1.2 and later, by the PEM files of a certificate with its chain and of its key.

    Raises: CannotBind naming the files and what is wrong with them.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
        raise CannotBind(
            f"certificate_file {certificate} and private_key_file {key} cannot be used: {reason}"
        ) from error
    return context


def _no_password() -> str:
    """Asked for where the key is encrypted: a server cannot type one."""
    raise ValueError("the key is encrypted; openssl pkey -in FILE -out FILE decrypts it")


_WAYS_OUT = {
    errno.EADDRINUSE: "; end what listens there (ss -ltnp tells), or name another address",
    errno.EACCES: "; name a port of 1024 or more, as those below are for root",
    errno.EADDRNOTAVAIL: "; it is none of this machine's: name one of those, or 0.0.0.0 for all",
}


def bind(key: str, address: Address) -> Bound:
    """Listen at an address; port 0 takes any free one.

    Raises: CannotBind naming the setting, the address and the reason.
    """
    try:
        taken = _bind_unix(address.path) if address.path else _bind_tcp(address)
    except OSError as error:
        reason = f"{error.strerror or error}{_WAYS_OUT.get(error.errno or 0, '')}"
        raise CannotBind(f"{key} {address} cannot be used: {reason}") from error
    if address.path:
        return Bound(taken, address)
    return Bound(taken, replace(address, port=taken.getsockname()[1]))


def _bind_tcp(address: Address) -> socket.socket:
    family, kind, protocol, _, place = socket.getaddrinfo(
        address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    return _listen(socket.socket(family, kind, protocol), place)


def _bind_unix(path: str) -> socket.socket:
    """Take the path; one that a dead server has left, on which nobody listens, is removed first."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)  # a server that is busy keeps who comes waiting
        if probe.connect_ex(path) == errno.ECONNREFUSED and Path(path).is_socket():
            Path(path).unlink()
    return _listen(socket.socket(socket.AF_UNIX), path)


def _listen(taken: socket.socket, place: object) -> socket.socket:
    try:
        if taken.family != socket.AF_UNIX:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(place)  # type: ignore[arg-type]
        taken.listen(BACKLOG)
        taken.setblocking(False)
    except OSError:
        taken.close()
        raise
    return taken


class HttpServer(uvicorn.Server):
    """One listener; signals are left to whoever runs it."""

    short_way = True
    """Whether plain predictions may be answered without ASGI."""

    def __init__(self, app: App, bound: Bound, tls: ssl.SSLContext | None = None, door: Door | None = None) -> None:
        """Serve `app` on a socket that listens already, by TLS where a context is given, to whom a door lets in."""
        self._door = door or Door()
        super().__init__(
            uvicorn.Config(
                app,
                http=CarefulProtocol.at(self._door),
                loop="none",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_keep_alive=KEEP_ALIVE,
                backlog=BACKLOG,
            )
        )
        self._bound = bound
        self._tls = tls
        self._handshakes: Handshakes | None = None
        self.up = asyncio.Event()

    async def run_until_told(self) -> None:
        """Serve until `finish()`, then let requests under way finish."""
        try:
            await self.serve([self._bound.socket])
        finally:
            self._bound.close()

    def finish(self) -> None:
        """Accept no more, and end when the requests under way have ended."""
        self.should_exit = True

    def give_up(self) -> None:
        """Wait for nobody any more: hang up on whoever is left."""
        self.force_exit = True
        for connection in list(self.server_state.connections):
            connection.transport.abort()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept no more; who has connected already is served, though nobody may have noticed yet."""
        if self._handshakes:
            await self._handshakes.last_call()
            await super().shutdown(sockets)
            return
        late = {asyncio.create_task(self._serve_late(connection)) for connection in self._connected()}
        await super().shutdown(sockets)
        await asyncio.gather(*late, return_exceptions=True)

    def _connected(self) -> Iterator[socket.socket]:
        """Those whom the kernel has let in: it would hang up on them when the socket is closed."""
        with contextlib.suppress(OSError):
            while True:
                yield self._bound.socket.accept()[0]

    async def _serve_late(self, connection: socket.socket) -> None:
        """Serve one request of such a one."""
        connection.setblocking(False)
        protocol = self._protocol()
        await asyncio.get_running_loop().connect_accepted_socket(lambda: protocol, connection)
        if protocol.transport:  # else it was turned away
            protocol.shutdown()

    def _protocol(self) -> Any:
        make: Any = self.config.http_protocol_class
        return make(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept connections, and say so."""
        if self.short_way and (direct := Direct.of(self.config.app)):
            if missing := missing_in_uvicorn(self.config):
                logger.warning("predictions take the long way: uvicorn %s has no %s", uvicorn.__version__, missing)
            else:
                self.config.http_protocol_class = DirectProtocol.by(direct, self._door)
        if self._tls:
            seconds = HANDSHAKE_SECONDS, FAREWELL_SECONDS
            self._handshakes = Handshakes(self._bound.socket, self._door, self._protocol, self._tls, seconds)
            self.servers = [self._handshakes]  # type: ignore[list-item]  # of an asyncio.Server uvicorn asks no more
        else:
            accepting = asyncio.get_running_loop().create_server(
                self._protocol, sock=self._bound.socket, backlog=BACKLOG
            )
            self.servers = [await accepting]
        self.started = True
        self.up.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leave signals alone: three servers cannot each own them."""
        yield
