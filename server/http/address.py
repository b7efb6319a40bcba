"""Where a listener listens: `http://host[:port]`, `https://host[:port]` or `unix:/path`."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Address:
    """A host and port, or the path of a Unix socket."""

    host: str
    port: int
    path: str | None = None
    tls: bool = False

    @classmethod
    def parse(cls, text: str, default_port: int = 80, default_tls_port: int = 443) -> Address:
        """Read `http://host[:port]`, `https://host[:port]` or `unix:/path`.

        Raises: ValueError saying what was met and what an address looks like.
        """
        if text.startswith("unix:") and len(text) > len("unix:"):
            return cls("", 0, text.removeprefix("unix:"))
        parts = urlsplit(text)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.path not in ("", "/"):
            raise ValueError(f"{text!r} is no address; expected http://host:port, https://host:port or unix:/path")
        tls = parts.scheme == "https"
        default = default_tls_port if tls else default_port
        return cls(parts.hostname, default if parts.port is None else parts.port, tls=tls)

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it."""
        if self.path or self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False

    def __str__(self) -> str:
        """The text that parse() reads."""
        if self.path:
            return f"unix:{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http{'s' if self.tls else ''}://{host}:{self.port}"
