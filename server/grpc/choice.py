"""Whether gRPC is served: where its packages are, unless the settings say otherwise."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..settings import Settings

INSTALL = 'pip install "numserve[grpc]"'
PACKAGES = ("grpc", "google", "google.protobuf")
"""What the extra brings; a parent stands before its child, as looking for a child imports its parent."""

FORK_SUPPORT = "GRPC_ENABLE_FORK_SUPPORT"


def installed() -> bool:
    """Whether the extra is there."""
    return all(find_spec(name) is not None for name in PACKAGES)


@contextmanager
def heedless_of_forks() -> Iterator[None]:
    """Within this, grpc is imported for a process that it need not survive a fork of: it would say so at each program
    that is started, on the terminal. Workers see nothing of the variable."""
    before = os.environ.get(FORK_SUPPORT)
    os.environ[FORK_SUPPORT] = "0"
    try:
        yield
    finally:
        del os.environ[FORK_SUPPORT]
        if before is not None:
            os.environ[FORK_SUPPORT] = before


def served(settings: Settings) -> bool:
    """Whether the server listens for gRPC."""
    return settings.enable_grpc is not False and installed()


def asked_for(settings: Settings) -> list[str]:
    """The keys of gRPC that somebody has set; a snapshot repeats those that nobody has."""
    changed = settings.changed()
    said = settings.origins.keys() & set(settings.known_keys())
    keys = sorted(key for key in said if key.startswith(("grpc_", "enable_grpc")))
    return [key for key in keys if not settings.restored or key in changed]
