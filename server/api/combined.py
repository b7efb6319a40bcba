"""One listener for inference, management and metrics, where their addresses are the same."""

from __future__ import annotations

from .bodies import Receive, Scope, Send
from .listener import App
from .targets import find_target


class Combined:
    """Sends each request to the application its path belongs to: inference first, as TorchServe does."""

    def __init__(self, apps: dict[str, App]) -> None:
        """Share the listener among `apps`, by the names inference, management and metrics."""
        self._apps = apps

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on."""
        await self._apps[self._owner(scope["path"].split("/"))](scope, receive, send)

    def _owner(self, path: list[str]) -> str:
        if find_target(path) is None:
            match path:
                case ["", "models" | "workflows", *_] | ["", "v1", "models", *_] | ["", "token"] if (
                    "management" in self._apps
                ):
                    return "management"
                case ["", "metrics", *_] if "metrics" in self._apps:
                    return "metrics"
        return "inference" if "inference" in self._apps else "management"
