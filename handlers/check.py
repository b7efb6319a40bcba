"""python -m numserve.handlers.check MODEL_DIR: would a worker get the handler of an unpacked archive going?

Loads and initialises it as a worker does, and ends standard output with one line of JSON: ok, handler, seconds and,
where it fails, phase, error, where and hint. The exit status is 0 or 1.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

from .context import Context
from .errors import HandlerError
from .loading import load_handler
from .model_yaml import get_yaml_config
from .preparing import prepare

DEFAULT_HANDLER = "default_service_handler"


def check(model_dir: Path, handler: str | None = None) -> dict[str, Any]:
    """What became of loading the handler; `handler` stands in for the manifest's own."""
    started = perf_counter()
    text, failure = handler, None
    try:
        manifest = _manifest(model_dir)
        entry = manifest.get("model") or {}
        text = handler or entry.get("handler") or DEFAULT_HANDLER
        _initialize(text, model_dir, manifest, entry)
    except (Exception, SystemExit) as error:
        failure = HandlerError.wrap(error, "initialize", model_dir)
    return {
        "ok": failure is None,
        "phase": failure and failure.phase,
        "error": failure and failure.message,
        "where": failure and failure.where,
        "hint": failure and failure.hint,
        "seconds": round(perf_counter() - started, 3),
        "handler": text,
    }


def _manifest(model_dir: Path) -> dict[str, Any]:
    path = model_dir / "MAR-INF" / "MANIFEST.json"
    try:
        manifest = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise HandlerError(f"MAR-INF/MANIFEST.json cannot be read: {error}", phase="manifest") from error
    if not isinstance(manifest, dict):
        raise HandlerError("MAR-INF/MANIFEST.json holds no object", phase="manifest")
    return manifest


def _initialize(text: str, model_dir: Path, manifest: dict[str, Any], entry: dict[str, Any]) -> None:
    config = get_yaml_config(model_dir / entry["configFile"]) if entry.get("configFile") else {}
    os.chdir(model_dir)
    handler = load_handler(text, model_dir)
    context = Context(entry.get("modelName", ""), model_dir, manifest, 1, model_yaml_config=config)
    handler.initialize(context)
    prepare(handler, context)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the outcome; the exit status says it too."""
    parser = argparse.ArgumentParser(prog="python -m numserve.handlers.check", description="Load an archive's handler.")
    parser.add_argument("model_dir", type=Path, help="the folder of the unpacked archive")
    parser.add_argument("--handler", help="in place of the manifest's handler")
    options = parser.parse_args(arguments)
    outcome = check(options.model_dir.resolve(), options.handler)
    print(json.dumps(outcome), flush=True)
    return 0 if outcome["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
