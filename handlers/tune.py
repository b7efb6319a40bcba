"""python -m numserve.handlers.tune MODEL_DIR --output FILE: which algorithms are fastest for a model on this machine?

Loads the model of an unpacked archive as a worker does, compiles it for each number of threads and each batch, and
writes what was chosen to FILE, beside what other machines had chosen before. Ends standard output with one line of
JSON: ok, cpu, executor, threads, batches, choices (how many) and seconds; where it fails, phase, error, where and hint.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..engine.executors.choices import cpu_model
from .engine_options import EngineOptions
from .fast_path import FastPath, stored_choices
from .preparing import batches_of, inside, prepare, require_path, run_by
from .standalone import handler_text, load_model, manifest_of, reported


def tune(model_dir: Path, output: Path, batches: Sequence[int] = (), threads: Sequence[int] = ()) -> dict[str, Any]:
    """Time what there is to be timed, and write the choices; without `batches` and `threads` those of likely workers.

    Raises: HandlerError where the model runs eager, or the archive does not say what its inputs look like.
    """
    manifest = manifest_of(model_dir)
    handler, context = load_model(model_dir, manifest, handler_text(manifest))
    path = require_path(handler, context)
    options = EngineOptions.of(context)
    sizes, counts = (
        tuple(batches or batches_of(options, context)),
        threads or _likely_threads(context.model_yaml_config),
    )
    choices = stored_choices(context)
    choices.forget()
    for count in counts:
        chosen = replace(options, threads=count, batches=sizes)
        path = FastPath(path.model, chosen, choices)
        run_by(inside(handler), path)
        prepare(handler, context, chosen)
        path.require()
    choices.save(output)
    return {
        "cpu": cpu_model(), "executor": path.describe()["executor"], "threads": list(counts),
        "batches": list(sizes), "choices": len(choices),
    }  # fmt: skip


def _likely_threads(config: dict[str, Any]) -> Sequence[int]:
    """What the YAML says; else one, and all the cores: a worker a core, and one worker alone."""
    section = config.get("engine")
    asked = section.get("threads") if isinstance(section, dict) else None
    return [asked] if asked else sorted({1, len(os.sched_getaffinity(0))})


def whole_numbers(text: str) -> list[int]:
    """A list such as 1,8. Raises ValueError."""
    numbers = [int(part) for part in text.split(",")]
    if min(numbers) < 1:
        raise ValueError(f"{min(numbers)} is less than 1")
    return numbers


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the outcome; the exit status says it too."""
    parser = argparse.ArgumentParser(prog="python -m numserve.handlers.tune", description="Tune an archive's model.")
    parser.add_argument("model_dir", type=Path, help="the folder of the unpacked archive")
    parser.add_argument("--output", type=Path, required=True, help="where the choices are written")
    parser.add_argument("--batches", type=whole_numbers, default=[], help="such as 1,8")
    parser.add_argument("--threads", type=whole_numbers, default=[], help="such as 1,2")
    options = parser.parse_args(arguments)
    folder, output = options.model_dir.resolve(), options.output.resolve()
    outcome = reported(folder, lambda: tune(folder, output, options.batches, options.threads), "tune")
    print(json.dumps(outcome), flush=True)
    return 0 if outcome["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
