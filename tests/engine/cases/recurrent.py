"""Recurrent layers, against the textbook's step taken sequence by sequence."""

import numpy as np

from .case import case, some


def _sigmoid(x):
    return 1 / (1 + np.exp(-x))


def _rnn_step(nonlinearity, x, states, w_ih, w_hh, b_ih, b_hh):
    total = w_ih @ x + b_ih + w_hh @ states[0] + b_hh
    return (np.tanh(total) if nonlinearity == "tanh" else np.maximum(total, 0),)


def _lstm_step(x, states, w_ih, w_hh, b_ih, b_hh, w_hr):
    h, c = states
    i, f, g, o = np.split(w_ih @ x + b_ih + w_hh @ h + b_hh, 4)
    c = _sigmoid(f) * c + _sigmoid(i) * np.tanh(g)
    h = _sigmoid(o) * np.tanh(c)
    return (h if w_hr is None else w_hr @ h), c


def _gru_step(x, states, w_ih, w_hh, b_ih, b_hh):
    (h,) = states
    ir, iz, i_n = np.split(w_ih @ x + b_ih, 3)
    hr, hz, hn = np.split(w_hh @ h + b_hh, 3)
    z, n = _sigmoid(iz + hz), np.tanh(i_n + _sigmoid(ir + hr) * hn)
    return ((1 - z) * n + z * h,)


def _slowly(step, x, states, weights, reverse, lengths):
    """Each sequence by itself, up to its length."""
    w_ih, w_hh, b_ih, b_hh, *more = weights
    biases = [np.zeros(len(w_ih)) if b is None else b for b in (b_ih, b_hh)]
    outputs, last = np.zeros((*x.shape[:2], states[0].shape[1])), [s.copy() for s in states]
    for n in range(x.shape[1]):
        now = tuple(s[n] for s in states)
        steps = range(len(x) if lengths is None else lengths[n])
        for t in reversed(steps) if reverse else steps:
            now = step(x[t, n], now, w_ih, w_hh, *biases, *more)
            outputs[t, n] = now[0]
        for place, state in zip(last, now, strict=True):
            place[n] = state
    return (outputs, *last)


def _case(step, gates, count, torch, times=4, bias=True, proj=0, reverse=False, lengths=None, **attributes):
    inputs, hidden, state = 3, 2, proj or 2
    weights = [some(gates * hidden, inputs), some(gates * hidden, state)]
    weights += [some(gates * hidden), some(gates * hidden)] if bias else [None, None]
    if count == 2:
        weights.append(some(proj, hidden) if proj else None)
    states = [some(3, state), some(3, hidden)][:count]
    return case(
        some(times, 3, inputs), *states, *weights, reverse=reverse, lengths=lengths, **attributes,
        reference=lambda x, *rest: _slowly(step, x, rest[:count], rest[count:], reverse, lengths),
        torch=None if reverse or lengths else torch,
    )  # fmt: skip


def _flat(result):
    return result[0], *(s[0] for s in result[1:])


def _torch_lstm(t, x, h, c, *weights):
    given = [w for w in weights if w is not None]
    return _flat(t.lstm(x, (h[None], c[None]), given, weights[2] is not None, 1, 0.0, False, False, False))


def _torch_gru(t, x, h, *weights):
    given = [w for w in weights if w is not None]
    return _flat(t.gru(x, h[None], given, weights[2] is not None, 1, 0.0, False, False, False))


def _torch_rnn(name):
    def run(t, x, h, *weights):
        given = [w for w in weights if w is not None]
        return _flat(getattr(t, f"rnn_{name}")(x, h[None], given, weights[2] is not None, 1, 0.0, False, False, False))

    return run


WAYS = [
    {},
    {"bias": False},
    {"times": 9},
    {"reverse": True},
    {"lengths": (4, 2, 1)},
    {"lengths": (4, 2, 1), "reverse": True},
]

ROWS = {
    "rnn": [
        _case(lambda *a, kind=kind: _rnn_step(kind, *a), 1, 1, _torch_rnn(kind), nonlinearity=kind, **way)
        for kind in ("tanh", "relu")
        for way in WAYS
    ],
    "lstm": [_case(_lstm_step, 4, 2, _torch_lstm, proj=proj, **way) for proj in (0, 1) for way in WAYS],
    "gru": [_case(_gru_step, 3, 1, _torch_gru, **way) for way in WAYS],
}
