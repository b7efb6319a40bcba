"""The .mar archive: what holds a model's files together, how it is made and how it is read."""

from __future__ import annotations

from .archive import ModelArchiver, pack, read_manifest, unpack
from .config import ModelArchiverConfig
from .errors import ArchiveError, MissingFile
from .limits import Limits
from .manifest import Manifest, ModelEntry

__all__ = [
    "ArchiveError",
    "Limits",
    "Manifest",
    "MissingFile",
    "ModelArchiver",
    "ModelArchiverConfig",
    "ModelEntry",
    "pack",
    "read_manifest",
    "unpack",
]
