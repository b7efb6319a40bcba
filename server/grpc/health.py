"""gRPC's health checking protocol. Source: github.com/grpc/grpc, doc/health-checking.md."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress

from ..api.errors import NoRoute
from ..registry import ModelRegistry
from .calls import Call, Service
from .messages import Message, message_class

HealthCheckResponse = message_class("grpc.health.v1.HealthCheckResponse")
LOOK_SECONDS = 1.0
"""Between two looks at whether the status has changed."""


class Health(Service):
    """The server, and each of its services, serves when everything is ready that should be served."""

    names = ("grpc.health.v1.Health",)
    open = frozenset({"Check", "Watch"})

    def __init__(self, registry: ModelRegistry, known: Iterable[str]) -> None:
        """Know the services of these names."""
        self._registry = registry
        self._known = {"", *self.names, *known}

    async def check(self, request: Message, call: Call) -> Message:
        """The status now. Raises: NoRoute where there is no such service."""
        if request.service not in self._known:
            raise NoRoute
        return HealthCheckResponse(status=self._status(request.service, call))

    async def watch(self, request: Message, call: Call) -> AsyncIterator[Message]:
        """The status now, and again whenever it has changed; the last one is that of a server that stops."""
        told = None
        while True:
            status = self._status(request.service, call)
            if status != told:
                yield HealthCheckResponse(status=status)
                told = status
            if call.stopping.is_set():
                return
            with suppress(TimeoutError):
                await asyncio.wait_for(call.stopping.wait(), LOOK_SECONDS)

    def _status(self, service: str, call: Call) -> str:
        if service not in self._known:
            return "SERVICE_UNKNOWN"
        return "NOT_SERVING" if call.stopping.is_set() or self._registry.unready() else "SERVING"
