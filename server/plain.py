"""Plain models: those whose handlers can be seen to need nothing but Python itself, neither NumPy nor the engine.

Their workers start, and run, without both. What is not certain counts as not plain, and nothing but time and memory
depends on it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from .messages import ModelSpec

IMPORT = re.compile(r"^[ \t]*(?:from[ \t]+([\w.]+)[ \t]+import\b|import[ \t]+(.+))", re.MULTILINE)
OURS = {"MAR-INF", "__pycache__"}
"""Folders that any model's may hold."""
TAKEN = {"PIL", "numpy", "orjson", "yaml", *sys.stdlib_module_names}
"""Names that a file of an archive must not answer to, as it would where nobody has imported what is called so."""
WEIGHTS = ("serializedFile", "modelFile")
"""Keys of a manifest that name what the engine reads."""
OF_ENGINE = ("engine", "signature")
"""Sections of a model's YAML file that the engine reads."""
BYTES, FILES = 1 << 18, 32
"""What is read to find out, at most."""


def is_plain(spec: ModelSpec) -> bool:
    """Whether a model is plain, as far as its files, its manifest and its YAML file show."""
    model = (spec.manifest or {}).get("model") or {}
    if spec.envelope or any(map(model.get, WEIGHTS)) or any(map(spec.config.get, OF_ENGINE)):
        return False
    try:
        files = _files(Path(spec.model_dir))
    except OSError:
        return False
    name = spec.handler.partition(":")[0].removesuffix(".py")
    if files is None or name not in files or files.keys() & TAKEN:
        return False
    return not {top for text in files.values() for top in _imported(text)} - sys.stdlib_module_names - files.keys()


def _files(folder: Path) -> dict[str, str] | None:
    """The Python files of a model's folder, by the names they are imported by; None where it holds more than those."""
    found: dict[str, str] = {}
    size = 0
    for path in folder.iterdir():
        if path.suffix == ".py":
            size += path.stat().st_size
            if size > BYTES or len(found) == FILES:
                return None
            found[path.stem] = path.read_text("utf-8", "replace")
        elif path.is_dir() and path.name not in OURS and not path.name.startswith("."):
            return None
    return found


def _imported(text: str) -> Iterator[str]:
    """The top-level names that a file imports."""
    for match in IMPORT.finditer(text):
        for name in (match[1] or match[2]).split(","):
            yield name.split()[0].partition(".")[0] if name.split() else ""
