"""The .mar archive of a model and the .war archive of a workflow: how they are made and how they are read."""

from __future__ import annotations

from .archive import ModelArchiver, pack, read_entries, read_manifest, unpack
from .config import ModelArchiverConfig
from .errors import ArchiveError, MissingFile
from .limits import Limits
from .manifest import Manifest, ModelEntry
from .workflow import WorkflowArchiverConfig, WorkflowManifest, pack_workflow, unpack_workflow

__all__ = [
    "ArchiveError",
    "Limits",
    "Manifest",
    "MissingFile",
    "ModelArchiver",
    "ModelArchiverConfig",
    "ModelEntry",
    "WorkflowArchiverConfig",
    "WorkflowManifest",
    "pack",
    "pack_workflow",
    "read_entries",
    "read_manifest",
    "unpack",
    "unpack_workflow",
]
