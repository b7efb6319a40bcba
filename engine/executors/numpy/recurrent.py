"""Recurrent layers: the inputs of all times in one product, then a short list of calls for each time."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from ...dtype import Array
from ...graph.plan import Step
from .activation import HALF
from .products import Multiply, multipliers, plain
from .workshop import ZERO, Bench, Call, Candidates, Parts, Workshop, rows_of


def is_whole(step: Step) -> bool:
    """Whether all sequences go to the end, without a projection, in float32."""
    projected = step.op == "lstm" and step.inputs[7] is not None
    arrays = [a for a in (*step.inputs, *step.outputs) if isinstance(a, np.ndarray)]
    return not projected and step.attributes.get("lengths") is None and all(a.dtype == np.float32 for a in arrays)


def recurrent(step: Step, shop: Workshop) -> Candidates:
    """lstm, gru and rnn; one thread, as the times wait for each other."""
    build = {"lstm": _lstm, "gru": _gru, "rnn": _rnn}[step.op]
    batch, states = _arrays(step)[0].shape[1], step.output.shape[-1]
    by_panels = multipliers(states, states, shop) if batch > 1 else {}

    def parts(multiply: Multiply) -> Parts:
        return [build(step, shop, shop.benches[0], multiply)]

    return {f"times by {name}": partial(parts, way) for name, way in {"product": plain, **by_panels}.items()}


def _times(step: Step, count: int) -> range:
    return range(count - 1, -1, -1) if step.attributes.get("reverse") else range(count)


def _arrays(step: Step) -> list[Any]:
    return list(step.inputs)


def _biases(b_ih: Array | None, b_hh: Array | None) -> Array | None:
    """Both in one, where there are any."""
    given = [b for b in (b_ih, b_hh) if b is not None]
    return None if not given else given[0] if len(given) == 1 else given[0] + given[1]


def _project(x: Array, weight: Array, bias: Array | None, bench: Bench) -> tuple[list[Call], Array]:
    """The inputs of all times through (features, gates) weights."""
    gates = bench.take(*x.shape[:2], weight.shape[1])
    flat = rows_of(gates)
    calls: list[Call] = [partial(np.matmul, rows_of(x), weight, flat)]
    return calls + ([] if bias is None else [partial(np.add, flat, bias, flat)]), gates


def _lstm(step: Step, shop: Workshop, bench: Bench, multiply: Multiply) -> list[Call]:
    """Gates in the order i, f, o, g; as sigmoid(x) is (1 + tanh(x / 2)) / 2, one tanh does for all of them."""
    x, h, c, w_ih, w_hh, b_ih, b_hh, _ = _arrays(step)
    outputs, last_h, last_c = step.outputs
    size = c.shape[1]
    inward, recurrent = (shop.packed.get(w, "lstm", partial(_for_lstm, w.T, size)) for w in (w_ih, w_hh))
    bias = _biases(b_ih, b_hh)
    calls, gates = _project(x, inward, None if bias is None else _for_lstm(bias, size), bench)
    now, raised = bench.take(len(h), 4 * size), bench.take(len(h), size)
    i, f, o, g = (now[:, n * size : (n + 1) * size] for n in range(4))
    squashed = now[:, : 3 * size]
    calls.append(partial(np.copyto, last_c, c))
    for t in _times(step, len(x)):
        with bench.again():
            calls += multiply(h, recurrent, now, bench)
        calls += [
            partial(np.add, now, gates[t], now),
            partial(np.tanh, now, now),
            partial(np.multiply, squashed, HALF, squashed),
            partial(np.add, squashed, HALF, squashed),
            partial(np.multiply, last_c, f, last_c),
            partial(np.multiply, i, g, raised),
            partial(np.add, last_c, raised, last_c),
            partial(np.tanh, last_c, raised),
            partial(np.multiply, o, raised, outputs[t]),
        ]
        h = outputs[t]
    return [*calls, partial(np.copyto, last_h, h)]


def _for_lstm(weight: Array, size: int) -> Array:
    """Gates i, f, g, o along the last dim as i, f, o, g, the first three halved."""
    i, f, g, o = np.split(weight, 4, axis=-1)
    return np.ascontiguousarray(np.concatenate((i * HALF, f * HALF, o * HALF, g), axis=-1))


def _gru(step: Step, shop: Workshop, bench: Bench, multiply: Multiply) -> list[Call]:
    """h = n + z (h - n); r and z share one tanh, as in the LSTM."""
    x, h, w_ih, w_hh, b_ih, b_hh = _arrays(step)
    outputs, last_h = step.outputs
    size = h.shape[1]
    inward, recurrent = (shop.packed.get(w, "gru", partial(_for_gru, w.T, size)) for w in (w_ih, w_hh))
    calls, gates = _project(x, inward, None if b_ih is None else _for_gru(b_ih, size), bench)
    bias = None if b_hh is None else _for_gru(b_hh, size)
    now = bench.take(len(h), 3 * size)
    both, part = now[:, : 2 * size], now[:, 2 * size :]
    r, z = now[:, :size], now[:, size : 2 * size]
    for t in _times(step, len(x)):
        with bench.again():
            calls += multiply(h, recurrent, now, bench)
        if bias is not None:
            calls.append(partial(np.add, now, bias, now))
        calls += [
            partial(np.add, both, gates[t, :, : 2 * size], both),
            partial(np.tanh, both, both),
            partial(np.multiply, both, HALF, both),
            partial(np.add, both, HALF, both),
            partial(np.multiply, part, r, part),
            partial(np.add, part, gates[t, :, 2 * size :], part),
            partial(np.tanh, part, part),
            partial(np.subtract, h, part, outputs[t]),
            partial(np.multiply, outputs[t], z, outputs[t]),
            partial(np.add, outputs[t], part, outputs[t]),
        ]
        h = outputs[t]
    return [*calls, partial(np.copyto, last_h, h)]


def _for_gru(weight: Array, size: int) -> Array:
    """Gates r, z, n along the last dim, the first two halved."""
    return np.ascontiguousarray(np.concatenate((weight[..., : 2 * size] * HALF, weight[..., 2 * size :]), axis=-1))


def _rnn(step: Step, shop: Workshop, bench: Bench, multiply: Multiply) -> list[Call]:
    x, h, w_ih, w_hh, b_ih, b_hh = _arrays(step)
    outputs, last_h = step.outputs
    inward, recurrent = (shop.packed.get(w, "rnn", partial(np.ascontiguousarray, w.T)) for w in (w_ih, w_hh))
    calls, gates = _project(x, inward, _biases(b_ih, b_hh), bench)
    for t in _times(step, len(x)):
        out = outputs[t]
        with bench.again():
            calls += multiply(h, recurrent, out, bench)
        calls.append(partial(np.add, out, gates[t], out))
        relu = step.attributes.get("nonlinearity", "tanh") == "relu"
        calls.append(partial(np.maximum, out, ZERO, out=out) if relu else partial(np.tanh, out, out))
        h = out
    return [*calls, partial(np.copyto, last_h, h)]
