"""The .war archive of a workflow: a graph of models in YAML, a handler file with functions, and what these need."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from .. import __version__
from .archive import Progress, manifest_bytes, saving, silence, unpack_checked
from .errors import ArchiveError
from .folder import whole_file
from .limits import DEFAULT_LIMITS, Limits
from .manifest import check_inside, check_name, json_object, text_of
from .sources import CREATED_ON_FORMAT, Member, base_name, distinct, extra_members, named_member
from .writers import write_zip

WORKFLOW_MANIFEST_NAME = "WAR-INF/MANIFEST.json"


@dataclass(frozen=True, slots=True)
class WorkflowArchiverConfig:
    """One run of the workflow archiver; without a handler, every node of the graph must be a model."""

    workflow_name: str
    spec_file: str
    handler: str | None = None
    export_path: str = field(default_factory=os.getcwd)
    extra_files: str | None = None
    force: bool = False

    @property
    def output(self) -> Path:
        """Where the archive is written."""
        return Path(self.export_path) / f"{self.workflow_name}.war"


@dataclass(frozen=True, slots=True)
class WorkflowManifest:
    """What a workflow's archive says about itself."""

    name: str | None
    spec_file: str
    handler: str | None = None

    @classmethod
    def parse(cls, text: bytes) -> WorkflowManifest:
        """Read a manifest. Raises ArchiveError, in TorchServe's words where it has some."""
        raw = json_object(text)
        workflow = raw.get("workflow")
        if not isinstance(workflow, dict):
            raise ArchiveError("Missing Workflow entry in manifest file.")
        for key, missing in (("archiverVersion", "version"), ("createdOn", "createdOn")):
            if text_of(raw, key) is None:
                raise ArchiveError(f"Workflow archive {missing} is not defined.")
        found = cls(
            text_of(workflow, "workflowName"), text_of(workflow, "specFile") or "", text_of(workflow, "handler")
        )
        if not found.spec_file:
            raise ArchiveError("Workflow specFile is not defined.")
        for key, name in found.files:
            check_inside(f"workflow.{key}", name)
        return found

    @property
    def files(self) -> Iterator[tuple[str, str]]:
        """The files that must be in the archive, with the manifest's key for each."""
        yield "specFile", self.spec_file
        if self.handler:
            yield "handler", self.handler


def pack_workflow(config: WorkflowArchiverConfig, progress: Progress = silence) -> Path:
    """Write the archive and return its path; a run that fails leaves nothing behind. Raises ArchiveError."""
    check_name(config.workflow_name, "workflow")
    members = distinct(_members(config), WORKFLOW_MANIFEST_NAME)
    manifest = json.dumps(_manifest(config), indent=2).encode()
    with (
        saving(config, "workflow"),
        progress(sum(member.path.stat().st_size for member in members)) as tell,
        whole_file(config.output, replace=config.force) as file,
    ):
        write_zip(file, members, manifest, tell, manifest_name=WORKFLOW_MANIFEST_NAME)
    return config.output


def unpack_workflow(source: Path, into: Path, limits: Limits = DEFAULT_LIMITS) -> WorkflowManifest:
    """Unpack a workflow's archive, or link its folder, as `unpack` does a model's, and return its manifest.

    Raises: ArchiveError for what is wrong with the archive, OSError where the disk fails; nothing is left then.
    """
    return unpack_checked(source, into, limits, _checked)


def _members(config: WorkflowArchiverConfig) -> Iterator[Member]:
    yield named_member("--spec-file", config.spec_file)
    if config.handler:
        yield named_member("--handler", config.handler)
    yield from extra_members(config.extra_files or "")


def _manifest(config: WorkflowArchiverConfig) -> dict[str, Any]:
    workflow = {
        "workflowName": config.workflow_name,
        "specFile": base_name(config.spec_file),
        "handler": base_name(config.handler),
    }
    return {
        "createdOn": datetime.now().strftime(CREATED_ON_FORMAT),
        "workflow": {key: value for key, value in workflow.items() if value},
        "archiverVersion": __version__,
    }


def _checked(folder: Path, limits: Limits) -> WorkflowManifest:
    """The manifest in `folder`, every file that it names being there."""
    text = manifest_bytes(folder / WORKFLOW_MANIFEST_NAME, limits)
    if text is None:
        raise ArchiveError(f"there is no {WORKFLOW_MANIFEST_NAME}: this is no archive of a workflow")
    manifest = WorkflowManifest.parse(text)
    for key, name in manifest.files:
        if not (folder / name).is_file():
            raise ArchiveError(f"the manifest names {name!r} as workflow.{key}, and the archive holds no such file")
    return manifest
