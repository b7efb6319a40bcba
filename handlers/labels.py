"""Class numbers and their names: index_to_name.json in all its forms."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from itertools import repeat
from os import PathLike
from pathlib import Path
from typing import Any

from .errors import HandlerError

logger = logging.getLogger(__name__)

MAPPING_FILE = "index_to_name.json"


def load_label_mapping(mapping_file_path: str | PathLike[str]) -> dict[str, str] | None:
    """Read a label file as {class number as text: name}; None, with a warning, where there is no such file.

    A name may be a text or a list whose last text counts; {"object_type_names": [...]} numbers its names from 0.
    Raises: HandlerError where the file holds anything else.
    """
    path = Path(mapping_file_path)
    if not path.is_file():
        logger.warning("%r is missing. Inference output will not include class name.", str(mapping_file_path))
        return None
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        raise HandlerError(f"{path.name} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise HandlerError(f'{path.name} holds a {type(content).__name__}; expected an object: {{"class": "label"}}')
    names = content.get("object_type_names")
    if isinstance(names, list):
        content = {str(number): name for number, name in enumerate(names)}
    return {number: _name(number, value, path.name) for number, value in content.items()}


def _name(number: str, value: Any, file: str) -> str:
    name = value[-1] if isinstance(value, list) and value else value
    if not isinstance(name, str):
        raise HandlerError(f"{file}: the label of class {number} is {value!r}; expected a text or a list of texts")
    return name


def map_class_to_label(
    probs: Sequence[Sequence[float]],
    mapping: Mapping[str, str] | None = None,
    lbl_classes: Iterable[Sequence[int]] | None = None,
) -> list[dict[str, float]]:
    """Pair probabilities with class names, one dict a row; without a mapping the class numbers are the names.

    `lbl_classes` gives each row's class numbers, in the order of its probabilities; left out they count from 0.
    Raises: HandlerError where an argument has the wrong type or a class has no name.
    """
    if not isinstance(probs, list):
        raise HandlerError(f"probabilities must be a list of lists, not {type(probs).__name__}: call .tolist() first")
    if mapping is not None and not isinstance(mapping, dict):
        raise HandlerError(f"the label mapping must be a dict, not {type(mapping).__name__}")
    rows = repeat(range(len(probs[0]) if probs else 0)) if lbl_classes is None else lbl_classes
    return [
        {_label(number, mapping): prob for number, prob in zip(numbers, row, strict=False)}
        for numbers, row in zip(rows, probs, strict=False)
    ]


def _label(number: int, mapping: Mapping[str, str] | None) -> str:
    key = str(number)
    if mapping is None:
        return key
    if key not in mapping:
        raise HandlerError(f"class {key} has no name: {MAPPING_FILE} names {len(mapping)} classes, not this one")
    return mapping[key]
