"""`numserve convert`: has the engine convert a file, and shows how far it is."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from ..plugins import load
from . import client

PROGRESS_FROM_BYTES = 50 * 1000 * 1000


def convert(
    source: str, target: str, *, network: str | None, inputs: Sequence[str], example: str | None, force: bool
) -> None:
    """Convert, and say what came of it.

    Raises: Refused where it cannot be done, with the reason.
    """
    if Path(target).exists() and not force:
        raise client.Refused(f"{target} is there already; --force overwrites it")
    if inputs and example:
        raise click.UsageError("--input and --example exclude each other")
    try:
        examples = _engine("read_examples")(example) if example else [_engine("input_of")(text) for text in inputs]
        done = _engine("convert")(source, target, network=network, examples=examples, bar=_bar)
    except (load("numserve.engine:EngineError"), OSError) as error:
        raise client.Refused(str(error)) from error
    click.echo(f"{source} ({done.source}) → {target} ({done.target}): {done.tensors} tensors, {done.bytes:,} bytes")
    for note in done.notes:
        click.echo(f"  {note}")


def _engine(name: str) -> Any:
    """A function of the engine's; the server itself knows none of it."""
    return load(f"numserve.engine.conversion:{name}")


@contextmanager
def _bar(total: int) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal where there is much to do, nothing otherwise."""
    if total < PROGRESS_FROM_BYTES or not sys.stderr.isatty():
        yield lambda count: None
        return
    with click.progressbar(length=total, label="converting", file=sys.stderr) as bar:
        yield bar.update
