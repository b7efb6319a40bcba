"""Tuning: an archive brings along which algorithms are fastest for its model, on each machine that it was tuned on.

The model is loaded in a process of its own, which times what there is to choose from on this machine. What others had
chosen stays in the archive.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from .archive import (
    Progress,
    model_folder,
    pack,
    read_entries,
    refuse_existing,
    silence,
    unpack,
    write_archive,
)
from .config import ArchiveFormat, ModelArchiverConfig
from .errors import ArchiveError
from .folder import whole_file
from .limits import DEFAULT_LIMITS, Limits
from .manifest import MANIFEST_NAME, Manifest
from .sources import Member
from .trial import Verdict, attempt

PROGRAM = ("-m", "numserve.handlers.tune")
CHOICES_NAME = "MAR-INF/choices.json"
"""Where the choices are kept; a worker reads them there."""
CHOICES_BYTES = 16 << 20
TIMEOUT = 600.0
"""Seconds that loading a model and timing its algorithms may take."""


class NotTuned(ArchiveError):
    """A model could not be tuned; the verdict says why."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(f"the model could not be tuned ({verdict.phase}): {verdict.error}")
        self.verdict = verdict


def pack_tuned(
    config: ModelArchiverConfig,
    progress: Progress = silence,
    *,
    batches: Sequence[int] = (),
    threads: Sequence[int] = (),
    timeout: float = TIMEOUT,
) -> Verdict:
    """Like pack(), with the choices for batches of these sizes and for workers with so many threads in the archive.

    Choices in an archive that is overwritten are kept. Raises: ArchiveError; NotTuned, and then nothing is written.
    """
    refuse_existing(config)
    with tempfile.TemporaryDirectory(prefix="model-archiver-") as scratch:
        staged = pack(replace(config, export_path=scratch, archive_format=ArchiveFormat.NO_ARCHIVE, force=True))
        _take_choices(config.output, staged)
        choices, verdict = _tuned(staged, Path(scratch), batches, threads, timeout)
        pack(config, progress, [Member(CHOICES_NAME, choices)])
    return verdict


def tune(
    source: Path,
    *,
    batches: Sequence[int] = (),
    threads: Sequence[int] = (),
    timeout: float = TIMEOUT,
    limits: Limits = DEFAULT_LIMITS,
) -> Verdict:
    """Put the choices into an archive that is there. Raises: ArchiveError; NotTuned, and then nothing is changed."""
    with tempfile.TemporaryDirectory(prefix="model-archiver-") as scratch:
        model = Path(scratch, "model")
        manifest = unpack(source, model, limits)
        choices, verdict = _tuned(model, Path(scratch), batches, threads, timeout)
        if source.is_dir():
            _copy(choices, model_folder(source) / CHOICES_NAME)
        else:
            _copy(choices, model / CHOICES_NAME)
            _rewrite(source.resolve(), model, manifest, limits)
    return verdict


def _tuned(
    model: Path, scratch: Path, batches: Sequence[int], threads: Sequence[int], timeout: float
) -> tuple[Path, Verdict]:
    """The file of choices for an unpacked model."""
    choices = scratch / ".choices.json"  # no model can have this name
    numbers = {"--batches": batches, "--threads": threads}
    flags = [text for flag, some in numbers.items() if some for text in (flag, ",".join(map(str, some)))]
    verdict = attempt([*PROGRAM, str(model), "--output", str(choices), *flags], timeout)
    if not verdict.ok:
        raise NotTuned(verdict)
    return choices, verdict


def _take_choices(archive: Path, model: Path) -> None:
    """Put the choices of an archive that will be overwritten beside the new model's files, where there are any."""
    if (model / CHOICES_NAME).exists() or not archive.exists():
        return
    if archive.is_dir():
        if (stored := model_folder(archive) / CHOICES_NAME).is_file():
            _copy(stored, model / CHOICES_NAME)
        return
    with suppress(ArchiveError):  # what cannot be read will be overwritten
        for entry, pieces in read_entries(archive):
            if entry.name == CHOICES_NAME and entry.size <= CHOICES_BYTES:
                (model / CHOICES_NAME).write_bytes(b"".join(pieces))


def _rewrite(source: Path, model: Path, manifest: Manifest, limits: Limits) -> None:
    """Write an archive anew from its unpacked files, in the format that it had."""
    members = [
        Member(name, path, name == manifest.model.serialized_file)
        for path in sorted(model.rglob("*"))
        if path.is_file() and (name := path.relative_to(model).as_posix()) != MANIFEST_NAME
    ]
    name = manifest.model.name or source.name.partition(".")[0]
    written = (model / MANIFEST_NAME).read_bytes() if (model / MANIFEST_NAME).is_file() else manifest.text().encode()
    write_archive(source, _format_of(source, limits), name, members, written, lambda count: None, True)


def _format_of(source: Path, limits: Limits) -> ArchiveFormat:
    if source.suffix != ".mar":
        return ArchiveFormat.TGZ
    stored = all(entry.stored == entry.size for entry, _ in read_entries(source, limits))
    return ArchiveFormat.ZIP_STORE if stored else ArchiveFormat.DEFAULT


def _copy(source: Path, target: Path) -> None:
    """Copy a small file, which appears whole or not at all."""
    target.parent.mkdir(exist_ok=True)
    with source.open("rb") as file, whole_file(target, replace=True) as copy:
        shutil.copyfileobj(file, copy)
