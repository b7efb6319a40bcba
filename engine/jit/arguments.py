"""The arguments of a program's forward() that are more than a tensor: their types, and how tensors are taken out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from ..errors import EngineError
from ..graph.structure import Structure, StructureError, take_apart


def structure_of(argument: Any) -> Structure:
    """How tensors lie in an argument. Raises: EngineError for what no program takes."""
    try:
        structure, _ = take_apart(argument)
    except StructureError as error:
        raise EngineError(f"trace: an input is a {error}") from error
    type_of(structure)
    return structure


def type_of(structure: Structure) -> str:
    """The type of an argument, as a signature has it."""
    ((kind, content),) = structure.items()
    if kind == "output":
        return "Tensor"
    if kind == "value":
        raise EngineError(f"trace: an input is {content!r}; a program that is traced here takes tensors")
    types = [type_of(part) for part in _parts(content)]
    if not types:
        raise EngineError(f"trace: an input is an empty {kind}; expected tensors in it")
    if kind not in ("list", "dict"):
        return f"Tuple[{', '.join(types)}]"
    if len(set(types)) > 1:
        raise EngineError(f"trace: an input is a {kind} of {' and '.join(sorted(set(types)))}; a program's are alike")
    return f"List[{types[0]}]" if kind == "list" else f"Dict[str, {types[0]}]"


def taken_out(
    structure: Structure, source: str, tensors: Iterator[str], fresh: Callable[[str], str], text: Callable[[Any], str]
) -> list[str]:
    """The lines that give the tensors of an argument their names, which come in order."""
    ((kind, content),) = structure.items()
    parts = _parts(content)
    names = [next(tensors) if "output" in part else fresh("part") for part in parts]
    if kind == "dict":
        lines = [f"{name} = {source}[{text(key)}]" for name, key in zip(names, content, strict=True)]
    else:
        lines = [f"{', '.join(names)}, = {source}"]
    for part, name in zip(parts, names, strict=True):
        if "output" not in part:
            lines += taken_out(part, name, tensors, fresh, text)
    return lines


def _parts(content: Any) -> list[Structure]:
    return list(content.values() if isinstance(content, dict) else content)
