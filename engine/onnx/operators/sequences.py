"""Lists of tensors, and tensors that may be absent. A sequence is a Python list, an absent tensor None."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...errors import FormatError
from ..calls import Call
from ..items import Item, Thing
from .shaping import cut, reshaped
from .table import operator


def _listed(thing: Thing) -> list[Any]:
    if not isinstance(thing, list):
        raise FormatError("a tensor where a sequence is expected")
    return thing


@operator("SequenceConstruct")
def sequence_construct(at: Call, *items: Item) -> list[Item]:
    """Tensors as a sequence."""
    return list(items)


@operator("SequenceEmpty")
def sequence_empty(at: Call) -> list[Item]:
    """A sequence of nothing."""
    return []


@operator("SequenceInsert")
def sequence_insert(at: Call, sequence: Thing, item: Item, place: Item | None = None) -> list[Item]:
    """A sequence with one more tensor, at its end by default."""
    result = list(_listed(sequence))
    result.insert(len(result) if place is None else int(at.one(place, "the position")), item)
    return result


@operator("SequenceErase")
def sequence_erase(at: Call, sequence: Thing, place: Item | None = None) -> list[Item]:
    """A sequence with one tensor less, the last by default."""
    result = list(_listed(sequence))
    del result[-1 if place is None else int(at.one(place, "the position"))]
    return result


@operator("SequenceAt")
def sequence_at(at: Call, sequence: Thing, place: Item) -> Thing:
    """One tensor of a sequence."""
    found: Thing = _listed(sequence)[int(at.one(place, "the position"))]
    return found


@operator("SequenceLength")
def sequence_length(at: Call, sequence: Thing) -> Item:
    """How many tensors a sequence has."""
    return at.constant(np.array(len(_listed(sequence)), np.int64))


@operator("ConcatFromSequence")
def concat_from_sequence(at: Call, sequence: Thing) -> Item:
    """The tensors of a sequence one behind the other, or beside one another along a new dim."""
    name = "stack" if at.flag("new_axis") else "cat"
    return at(name, *_listed(sequence), dim=at.integer("axis"))


@operator("SplitToSequence")
def split_to_sequence(at: Call, x: Item, sizes: Item | None = None) -> list[Item]:
    """A dim cut into parts."""
    axis = at.axis(at.integer("axis", 0), x.ndim)
    whole = x.shape[axis]
    if sizes is None:
        parts = list(cut(at, x, axis, (1,) * whole))
        if at.flag("keepdims", True):
            return parts
        return [reshaped(at, p, [n for d, n in enumerate(p.shape) if d != axis]) for p in parts]
    given = at.whole(sizes, "the sizes")
    if not sizes.ndim:
        each = given[0]
        given = (each,) * (whole // each) + ((whole % each,) if whole % each else ())
    return list(cut(at, x, axis, given))


@operator("SequenceMap")
def sequence_map(at: Call, sequence: Thing, *more: Thing) -> tuple[list[Any], ...]:
    """A graph for each tensor of a sequence."""
    body = at.graph("body")
    results: list[list[Any]] = [[] for _ in body.outputs]
    for n, item in enumerate(_listed(sequence)):
        at.run.step()
        given = [item, *(m[n] if isinstance(m, list) else m for m in more)]
        for kept, output in zip(results, at.inner(body, given), strict=True):
            kept.append(output)
    return tuple(results)


@operator("Optional")
def optional(at: Call, thing: Thing = None) -> Thing:
    """What may be absent."""
    return thing


@operator("OptionalHasElement")
def optional_has_element(at: Call, thing: Thing = None) -> Item:
    """Whether it is there."""
    return at.constant(np.array(thing is not None))


@operator("OptionalGetElement")
def optional_get_element(at: Call, thing: Thing) -> Thing:
    """What is there."""
    if thing is None:
        raise FormatError("an optional tensor that is absent is asked for")
    return thing
