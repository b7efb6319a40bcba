"""A gRPC server on its port: started, and ended without breaking off what is under way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import grpc.aio

from ..http.listeners import Bound, CannotBind
from .calls import Calls, Service

HANDSHAKE_MS, IDLE_MS = 10_000, 300_000
"""Milliseconds for which a connection may stay that has not begun to speak, and one without a call."""
VANISHED_MS = 120_000
"""Milliseconds of silence after which a client is asked whether it is still there."""
NEVER_MS = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Limits:
    """What a listener allows: bytes of a request, calls at once, and milliseconds of a connection, of its last calls,
    of its handshake, and of its rest."""

    request_bytes: int
    calls: int | None = None
    connection_age_ms: int | None = None
    connection_age_grace_ms: int | None = None
    handshake_ms: int = HANDSHAKE_MS
    idle_ms: int = IDLE_MS

    def options(self) -> list[tuple[str, int]]:
        """As grpc's options. Two servers on one port would share its connections unnoticed: reuse is off."""
        return [
            ("grpc.so_reuseport", 0),
            ("grpc.max_receive_message_length", self.request_bytes),
            ("grpc.max_send_message_length", -1),
            ("grpc.keepalive_time_ms", VANISHED_MS),
            ("grpc.server_handshake_timeout_ms", self.handshake_ms),
            ("grpc.max_connection_idle_ms", self.idle_ms),
            ("grpc.max_connection_age_ms", min(self.connection_age_ms or NEVER_MS, NEVER_MS)),
            ("grpc.max_connection_age_grace_ms", min(self.connection_age_grace_ms or NEVER_MS, NEVER_MS)),
        ]


def credentials(pem: Callable[[], tuple[bytes, bytes]]) -> grpc.ServerCredentials:
    """TLS by the key and certificate that are the newest at each handshake, which have been tried already: grpc would
    tell the terminal alone what is wrong with them."""

    def newest() -> grpc.ServerCertificateConfiguration:
        return grpc.ssl_server_certificate_configuration([pem()])

    return grpc.dynamic_ssl_server_credentials(newest(), newest)


class GrpcServer:
    """One listener, with the life that HttpServer has."""

    def __init__(
        self,
        bound: Bound,
        calls: Calls,
        services: Iterable[Service],
        limits: Limits,
        drain_timeout: float,
        tls: grpc.ServerCredentials | None = None,
    ) -> None:
        """Serve at an address that is held until then; requests under way get `drain_timeout` seconds at the end."""
        self._bound = bound
        self._calls = calls
        self._services = [*services]
        self._limits = limits
        self._drain_timeout = drain_timeout
        self._tls = tls
        self._told = asyncio.Event()
        self.up = asyncio.Event()

    async def run_until_told(self) -> None:
        """Serve until `finish()`, then let requests under way finish. Raises: CannotBind."""
        server = grpc.aio.server(options=self._limits.options(), maximum_concurrent_rpcs=self._limits.calls)
        for each in self._services:
            server.add_generic_rpc_handlers(self._calls.handlers(each))
        self._bound.close()
        place = str(self._bound.address).partition("://")[2]
        try:
            server.add_secure_port(place, self._tls) if self._tls else server.add_insecure_port(place)
        except RuntimeError as error:
            raise CannotBind(f"{place} cannot be used for gRPC: {error}") from error
        await server.start()
        self.up.set()
        try:
            await self._told.wait()
        finally:
            self._calls.stopping.set()
            await server.stop(self._drain_timeout)

    def finish(self) -> None:
        """Take no more calls, and end when those under way have ended, or their time has."""
        self._told.set()

    def give_up(self) -> None:
        """Nothing more to do: the time of calls under way has ended."""
