"""The gate before a listener's application: no token, no entry, but for what tells nothing."""

from __future__ import annotations

from ..auth import Authority
from ..errors import Forbidden, Unauthorized
from ..metrics.metrics import Metrics
from .bodies import Receive, Scope, Send
from .listener import App, send_error, send_whole
from .targets import find_target

AUTHORIZATION = b"authorization"
ASKED_METHOD = b"access-control-request-method"
OPEN = {"/ping", "/v2/health/live", "/v2/health/ready"}
"""What probes ask, which carry no tokens; the answers tell of no model."""
DESCRIPTION = "/api-description"
RENEWAL = "/token"


class Gate:
    """Lets a request through to `app` when its token opens the face, which is inference, management or metrics."""

    def __init__(self, app: App, authority: Authority, face: str, metrics: Metrics) -> None:
        """Guard `app`, and count who is turned away."""
        self._app = app
        self._authority = authority
        self._face = face
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let one request pass, or answer 401 or 403 without reading its body."""
        headers, path = scope["headers"], scope["path"]
        if scope["method"] == "OPTIONS" and any(name == ASKED_METHOD for name, _ in headers):
            await send_whole(send, 204, [], b"")  # a browser asks before it sends a token
            return
        described = path == DESCRIPTION or (path == "/" and scope["method"] == "OPTIONS")
        if not described and path not in OPEN:
            try:
                self._check(path, b" ".join(value for name, value in headers if name == AUTHORIZATION))
            except (Unauthorized, Forbidden) as error:
                self._metrics.request_rejected("unauthorized")
                await send_error(error, False, scope, send)
                return
        await self._app(scope, receive, send)

    def _check(self, path: str, authorization: bytes) -> None:
        told = authorization.decode("latin-1")
        if path == RENEWAL and self._face == "management" and self._authority.keys:
            self._authority.check_renewal(told)
        else:
            self._authority.check(self._face, told, _model_of(path))


def _model_of(path: str) -> str | None:
    """The model that a path of the inference listener is about."""
    parts = path.split("/")
    if target := find_target(parts):
        return target.model
    return parts[3] if parts[:3] == ["", "v2", "models"] and len(parts) > 3 else None
