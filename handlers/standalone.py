"""A model loaded without a server, for the commands that check, tune and profile one, and how these report."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import yaml

from .base import Handler
from .context import Context
from .errors import HandlerError
from .loading import load_handler
from .model_yaml import get_yaml_config

DEFAULT_HANDLER = "default_service_handler"


def manifest_of(model_dir: Path) -> dict[str, Any]:
    """The manifest of an unpacked archive. Raises HandlerError."""
    path = model_dir / "MAR-INF" / "MANIFEST.json"
    try:
        manifest = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise HandlerError(f"MAR-INF/MANIFEST.json cannot be read: {error}", phase="manifest") from error
    if not isinstance(manifest, dict):
        raise HandlerError("MAR-INF/MANIFEST.json holds no object", phase="manifest")
    return manifest


def handler_text(manifest: dict[str, Any]) -> str:
    """The handler that a manifest names."""
    return str((manifest.get("model") or {}).get("handler") or DEFAULT_HANDLER)


def load_model(
    model_dir: Path, manifest: dict[str, Any], handler: str, threads: int | None = None
) -> tuple[Handler, Context]:
    """A handler as a worker has it after initialize(), and its context; changes to the model's directory, as a worker.

    `threads` are the worker's, all cores unless given.
    Raises: whatever the handler raises.
    """
    entry = manifest.get("model") or {}
    config = _config(model_dir / entry["configFile"]) if entry.get("configFile") else {}
    os.chdir(model_dir)
    loaded = load_handler(handler, model_dir)
    size = config.get("batchSize") if isinstance(config, dict) else None
    rows = size if isinstance(size, int) and size >= 1 else 1
    name = entry.get("modelName", "")
    context = Context(name, model_dir, manifest, rows, model_yaml_config=config, threads=threads)
    loaded.initialize(context)
    return loaded, context


def _config(path: Path) -> Any:
    try:
        return get_yaml_config(path)
    except yaml.YAMLError as error:
        raise HandlerError(
            f"{path.name} is no readable YAML: {error}".replace(f"{path}", path.name), phase="configure"
        ) from error


def reported(model_dir: Path, work: Callable[[], dict[str, Any]], phase: str = "initialize") -> dict[str, Any]:
    """What came of some work with a model: ok, seconds, what it gives, and where it fails phase, error, where, hint."""
    started, failure, found = perf_counter(), None, {}
    try:
        found = work()
    except (Exception, SystemExit) as error:
        failure = HandlerError.wrap(error, phase, model_dir)
    return {
        "ok": failure is None,
        "phase": failure and failure.phase,
        "error": failure and failure.message,
        "where": failure and failure.where,
        "hint": failure and failure.hint,
        "seconds": round(perf_counter() - started, 3),
    } | found
