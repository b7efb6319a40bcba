"""A model's YAML file as a handler reads it."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any

import yaml


def get_yaml_config(yaml_file_path: str | PathLike[str]) -> Any:
    """The content of a YAML file; only plain data is ever built from it."""
    with Path(yaml_file_path).open("rb") as file:  # which gives errors the file's name
        return yaml.safe_load(file)
