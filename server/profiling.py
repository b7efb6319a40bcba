"""`numserve profile`: finds the model that is meant, and has it measured in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from ..archiver import ArchiveError, unpack
from . import client, lifecycle

PROGRAM = (sys.executable, "-P", "-m", "numserve.handlers.profile")


def profile(model: str, flags: Sequence[str]) -> int:
    """Measure an archive, a model of the running server, or one of the engine's own; returns the exit code.

    Raises: Refused where an archive cannot be unpacked.
    """
    archive = Path(model) if Path(model).exists() else _served(model)
    if archive is None:
        return subprocess.run([*PROGRAM, "--network", model, *flags]).returncode
    with tempfile.TemporaryDirectory(prefix="numserve-profile-") as folder:
        unpacked = Path(folder, "model")
        try:
            unpack(archive, unpacked)
        except ArchiveError as error:
            raise client.Refused(str(error)) from error
        return subprocess.run([*PROGRAM, str(unpacked), *flags]).returncode


def _served(name: str) -> Path | None:
    """The archive of a model that the running server has under this name; None where there is none, or no server."""
    state = lifecycle.running(lifecycle.temp_dir(os.environ))
    if state is None or state.model_store is None:
        return None
    place = client.place_of(state, "management", os.environ.get("NUMSERVE_TOKEN"))
    try:
        described = client.ask_json(place, f"/models/{quote(name, safe='')}")
    except client.Refused:
        return None
    archive = Path(state.model_store, described[0]["modelUrl"])
    return archive if archive.exists() else None
