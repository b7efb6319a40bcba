"""Archives from URLs: only what `allowed_urls` permits, at every step of the way, within limits of size and time."""

from __future__ import annotations

import http.client
import re
import socket
import time
import urllib.request
from collections.abc import Callable, Sequence
from http.client import HTTPMessage
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from typing import IO, Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit, urlunsplit

from .errors import DownloadFailed

DOWNLOAD_BYTES = 16 << 30
DOWNLOAD_SECONDS = 600.0
SOCKET_SECONDS = 30.0
CHUNK = 1 << 20
PORTS = {"http": 80, "https": 443}
_NEVER_IN_A_URL = re.compile(r"[\x00-\x20\x7f\\]")


def canonical(url: str) -> str | None:
    """The URL as it is matched: scheme and host in lower case, without the scheme's own port and the fragment.

    None for what two readers may read as two addresses: blanks, backslashes, a name and password before the host.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if _NEVER_IN_A_URL.search(url) or "@" in parts.netloc:
        return None
    scheme, host = parts.scheme.lower(), parts.hostname or ""
    if scheme in PORTS and not host:
        return None
    host = f"[{host}]" if ":" in host else host
    place = host if port in (None, PORTS.get(scheme)) else f"{host}:{port}"
    return urlunsplit((scheme, place, parts.path, parts.query, ""))


class Downloads:
    """Fetches what the patterns permit."""

    def __init__(self, allowed_urls: Sequence[str]) -> None:
        """Permit the URLs that one of these regular expressions matches whole, in any case of letters."""
        self._allowed = [re.compile(pattern, re.IGNORECASE) for pattern in allowed_urls]

    def allows(self, url: str) -> bool:
        """Whether a URL may be fetched."""
        found = canonical(url)
        return found is not None and any(pattern.fullmatch(found) for pattern in self._allowed)

    def fetch(self, url: str, target: Path) -> Path:
        """Save an allowed http or https URL as a new file; redirections must be allowed themselves.

        Raises: DownloadFailed
        """
        opener = urllib.request.build_opener(_Redirects(self.allows), _Http(), _Https())
        try:
            with opener.open(url, timeout=SOCKET_SECONDS) as response, target.open("xb") as file:
                _copy(response, file, url)
        except (URLError, TimeoutError, ConnectionError, http.client.HTTPException) as error:
            if isinstance(error, HTTPError):
                error.close()
            raise DownloadFailed(f"Failed to download archive from: {url}", str(error)) from error
        return target


class _Checked(http.client.HTTPConnection):
    """Looks a name up once, and at what it leads to before anything is sent there."""

    def connect(self) -> None:
        self._create_connection = _connection
        super().connect()


class _CheckedTls(http.client.HTTPSConnection, _Checked):
    """The same by TLS."""


def _connection(place: tuple[str, int], timeout: float, source: object = None) -> socket.socket:
    """As socket.create_connection; with a name that leads to addresses of a machine's own services, nowhere."""
    host, port = place
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    for *_, address in found:
        peer = ip_address(str(address[0]).partition("%")[0])
        if isinstance(peer, IPv6Address) and peer.ipv4_mapped:
            peer = peer.ipv4_mapped
        if peer.is_link_local or peer.is_multicast or peer.is_unspecified:
            raise URLError(f"{host} is {peer}, where a machine's own services are, and never archives")
    failed: OSError = OSError(f"{host} has no address")
    for family, kind, protocol, _, address in found:
        connection = socket.socket(family, kind, protocol)
        try:
            connection.settimeout(timeout)
            connection.connect(address)
            return connection
        except OSError as error:
            connection.close()
            failed = error
    raise failed


class _Http(urllib.request.HTTPHandler):
    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_Checked, req)


class _Https(urllib.request.HTTPSHandler):
    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        make: Any = _CheckedTls
        return self.do_open(make, req)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows a redirection only to an address that is allowed itself."""

    def __init__(self, allowed: Callable[[str], bool]) -> None:
        self._allowed = allowed

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> urllib.request.Request | None:
        if urlsplit(newurl).scheme.lower() not in PORTS or not self._allowed(newurl):
            fp.close()
            raise URLError(f"it leads on to {newurl}, which does not match any allowed URL(s)")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _copy(response: IO[bytes], file: IO[bytes], url: str) -> None:
    """Save a download within its limits of size and time."""
    ends_at, size = time.monotonic() + DOWNLOAD_SECONDS, 0
    while piece := response.read(CHUNK):
        size += len(piece)
        if size > DOWNLOAD_BYTES or time.monotonic() > ends_at:
            limits = f"{DOWNLOAD_BYTES} bytes and {DOWNLOAD_SECONDS:g} seconds are allowed"
            raise DownloadFailed(f"Failed to download archive from: {url}", limits)
        file.write(piece)
