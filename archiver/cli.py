"""The command `model-archiver`: packs a model, looks into an archive, tries whether one loads, tunes one."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import click

from .archive import pack
from .config import ArchiveFormat, ModelArchiverConfig
from .contents import Contents, inspect
from .manifest import RUNTIMES
from .terminal import Told, bar, stoppable
from .trial import Verdict, check
from .tuning import TIMEOUT, NotTuned, pack_tuned, tune

REQUIRED = ("model_name", "handler", "version")


class ArchiverGroup(Told, click.Group):
    """The command with its sub-commands."""

    def tell(self, error: Exception) -> str:
        """What is said of an error: of a model that could not be tuned, the whole verdict."""
        return _verdict(error.verdict, "could not be tuned") if isinstance(error, NotTuned) else super().tell(error)


def whole_numbers(context: click.Context, option: click.Parameter, text: str | None) -> tuple[int, ...]:
    """The numbers of a list such as 1,8; none where there is no list."""
    parts = [part.strip() for part in text.split(",")] if text is not None else []
    if not all(part.isdecimal() and int(part) for part in parts):
        raise click.BadParameter(f"{text!r} is no list of whole numbers from 1 up, such as 1,8", context, option)
    return tuple(map(int, parts))


BATCHES: dict[str, Any] = {
    "metavar": "LIST", "callback": whole_numbers, "help": "Batches to tune for.  [default: 1, 2, 4, … batchSize]",
}  # fmt: skip
THREADS: dict[str, Any] = {
    "metavar": "LIST", "callback": whole_numbers, "help": "Threads of a worker.  [default: 1 and all cores]",
}  # fmt: skip


@click.group(
    cls=ArchiverGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
)
@click.option("--model-name", metavar="NAME", help="The model's name and the archive's file name.  [required]")
@click.option(
    "--handler",
    metavar="HANDLER",
    help="A built-in handler, or a Python file of your own; FILE:FUNCTION names a function in it.  [required]",
)
@click.option("-v", "--version", metavar="VERSION", help="The model's version, any text.  [required]")
@click.option("--serialized-file", metavar="PATH", help="The weights or the exported model.")
@click.option("--model-file", metavar="PATH", help="The Python file with the model's class.")
@click.option(
    "--extra-files",
    metavar="LIST",
    help="More files, separated by commas: files, patterns, folders for their contents; NAME=PATH puts PATH at NAME.",
)
@click.option(
    "--runtime", type=click.Choice(RUNTIMES), default="python", show_default=True, help="What runs the handler."
)
@click.option("--export-path", metavar="DIR", help="Where the archive goes.  [default: the current directory]")
@click.option(
    "--archive-format",
    type=click.Choice([str(each) for each in ArchiveFormat]),
    default=str(ArchiveFormat.DEFAULT),
    show_default=True,
    help="NAME.mar with text deflated (default) or all stored (zip-store), NAME.tar.gz (tgz), a folder (no-archive).",
)
@click.option("-f", "--force", is_flag=True, help="Overwrite an archive that is there.")
@click.option("-r", "--requirements-file", metavar="PATH", help="A pip requirements file.")
@click.option("-c", "--config-file", metavar="PATH", help="The model's configuration, YAML.")
@click.option("--tune", "tuning", is_flag=True, help="Time the model's algorithms here, and pack what is fastest.")
@click.option("--tune-batches", **BATCHES)
@click.option("--tune-threads", **THREADS)
@click.pass_context
def main(context: click.Context, /, **flags: Any) -> None:
    """Pack a model and its handler into an archive that the server loads.

    Sub-commands are for an archive that is there: inspect, check and tune.
    """
    logging.basicConfig(format="%(levelname)s - %(message)s", level=logging.WARNING)
    if context.invoked_subcommand is None:
        _pack(context, flags)


@main.command("inspect")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--sha256", is_flag=True, help="Print each file's checksum too.")
def inspect_command(file: Path, as_json: bool, sha256: bool) -> None:
    """Show what an archive holds; nothing in it is run."""
    contents = inspect(file, sha256=sha256)
    click.echo(json.dumps(contents.as_json(), indent=2) if as_json else _table(contents))


@main.command("check")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=120,
    show_default=True,
    help="Seconds it may take.",
)
@click.pass_context
def check_command(context: click.Context, file: Path, timeout: float) -> None:
    """Load an archive's model in a process of its own, and say what is wrong where it does not load.

    This runs the code in the archive.
    """
    verdict = check(file, timeout)
    click.echo(f"{file.name}: {_verdict(verdict)}{_running(verdict.facts.get('engine'))}", err=not verdict.ok)
    context.exit(0 if verdict.ok else 1)


@main.command("tune")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--batches", **BATCHES)
@click.option("--threads", **THREADS)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=TIMEOUT,
    show_default=True,
    help="Seconds it may take.",
)
def tune_command(file: Path, batches: tuple[int, ...], threads: tuple[int, ...], timeout: float) -> None:
    """Time the algorithms for an archive's model on this machine, and put what is fastest into the archive.

    This runs the code in the archive. What other machines have chosen stays in it.
    """
    with stoppable():
        verdict = tune(file, batches=batches, threads=threads, timeout=timeout)
    click.echo(f"{file.name}: {_tuned(verdict)}")


def _pack(context: click.Context, flags: dict[str, Any]) -> None:
    for parameter in context.command.params:
        if parameter.name in REQUIRED and flags[parameter.name] is None:
            raise click.MissingParameter(ctx=context, param=parameter)
    tuning, batches, threads = (flags.pop(name) for name in ("tuning", "tune_batches", "tune_threads"))
    if (batches or threads) and not tuning:
        raise click.UsageError("--tune-batches and --tune-threads go with --tune")
    config = ModelArchiverConfig(**{name: value for name, value in flags.items() if value is not None})
    with stoppable():
        if tuning:
            pack_tuned(config, bar, batches=batches, threads=threads)
        else:
            pack(config, bar)


def _table(contents: Contents) -> str:
    """The contents for people."""
    model = contents.manifest.model
    facts = {
        "model": f"{model.name or '(not named)'} {model.version}",
        "handler": model.handler or "(not named)",
        "runtime": contents.manifest.runtime,
        "created": _joined(contents.manifest.created_on, contents.manifest.archiver_version, " by archiver "),
        "weights": _joined(model.serialized_file, contents.weights_format, ", "),
        "model file": model.model_file,
        "requirements": model.requirements_file,
        "configuration": model.config_file,
        "container": f"{contents.container}, {contents.archive_bytes:,} bytes",
    }
    lines = [f"{key + ':':<15}{value}" for key, value in facts.items() if value]
    lines += ["", f"{'unpacked':>15} {'stored':>15}  file"]
    for item in contents.items:
        stored = "-" if item.stored is None else f"{item.stored:,}"
        lines.append(f"{item.size:>15,} {stored:>15}  {_joined(item.name, item.sha256, '  sha256 ')}")
    return "\n".join(lines)


def _joined(first: str | None, second: str | None, between: str) -> str:
    return between.join(filter(None, (first, second)))


def _tuned(verdict: Verdict) -> str:
    """What tuning has brought, for people."""
    facts = verdict.facts
    batches, threads = (", ".join(map(str, facts.get(name, ()))) for name in ("batches", "threads"))
    return (
        f"tuned for {facts.get('cpu')} in {verdict.seconds:.1f} s: {facts.get('choices')} choices for the"
        f" {facts.get('executor')} executor, batches {batches}, threads {threads}"
    )


def _running(engine: Any) -> str:
    """What the model's file is, how it runs and why, for people; nothing where the engine has no part in it."""
    if not isinstance(engine, dict):
        return ""
    plan = engine.get("mode") == "plan"
    how = f"on the plan, {engine.get('executor')} executor" if plan else f"eager: {engine.get('reason')}"
    return f"\n  {_joined(engine.get('format'), f'runs {how}', ', ')}"


def _verdict(verdict: Verdict, failed: str = "does not load") -> str:
    """The verdict for people."""
    if verdict.ok:
        return f"loads in {verdict.seconds:.2f} s" + (f" (handler {verdict.handler})" if verdict.handler else "")
    lines = [f"{failed} ({verdict.phase}): {verdict.error}"]
    lines += [f"  {key}: {value}" for key, value in (("where", verdict.where), ("hint", verdict.hint)) if value]
    if verdict.log:
        lines += ["  its last words:", *(f"    {line}" for line in verdict.log.splitlines())]
    return "\n".join(lines)
