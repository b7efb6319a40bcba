"""What the command line asks a running server, with the standard library alone."""

from __future__ import annotations

import http.client
import json
import socket
from typing import Any
from urllib.parse import urlsplit

TIMEOUT = 300.0


class Refused(Exception):
    """The server could not be reached, or answered with an error; the message is for the terminal."""


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def ask(
    address: str, method: str, path: str, body: bytes | None = None, content_type: str | None = None
) -> tuple[int, bytes]:
    """One request; returns status and body.

    Raises: Refused where nobody answers at the address.
    """
    connection = _connect(address)
    try:
        connection.request(method, path, body, {"Content-Type": content_type} if content_type else {})
        response = connection.getresponse()
        return response.status, response.read()
    except (OSError, http.client.HTTPException) as error:
        raise Refused(f"{address} does not answer: {error}") from error
    finally:
        connection.close()


def ask_json(address: str, path: str) -> Any:
    """What GET gives, as JSON.

    Raises: Refused with the server's own message where it answers with an error.
    """
    status, body = ask(address, "GET", path)
    found = json.loads(body)
    if status >= 400:
        raise Refused(found.get("message") or found.get("status") or f"status {status}")
    return found


def _connect(address: str) -> http.client.HTTPConnection:
    if address.startswith("unix:"):
        return _UnixConnection(address.removeprefix("unix:"), TIMEOUT)
    parts = urlsplit(address)
    if parts.scheme != "http" or not parts.hostname:
        raise Refused(f"{address!r} is no address; expected http://host:port or unix:/path")
    return http.client.HTTPConnection(parts.hostname, parts.port, timeout=TIMEOUT)
