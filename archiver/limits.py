"""How much an archive may ask for when it is unpacked, and the count of what it has asked for."""

from __future__ import annotations

from dataclasses import dataclass

from .errors import ArchiveError

MIB = 1 << 20
GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds an archive is held to; one that passes any of them is refused whole."""

    total_bytes: int = 64 * GIB
    """All members together, unpacked."""
    file_bytes: int = 32 * GIB
    """One member, unpacked."""
    entries: int = 10_000
    """Members, folders included."""
    path_bytes: int = 1024
    """The length of a member's name in UTF-8; one component may have 255."""
    ratio: int = 300
    """Unpacked bytes for each byte of the archive; deflate could reach 1032."""
    ratio_from_bytes: int = 16 * MIB
    """The ratio is looked at from here on: a small file of zeros is no bomb."""
    manifest_bytes: int = MIB
    """The size of MAR-INF/MANIFEST.json."""


DEFAULT_LIMITS = Limits()


class Budget:
    """What is left of the limits while one archive is read."""

    def __init__(self, limits: Limits, archive_bytes: int) -> None:
        """`archive_bytes` is the size of the archive file, which the ratio is taken against."""
        self.limits = limits
        self._archive_bytes = archive_bytes
        self._entries = 0
        self._bytes = 0

    def enter(self, name: str, size: int) -> None:
        """Count one member that says it unpacks to `size` bytes."""
        self._entries += 1
        if self._entries > self.limits.entries:
            raise ArchiveError(f"the archive holds more than {self.limits.entries} members, the most that is accepted")
        if size > self.limits.file_bytes:
            raise ArchiveError(
                f"member {name!r} unpacks to {size} bytes; the most that is accepted is {self.limits.file_bytes}"
            )

    def spend(self, count: int) -> None:
        """Count unpacked bytes."""
        self._bytes += count
        if self._bytes > self.limits.total_bytes:
            raise ArchiveError(f"the archive unpacks to more than {self.limits.total_bytes} bytes, the most accepted")
        if self._bytes > self.limits.ratio_from_bytes and self._bytes > self._archive_bytes * self.limits.ratio:
            raise ArchiveError(
                f"the archive unpacks to more than {self.limits.ratio} times its size, as a decompression bomb does;"
                " if it is yours, pack it with --archive-format zip-store"
            )
