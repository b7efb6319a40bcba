"""A bench as a whole: what was asked of what, on which machine, and the points."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from ... import __version__
from .point import Point

FORMAT = 1
"""Of the JSON; it grows when a key changes its meaning."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a bench tells; durations are seconds."""

    title: str
    address: str
    body_bytes: Sequence[int]
    command: str
    machine: dict[str, str | int]
    versions: dict[str, str]
    points: Sequence[Point]
    made: str = field(default_factory=lambda: time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))

    def as_dict(self) -> dict[str, Any]:
        """For machines."""
        return {"format": FORMAT, **asdict(self)}


def machine() -> dict[str, str | int]:
    """What the generator runs on."""
    return {"cpu": _cpu(), "cores": len(os.sched_getaffinity(0)), "system": platform.platform()}


def versions() -> dict[str, str]:
    """The programs that take part."""
    found = {"numserve": __version__, "python": platform.python_version()}
    for name in ("uvloop", "uvicorn", "numpy"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
