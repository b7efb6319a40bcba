"""What the command line asks a running server, with the standard library alone."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .lifecycle import State

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


@dataclass(frozen=True, slots=True)
class Place:
    """Where a server is asked, with what token; `certificate` is its own, where no authority vouches for it."""

    address: str
    token: str | None = None
    certificate: str | None = None


def place_of(state: State, listener: str, token: str | None) -> Place:
    """A listener of this machine's server, and the token to ask it with: the one given, else the key file's."""
    if token is None and state.key_file:
        try:
            token = json.loads(Path(state.key_file).read_text())[listener]["key"]
        except (OSError, ValueError, KeyError):
            token = None
    return Place(getattr(state, listener), token, state.certificate)


def ask(
    place: str | Place, method: str, path: str, body: bytes | None = None, content_type: str | None = None
) -> tuple[int, bytes]:
    """One request; returns status and body. A text is an address that asks for no token.

    Raises: Refused where nobody answers at the address.
    """
    place = place if isinstance(place, Place) else Place(place)
    headers = {"Content-Type": content_type} if content_type else {}
    if place.token:
        headers["Authorization"] = f"Bearer {place.token}"
    connection = _connect(place)
    try:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        return response.status, response.read()
    except (OSError, http.client.HTTPException) as error:
        raise Refused(f"{place.address} does not answer: {error}") from error
    finally:
        connection.close()


def ask_json(place: str | Place, path: str) -> Any:
    """What GET gives, as JSON.

    Raises: Refused with the server's own message where it answers with an error.
    """
    status, body = ask(place, "GET", path)
    found = json.loads(body)
    if status >= 400:
        raise Refused(found.get("message") or found.get("status") or f"status {status}")
    return found


def _connect(place: Place) -> http.client.HTTPConnection:
    if place.address.startswith("unix:"):
        return _UnixConnection(place.address.removeprefix("unix:"), TIMEOUT)
    parts = urlsplit(place.address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Refused(f"{place.address!r} is no address; expected http://host:port, https://host:port or unix:/path")
    if parts.scheme == "http":
        return http.client.HTTPConnection(parts.hostname, parts.port, timeout=TIMEOUT)
    return http.client.HTTPSConnection(parts.hostname, parts.port, timeout=TIMEOUT, context=trust(place))


def trust(place: Place) -> ssl.SSLContext:
    """Trust whom the system trusts; or this machine's own server, whatever name its certificate bears."""
    context = ssl.create_default_context(cafile=place.certificate)
    if place.certificate:
        context.check_hostname = False
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context
