"""Recurrent layers: the inputs of all times in one product, then one step a time."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np

from ...dtype import Array
from ...graph.memory import aligned
from ...graph.plan import Step
from .convolution import gemm_candidates
from .structures import Activation, Finish, Kind, Recurrent
from .work import Candidates, Maker, Shop, Unsupported, Work, address, array, constant

GATES = {"lstm": 4, "gru": 3, "rnn": 1}
KINDS = {"lstm": Kind.LSTM, "gru": Kind.GRU, "rnn": Kind.RNN}
ENDS: Mapping[str, Finish] = {
    "tanh": Finish(Activation.TANH, 0, 0),
    "relu": Finish(Activation.CLAMP, 0, np.inf),
}


def recurrent(step: Step, shop: Shop) -> Candidates:
    """lstm, gru and rnn over whole sequences, without a projection.

    Several threads share the states of each time and meet after it, which small layers do better without.
    """
    if step.attributes.get("lengths") is not None or (step.op == "lstm" and step.inputs[7] is not None):
        raise Unsupported
    if any(a.strides[-1] != 4 for a in (array(step, 0), *_states(step), *step.outputs) if a.shape[-1] > 1):
        raise Unsupported
    panels = shop.padded(step.output.shape[-1]) // shop.lanes
    shares = {"": 1, " alone": panels} if shop.threads > 1 else {"": panels}
    gates = aligned((*step.output.shape[:2], GATES[step.op] * step.output.shape[-1]))
    project = gemm_candidates(_projection(step, shop, gates), shop)
    return {
        f"{name}{how}": partial(_layer, step, shop, inputs, gates, panels_of_unit)
        for name, inputs in project.items()
        for how, panels_of_unit in shares.items()
    }


def _states(step: Step) -> tuple[Array, ...]:
    return tuple(array(step, i) for i in ((1, 2) if step.op == "lstm" else (1,)))


def _parameters(step: Step) -> tuple[Array, Array, Array | None, Array | None]:
    """Both weights and both biases."""
    first = 1 + len(_states(step))
    weights = constant(step, first), constant(step, first + 1)
    biases = [None if step.inputs[first + i] is None else constant(step, first + i) for i in (2, 3)]
    return *weights, biases[0], biases[1]


def _bias(step: Step, shop: Shop) -> Array:
    """What is added to all sums over the inputs: both biases, but of the GRU's last gate that of the inputs alone."""
    w_ih, w_hh, b_ih, b_hh = _parameters(step)

    def make() -> Array:
        both = np.zeros(len(w_ih), np.float32) if b_ih is None else b_ih.copy()
        with_states = 2 * step.output.shape[-1] if step.op == "gru" else len(both)
        if b_hh is not None:
            both[:with_states] += b_hh[:with_states]
        return both

    return shop.packed.get(w_hh, (step.op, "bias", address(b_ih), address(b_hh)), make)


def _projection(step: Step, shop: Shop, gates: Array) -> Step:
    """The product of all times' inputs with their weights, as a step of its own."""
    inputs = array(step, 0), _parameters(step)[0].T, _bias(step, shop), None
    return Step("gemm", step.name, inputs, (gates,), {"activation": ""}, (False, True, True, True), 0, 0)


def _layer(step: Step, shop: Shop, project: Maker, gates: Array, panels: int) -> list[Work]:
    """The projection, then a step a time; `panels` is how many vectors of states a unit takes."""
    _, w_hh, _, b_hh = _parameters(step)
    size, times, (h, *c) = step.output.shape[-1], len(gates), _states(step)
    packed = shop.packed.get(w_hh, (step.op, shop.lanes), partial(_pack, w_hh, GATES[step.op], size, shop.lanes))
    bias = np.ascontiguousarray(b_hh[2 * size :]) if step.op == "gru" and b_hh is not None else None
    last_h, *last_c = step.outputs[1:]
    ways = range(times - 1, -1, -1) if step.attributes.get("reverse") else range(times)
    works = project()
    for number, t in enumerate(ways):
        out, final = step.output[t], number == times - 1
        arguments = Recurrent(
            gates=address(gates[t]), weights=address(packed), bias=address(bias), h=address(h), y=address(out),
            last_h=address(last_h) if final else None, ld_gates=gates.shape[-1], ld_h=_rows(h), ld_y=_rows(out),
            ld_last_h=_rows(last_h), batch=len(h), size=size, block_panels=panels,
            backwards=number % 2 if shop.threads == 1 else 0,
            finish=ENDS[step.attributes.get("nonlinearity", "tanh")],
        )  # fmt: skip
        if c:
            arguments.c, arguments.ld_c = address(c[0]), _rows(c[0])
            arguments.last_c, arguments.ld_last_c = address(last_c[0]), _rows(last_c[0])
            c = last_c
        units = -(-shop.padded(size) // shop.lanes // panels)
        kept = (packed, bias, gates, *step.outputs, *_states(step))
        works.append(Work(KINDS[step.op], arguments, units, 0, kept, () if number else (packed,)))
        h = out
    return works


def _rows(x: Array) -> int:
    """Floats from one row of a matrix to the next."""
    return x.strides[0] // 4


def _pack(weight: Array, gates: int, size: int, lanes: int) -> Array:
    """(gates * H, H) to [vector of states][H][gate][lane]."""
    vectors = -(-size // lanes)
    whole = np.zeros((gates, vectors * lanes, size), np.float32)
    whole[:, :size] = weight.reshape(gates, size, size)
    out = aligned((whole.size,))
    out.reshape(vectors, size, gates, lanes)[...] = whole.reshape(gates, vectors, lanes, size).transpose(1, 3, 0, 2)
    return out
