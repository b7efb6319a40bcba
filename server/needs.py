"""What can be seen of a model's needs before it is loaded: Python alone, NumPy, or the engine.

Its workers start, and run, without what they do not need. What is not certain counts as needing the engine, and nothing
but time and memory depends on it. What stands indented may never be imported: it counts where several workers would
share it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ..archiver import Manifest, read_entries, read_manifest
from .messages import ModelSpec, Needs

IMPORT = re.compile(r"^([ \t]*)(?:from[ \t]+([\w.]+)[ \t]+import\b|import[ \t]+(.+))", re.MULTILINE)
MANIFEST = "MAR-INF/MANIFEST.json"
OURS = {"MAR-INF", "__pycache__"}
"""Folders that any model's may hold."""
TAKEN = {"PIL", "numpy", "orjson", "yaml", *sys.stdlib_module_names}
"""Names that a file of an archive must not answer to, as it would where nobody has imported what is called so."""
WITH_NUMPY = {"lightgbm", "numpy", "onnxruntime", "pandas", "scipy", "sklearn", "xgboost"}
"""Packages that bring NumPy along and have no use for the engine."""
WEIGHTS = ("serializedFile", "modelFile")
"""Keys of a manifest that name what the engine reads."""
OF_ENGINE = ("engine", "signature")
"""Sections of a model's YAML file that the engine reads."""
BYTES, FILES = 1 << 18, 32
"""What is read to find out, at most."""


def needs_of(spec: ModelSpec) -> Needs:
    """What a model needs, as far as its files, its manifest and its YAML file show."""
    if spec.envelope or any(map(spec.config.get, OF_ENGINE)):
        return "engine"
    model = (spec.manifest or {}).get("model") or {}
    try:
        return _needs(model, spec.handler, _files(_in_folder(Path(spec.model_dir))), spec.several)
    except OSError:
        return "engine"


def needs_of_archive(archive: Path) -> Needs:
    """The same of one that is not unpacked, where it is there; of a folder its manifest alone tells."""
    try:
        if archive.is_dir():
            return "engine" if any(map(_model_of(read_manifest(archive)).get, WEIGHTS)) else "python"
        return _of_zip(archive) if archive.suffix == ".mar" else "python"
    except Exception:  # a border: whoever unpacks it says what is wrong with it
        return "python"


def _of_zip(archive: Path) -> Needs:
    model: Mapping[str, Any] = {}
    members: list[tuple[str, bytes | None]] = []
    for entry, pieces in read_entries(archive):
        if entry.name == MANIFEST and entry.size <= BYTES:
            model = _model_of(Manifest.parse(b"".join(pieces)))
        name, _, inside = entry.name.partition("/")
        read = name.endswith(".py") and not inside and entry.size <= BYTES
        members.append((f"{name}/" if inside else name, b"".join(pieces) if read else None))
    return _needs(model, str(model.get("handler", "")), _files(members))


def _model_of(manifest: Manifest) -> Mapping[str, Any]:
    found: Mapping[str, Any] = manifest.raw.get("model") or {}
    return found


def _needs(model: Mapping[str, Any], handler: str, files: dict[str, str] | None, inside: bool = False) -> Needs:
    """By a manifest's `model`, and by the Python files of the model, where these are all its code; `inside` functions
    too."""
    name = handler.partition(":")[0].removesuffix(".py")
    if any(map(model.get, WEIGHTS)) or files is None or name not in files or files.keys() & TAKEN:
        return "engine"
    others = (
        {top for text in files.values() for top in _imported(text, inside)} - sys.stdlib_module_names - files.keys()
    )
    if others - WITH_NUMPY:
        return "engine"
    return "numpy" if others else "python"


def _in_folder(folder: Path) -> Iterator[tuple[str, bytes | None]]:
    for path in folder.iterdir():
        read = path.suffix == ".py" and path.is_file() and path.stat().st_size <= BYTES
        yield (f"{path.name}/" if path.is_dir() else path.name), path.read_bytes() if read else None


def _files(members: Iterable[tuple[str, bytes | None]]) -> dict[str, str] | None:
    """The Python files of a model, by the names they are imported by; None where these are not all, or too much."""
    found: dict[str, str] = {}
    left = BYTES
    for name, text in members:
        if name.endswith("/"):
            if name[:-1] not in OURS and not name.startswith("."):
                return None
        elif name.endswith(".py"):
            left -= BYTES + 1 if text is None else len(text)
            if left < 0 or len(found) == FILES:
                return None
            found[name.removesuffix(".py")] = (text or b"").decode("utf-8", "replace")
    return found


def _imported(text: str, inside: bool) -> Iterator[str]:
    """The top-level names that a file imports, in indented lines only where these count."""
    for indentation, package, names in IMPORT.findall(text):
        if inside or not indentation:
            yield from (
                name.split()[0].partition(".")[0] if name.split() else "" for name in (package or names).split(",")
            )
