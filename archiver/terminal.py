"""What the archivers' commands share: how errors are told, how they are stopped, and the bar."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from .errors import ArchiveError

PROGRESS_FROM_BYTES = 50 * 1000 * 1000


class Told(click.Command):
    """A command: what goes wrong becomes a message on standard error and exit code 1."""

    def invoke(self, context: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(context)
        except BrokenPipeError:
            raise
        except (ArchiveError, OSError) as error:
            click.echo(f"ERROR - {self.tell(error)}", err=True)
            context.exit(1)

    def tell(self, error: Exception) -> str:
        """What is said of an error."""
        return str(error)


@contextmanager
def stoppable() -> Iterator[None]:
    """Let SIGTERM unwind the program as Ctrl-C does, so that it cleans up."""
    before = signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def bar(total: int) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal where there is much to do, nothing otherwise."""
    if total < PROGRESS_FROM_BYTES or not sys.stderr.isatty():
        yield lambda count: None
        return
    with click.progressbar(length=total, label="packing", file=sys.stderr) as bar:
        yield bar.update
