"""Later: an application that is made when somebody first asks for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from .bodies import Receive, Scope, Send
from .listener import App


class Later:
    """Stands in for an application, which a thread makes, as importing a framework takes a tenth of a second."""

    def __init__(self, make: Callable[[], App]) -> None:
        """Have `make` called once, or never."""
        self._make = make
        self._made: asyncio.Task[App] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, when there is something to serve it."""
        if self._made is None:
            self._made = asyncio.create_task(asyncio.to_thread(self._make))
        app = await asyncio.shield(self._made)  # whoever asked first may leave
        await app(scope, receive, send)
