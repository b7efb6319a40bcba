"""python -m numserve.handlers.check MODEL_DIR: would a worker get the handler of an unpacked archive going?

Loads and initialises it as a worker does, and ends standard output with one line of JSON: ok, handler, seconds and,
where it fails, phase, error, where and hint; of a model that the engine runs also what its file is, and how it runs:
engine, with format, mode, executor and reason. The exit status is 0 or 1.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .preparing import engine_of, prepare
from .standalone import DEFAULT_HANDLER, handler_text, load_model, manifest_of, reported

TOLD = ("format", "mode", "executor", "reason")


def check(model_dir: Path, handler: str | None = None) -> dict[str, Any]:
    """What became of loading the handler; `handler` stands in for the manifest's own."""
    text = handler or DEFAULT_HANDLER

    def load() -> dict[str, Any]:
        nonlocal text
        manifest = manifest_of(model_dir)
        text = handler or handler_text(manifest)
        loaded, context = load_model(model_dir, manifest, text)
        prepare(loaded, context)
        engine = engine_of(loaded)
        return {"engine": {key: engine[key] for key in TOLD}} if engine else {}

    return reported(model_dir, load) | {"handler": text}


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
