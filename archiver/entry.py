"""One member of an archive, and which names a member may have."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from .errors import ArchiveError
from .limits import Limits

COMPONENT_BYTES = 255
_DRIVE = re.compile(r"[A-Za-z]:")


@dataclass(frozen=True, slots=True)
class Entry:
    """A file or folder in an archive, under a name that is safe to create."""

    name: str
    size: int
    stored: int | None
    """The bytes it takes in the archive; None where members are not compressed one by one."""
    directory: bool = False


def safe_name(name: str, limits: Limits) -> str:
    """Return `name`, or raise ArchiveError where it could come to lie outside the folder it is unpacked into."""
    if fault := _fault(name, limits):
        raise ArchiveError(f"member {_shown(name)} {fault}; the archive is refused")
    return name


class Names:
    """The names an archive has used so far: each may be used once, and as a file or as a folder."""

    def __init__(self) -> None:
        """Start with no names."""
        self._files: set[str] = set()
        self._folders: set[str] = set()

    def add(self, entry: Entry) -> None:
        """Take note of the entry's name, or raise ArchiveError where it collides with an earlier one."""
        key = unicodedata.normalize("NFKC", entry.name)
        if key in self._files or (key in self._folders and not entry.directory):
            raise ArchiveError(f"member {_shown(entry.name)} is there twice; the archive is refused")
        parts = key.split("/")
        parents = {"/".join(parts[:depth]) for depth in range(1, len(parts))}
        if clash := parents & self._files:
            raise ArchiveError(f"member {_shown(clash.pop())} is a file and a folder; the archive is refused")
        self._folders |= parents
        (self._folders if entry.directory else self._files).add(key)


def _fault(name: str, limits: Limits) -> str | None:
    """What is wrong with a member's name, if anything."""
    if any(0xD800 <= ord(char) < 0xE000 for char in name):
        return "has a name that is not Unicode"
    if len(name.encode()) > limits.path_bytes:
        return f"has a name longer than {limits.path_bytes} bytes"
    folded = unicodedata.normalize("NFKC", name)
    if folded.count("/") != name.count("/"):
        return "has a character in its name that turns into a slash"
    return _path_fault(name) or _path_fault(folded)


def _path_fault(name: str) -> str | None:
    """What is wrong with a name as a path."""
    if any(ord(char) < 0x20 or ord(char) == 0x7F for char in name):
        return "has a control character in its name"
    if "\\" in name:
        return "has a backslash in its name"
    if name.startswith("/") or _DRIVE.match(name):
        return "has an absolute path"
    # "..", ".", "" and their look-alikes with spaces or more dots, which some file systems trim
    if any(not part.strip(" .") for part in name.split("/")):
        return "has an empty name or one that leads out of its folder"
    if any(len(part.encode()) > COMPONENT_BYTES for part in name.split("/")):
        return f"has a part in its name longer than {COMPONENT_BYTES} bytes"
    return None


def _shown(name: str) -> str:
    """The name as an error message can show it."""
    return repr(name if len(name) <= 100 else name[:97] + "...")
