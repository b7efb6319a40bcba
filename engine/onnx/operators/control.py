"""Branches, loops and scans: the way through them must be known, each turn is written out."""

from __future__ import annotations

import numpy as np

from ...errors import FormatError
from ..calls import Call
from ..items import Item, Thing
from .table import operator


@operator("If")
def if_(at: Call, condition: Item) -> tuple[Thing, ...]:
    """One of two graphs."""
    chosen = "then_branch" if at.one(condition, "the condition") else "else_branch"
    return tuple(at.inner(at.graph(chosen), ()))


@operator("Loop")
def loop(at: Call, most: Item | None = None, condition: Item | None = None, *carried: Thing) -> tuple[Thing, ...]:
    """A graph again and again, what it carries from turn to turn and what it gives at each, put together."""
    body = at.graph("body")
    count = None if most is None else int(at.one(most, "the number of turns"))
    going = True if condition is None else bool(at.one(condition, "the condition"))
    state, scans = list(carried), [[] for _ in range(len(body.outputs) - 1 - len(carried))]  # type: list[Thing], list[list[Item]]
    turn = 0
    while going and (count is None or turn < count):
        at.run.step()
        flag = at.constant(np.array(going))
        outputs = at.inner(body, (at.constant(np.array(turn, np.int64)), flag, *state))
        going = bool(at.one(outputs[0], "the condition"))
        state = outputs[1 : 1 + len(carried)]
        for kept, output in zip(scans, outputs[1 + len(carried) :], strict=True):
            kept.append(_tensor(output))
        turn += 1
    return (*state, *(_stacked(at, kept, 0) for kept in scans))


def _tensor(thing: Thing) -> Item:
    if not isinstance(thing, Item):
        raise FormatError("a loop puts together what is no tensor")
    return thing


def _stacked(at: Call, parts: list[Item], axis: int) -> Item:
    if not parts:
        return at.constant(np.empty(0, np.float32))
    return at("stack", *parts, dim=axis)


@operator("Scan")
def scan(at: Call, *inputs: Item) -> tuple[Item, ...]:
    """A graph for each slice of the inputs."""
    body, count = at.graph("body"), at.integer("num_scan_inputs")
    if at.version < 9:
        return _scan_by_batch(at, *inputs)
    states, scanned = list(inputs[: len(inputs) - count]), inputs[len(inputs) - count :]
    axes = at.integers("scan_input_axes", (0,) * count)
    ways = at.integers("scan_input_directions", (0,) * count)
    length = scanned[0].shape[at.axis(axes[0], scanned[0].ndim)]
    slices = [(i, at.axis(a, i.ndim), way) for i, a, way in zip(scanned, axes, ways, strict=True)]
    outputs = [[] for _ in range(len(body.outputs) - len(states))]  # type: list[list[Item]]
    for turn in range(length):
        parts = [
            at("getitem", i, index=(*(slice(None),) * a, length - 1 - turn if way else turn)) for i, a, way in slices
        ]
        results = at.inner(body, (*states, *parts))
        for kept, result in zip(outputs, results[len(states) :], strict=True):
            kept.append(_tensor(result))
        states = [_tensor(r) for r in results[: len(states)]]
    out_axes = at.integers("scan_output_axes", (0,) * len(outputs))
    out_ways = at.integers("scan_output_directions", (0,) * len(outputs))
    made = []
    for kept, axis, way in zip(outputs, out_axes, out_ways, strict=True):
        axis = axis % (kept[0].ndim + 1) if kept else 0
        made.append(_stacked(at, kept[::-1] if way else kept, axis))
    return (*states, *made)


def _scan_by_batch(at: Call, lengths: Item | None, *inputs: Item) -> tuple[Item, ...]:
    """As opset 8 has it: the first dim of everything is a batch, and each of it is scanned alone."""
    body, count = at.graph("body"), at.integer("num_scan_inputs")
    if lengths is not None:
        raise FormatError("a Scan of opset 8 with lengths of its own is not read; convert the model to opset 9")
    held = len(inputs) - count
    rows: list[list[Item]] = [[] for _ in body.outputs]
    for n in range(inputs[0].shape[0]):
        given = [at("getitem", i, index=(n,)) for i in inputs]
        states, outputs = given[:held], [[] for _ in range(len(body.outputs) - held)]  # type: ignore[var-annotated]
        for turn in range(given[held].shape[0]):
            results = at.inner(body, (*states, *(at("getitem", i, index=(turn,)) for i in given[held:])))
            states = [_tensor(r) for r in results[:held]]
            for kept, result in zip(outputs, results[held:], strict=True):
                kept.append(_tensor(result))
        for place, item in enumerate((*states, *(_stacked(at, kept, 0) for kept in outputs))):
            rows[place].append(item)
    return tuple(_stacked(at, row, 0) for row in rows)
