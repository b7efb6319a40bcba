"""python -m numserve.handlers.profile MODEL_DIR | --network NAME: what does a model's run consist of, step by step?

Loads the model of an unpacked archive as a worker does, or makes one of the engine's own; compiles it, measures it and
the machine, and prints a table. `--html FILE` writes a page with the graph too. The exit status is 0 or 1.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path

from ..engine import models
from ..engine.compiled import CompiledModel
from ..engine.profile import as_html, as_text, profile
from .engine_options import EngineOptions, Input
from .errors import HandlerError
from .fast_path import FastPath, stored_choices
from .preparing import inside, prepare, require_path, run_by
from .standalone import handler_text, load_model, manifest_of

PICTURE, LARGE_PICTURE = (3, 224, 224), (3, 299, 299)
NETWORKS = sorted(name for name in models.__all__ if name.islower())


def of_archive(model_dir: Path, asked: argparse.Namespace) -> tuple[str, CompiledModel]:
    """The name and the compiled model of an unpacked archive."""
    manifest = manifest_of(model_dir)
    handler, context = load_model(model_dir, manifest, handler_text(manifest), threads=1)
    options = _changed(EngineOptions.of(context), asked)
    path = FastPath(require_path(handler, context).model, options, stored_choices(context))
    run_by(inside(handler), path)
    prepare(handler, context, options)
    return context.model_name or model_dir.name, path.require()


def of_network(name: str, asked: argparse.Namespace) -> tuple[str, CompiledModel]:
    """One of the engine's own models, with the weights that it is made with."""
    if name not in NETWORKS:
        near = get_close_matches(name, NETWORKS, n=1)
        raise HandlerError(
            f"{name} is no archive here, no model of a running server, and none of the engine's networks"
            + (f"; did you mean {near[0]!r}?" if near else "")
        )
    picture = Input((1, *(LARGE_PICTURE if name.startswith("inception") else PICTURE)))
    options = _changed(EngineOptions(inputs=(picture,)), asked)
    path = FastPath(getattr(models, name)().eval(), options)
    path.prepare(tuple(each.example() for each in options.inputs), options.batches)
    return name, path.require()


def _changed(options: EngineOptions, asked: argparse.Namespace) -> EngineOptions:
    """The options of a model, with those of the command line in their place."""
    return replace(
        options,
        executor=asked.executor or options.executor,
        threads=asked.threads or options.threads,
        exact=asked.exact or options.exact,
        inputs=tuple(Input((1, *shape)) for shape in asked.input) or options.inputs,
        sample=None if asked.input else options.sample,
        batches=(asked.batch,),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    asked = _parser().parse_args(arguments)
    folder = Path(asked.model_dir or os.devnull).resolve()
    page = asked.html.resolve() if asked.html else None  # loading a model changes the working directory
    try:
        name, compiled = of_network(asked.network, asked) if asked.network else of_archive(folder, asked)
        report = profile(compiled, name, asked.batch, asked.rounds)
    except (Exception, SystemExit) as error:
        failure = HandlerError.wrap(error, "profile", folder)
        hints = [f"  {key}: {text}" for key, text in (("where", failure.where), ("hint", failure.hint)) if text]
        print("\n".join([failure.message, *hints]), file=sys.stderr)
        return 1
    if page:
        page.write_text(as_html(report))
    with suppress(BrokenPipeError):  # a pager that has seen enough
        print(as_text(report) + (f"\n\nThe graph is in {page}" if page else ""), flush=True)
        return 0
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains when it ends
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m numserve.handlers.profile", description="Profile a model.")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("model_dir", type=Path, nargs="?", help="the folder of the unpacked archive")
    what.add_argument("--network", help="one of the engine's own models instead, such as resnet18")
    parser.add_argument("--batch", type=int, default=1, help="rows of a run")
    parser.add_argument("--executor", help="auto, native, numpy")
    parser.add_argument("--threads", type=int, help="threads of a run")
    parser.add_argument("--exact", action="store_true", help="only algorithms that round as direct ones do")
    parser.add_argument("--input", type=_shape, action="append", default=[], help="an input's shape without the batch")
    parser.add_argument("--rounds", type=int, default=10, help="runs to measure")
    parser.add_argument("--html", type=Path, help="where to write the page")
    return parser


def _shape(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


if __name__ == "__main__":
    sys.exit(main())
