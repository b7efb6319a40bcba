"""Choices, which algorithm was the fastest for a step on this machine: kept in memory, in a file, in an archive."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

import numpy as np

from ..graph.plan import Step

VERSION = 1


class Choices:
    """Names of algorithms by what they were chosen for; choices made on another CPU are kept and not used."""

    def __init__(self) -> None:
        self._table: dict[str, dict[str, str]] = {}
        self.changed = False

    def get(self, key: str) -> str | None:
        """What was chosen for a key on a machine like this one."""
        return self._table.get(cpu_model(), {}).get(key)

    def put(self, key: str, algorithm: str) -> None:
        """Remember a choice."""
        self._table.setdefault(cpu_model(), {})[key] = algorithm
        self.changed = True

    def forget(self) -> None:
        """Choose anew what was chosen on a machine like this one."""
        self.changed |= bool(self._table.pop(cpu_model(), {}))

    def __len__(self) -> int:
        return len(self._table.get(cpu_model(), {}))

    def save(self, path: Path | str) -> None:
        """Write all choices as JSON."""
        Path(path).write_text(json.dumps({"version": VERSION, "choices": self._table}, indent=1, sort_keys=True))
        self.changed = False

    @classmethod
    def load(cls, path: Path | str) -> Choices:
        """What save() wrote; nothing where the file is missing, of another version, or holds anything else."""
        choices = cls()
        try:
            stored = json.loads(Path(path).read_text())
        except (OSError, ValueError, RecursionError):
            return choices
        tables = stored.get("choices") if isinstance(stored, dict) and stored.get("version") == VERSION else None
        if isinstance(tables, dict) and all(map(_is_table, tables.values())):
            choices._table = tables
        return choices


def _is_table(thing: object) -> bool:
    return isinstance(thing, dict) and all(isinstance(name, str) for name in thing.values())


def key_of(step: Step, executor: str, threads: int, exact: bool = False) -> str:
    """What decides which algorithm is fastest: the operation, shapes, attributes, executor and threads."""
    shapes = " ".join(_shape(i) for i in step.inputs)
    options = " ".join(f"{name}={step.attributes[name]}" for name in sorted(step.attributes))
    outputs = " ".join(_shape(o) for o in step.outputs)
    return f"{executor}{' exact' if exact else ''} x{threads} | {step.op} {shapes} -> {outputs} | {options}"


def _shape(item: object) -> str:
    if not isinstance(item, np.ndarray):
        return "-"
    pitch = item.strides[-2] // item.itemsize if item.ndim > 1 else 0
    wide = f"/{pitch}" if item.ndim > 1 and pitch != item.shape[-1] else ""
    return "x".join(map(str, item.shape)) + wide


@lru_cache(maxsize=1)
def cpu_model() -> str:
    """The processor's name, as the system tells it."""
    try:
        lines: Iterable[str] = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = ()
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, "") or platform.processor() or platform.machine()
