"""Async handlers: their functions as plain ones that wait, all in one event loop of the worker's thread."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any


class EventLoop:
    """An event loop that lasts from a handler's initialize() to its last batch."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner()
        weakref.finalize(self, _close, self._runner)  # which keeps the runner whole until then

    def plain(self, function: Callable[..., Awaitable[Any]]) -> Callable[..., Any]:
        """The function as one that returns when its result is there; tasks it has left live on until the next call."""

        @wraps(function)
        def waiting(*args: Any) -> Any:
            return self._runner.run(_awaited(function, args))

        return waiting


def _close(runner: asyncio.Runner) -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        runner.close()
    else:  # another loop runs in this thread, beside which this one cannot run any more
        runner.get_loop().close()


async def _awaited(function: Callable[..., Awaitable[Any]], args: tuple[Any, ...]) -> Any:
    return await function(*args)
