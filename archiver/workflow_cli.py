"""The command `workflow-archiver`: packs a workflow, a graph of models and functions, into an archive."""

from __future__ import annotations

import logging
from typing import Any

import click

from .terminal import Told, bar, stoppable
from .workflow import WorkflowArchiverConfig, pack_workflow


@click.command(
    cls=Told,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
)
@click.option("--workflow-name", metavar="NAME", required=True, help="The workflow's name and the archive's file name.")
@click.option("--spec-file", metavar="PATH", required=True, help="The YAML file with the models and the graph.")
@click.option("--handler", metavar="PATH", help="The Python file with the functions that are nodes of the graph.")
@click.option("--export-path", metavar="DIR", help="Where the archive goes.  [default: the current directory]")
@click.option(
    "--extra-files",
    metavar="LIST",
    help="More files, separated by commas: files, patterns, folders for their contents; NAME=PATH puts PATH at NAME.",
)
@click.option("-f", "--force", is_flag=True, help="Overwrite an archive that is there.")
def main(**flags: Any) -> None:
    """Pack a workflow into an archive that the server registers."""
    logging.basicConfig(format="%(levelname)s - %(message)s", level=logging.WARNING)
    config = WorkflowArchiverConfig(**{name: value for name, value in flags.items() if value is not None})
    with stoppable():
        pack_workflow(config, bar)
