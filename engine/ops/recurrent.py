"""Primitives of recurrent layers: one layer in one direction each, with a loop over time alone.

What does not depend on the state before (the projection of the inputs, all weight gradients) is one GEMM over all
times. `lengths` says how long each sequence of the batch is: past its end a state stays and outputs are zero.
Shapes: x (T, N, I), states (N, H), w_ih (G·H, I), w_hh (G·H, H), biases (G·H) or None → outputs (T, N, H) and the last
states; G is the number of gates. With a projection w_hr (P, H) the LSTM's h, its outputs and w_hh have P, not H.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from ..dtype import Array
from ..errors import ShapeError
from .primitive import primitive

Maybe = Array | None
Lengths = tuple[int, ...] | None
Nonlinearity = Literal["tanh", "relu"]


@primitive
def rnn(
    x: Array,
    h: Array,
    w_ih: Array,
    w_hh: Array,
    b_ih: Maybe,
    b_hh: Maybe,
    *,
    nonlinearity: Nonlinearity = "tanh",
    reverse: bool = False,
    lengths: Lengths = None,
) -> tuple[Array, Array]:
    """h = tanh(w_ih x + b_ih + w_hh h + b_hh) at each time, or relu."""
    _check("rnn", x, h, w_ih, w_hh, gates=1)
    gates, recurrent = _project(x, w_ih, b_ih, b_hh), _for_rows(w_hh, x)
    outputs, live = np.zeros((*x.shape[:2], h.shape[1]), x.dtype), _live(x, lengths)
    for t in _times(x, reverse):
        new = gates[t] + h @ recurrent
        new = np.tanh(new, out=new) if nonlinearity == "tanh" else np.maximum(new, 0, out=new)
        h = outputs[t] = new if live is None else np.where(live[t], new, h)
    return _silent(outputs, live), h.copy()


@rnn.gradient
def _(
    g: Sequence[Maybe],
    out: Sequence[Array],
    x: Array,
    h: Array,
    w_ih: Array,
    w_hh: Array,
    b_ih: Maybe,
    b_hh: Maybe,
    *,
    nonlinearity: Nonlinearity = "tanh",
    reverse: bool = False,
    lengths: Lengths = None,
) -> tuple[Maybe, ...]:
    outputs, live = out[0], _live(x, lengths)
    slope = 1 - outputs * outputs if nonlinearity == "tanh" else outputs > 0
    d_gates, dh, d_out = np.zeros_like(outputs), _or_zeros(g[1], h), _heard(g[0], outputs, live)
    for t in _times(x, not reverse):
        whole = dh + d_out[t]
        d_gates[t] = whole * slope[t] if live is None else np.where(live[t], whole * slope[t], 0)
        dh = _kept(d_gates[t] @ w_hh, whole, live, t)
    d_b = d_gates.sum((0, 1))
    before = _before(outputs, h, lengths, reverse)
    return d_gates @ w_ih, dh, _weight(d_gates, x), _weight(d_gates, before), _if(b_ih, d_b), _if(b_hh, d_b)


@primitive
def lstm(
    x: Array,
    h: Array,
    c: Array,
    w_ih: Array,
    w_hh: Array,
    b_ih: Maybe,
    b_hh: Maybe,
    w_hr: Maybe,
    *,
    reverse: bool = False,
    lengths: Lengths = None,
) -> tuple[Array, Array, Array]:
    """c = f·c + i·g, h = o·tanh(c), projected by w_hr where given; gates in the order i, f, g, o."""
    _check("lstm", x, h, w_ih, w_hh, gates=4)
    gates, recurrent = _project(x, w_ih, b_ih, b_hh), _for_rows(w_hh, x)
    outputs, live, size = np.zeros((*x.shape[:2], h.shape[1]), x.dtype), _live(x, lengths), c.shape[1]
    for t in _times(x, reverse):
        now = _squashed(gates[t] + h @ recurrent, size)
        i, f, g, o = np.split(now, 4, axis=1)
        new_c = f * c + i * g
        new_h = o * np.tanh(new_c)
        if w_hr is not None:
            new_h = new_h @ w_hr.T
        c = new_c if live is None else np.where(live[t], new_c, c)
        h = outputs[t] = new_h if live is None else np.where(live[t], new_h, h)
    return _silent(outputs, live), h.copy(), c.copy()


@lstm.gradient
def _(
    g: Sequence[Maybe],
    out: Sequence[Array],
    x: Array,
    h: Array,
    c: Array,
    w_ih: Array,
    w_hh: Array,
    b_ih: Maybe,
    b_hh: Maybe,
    w_hr: Maybe,
    *,
    reverse: bool = False,
    lengths: Lengths = None,
) -> tuple[Maybe, ...]:
    outputs, live, size = out[0], _live(x, lengths), c.shape[1]
    h_before = _before(outputs, h, lengths, reverse)
    gates = _squashed(_project(x, w_ih, b_ih, b_hh) + h_before @ w_hh.T, size)
    c_before, c_after = _cells(gates, c, live, reverse)
    tanh_c, raw_h = np.tanh(c_after), None
    if w_hr is not None:
        raw_h = gates[..., 3 * size :] * tanh_c
    d_gates, projected = np.zeros_like(gates), np.zeros_like(outputs)
    dh, dc, d_out = _or_zeros(g[1], h), _or_zeros(g[2], c), _heard(g[0], outputs, live)
    for t in _times(x, not reverse):
        whole = dh + d_out[t]
        projected[t] = whole if live is None else np.where(live[t], whole, 0)
        of_h = whole if w_hr is None else whole @ w_hr
        i, f, j, o = np.split(gates[t], 4, axis=1)
        of_c = dc + of_h * o * (1 - tanh_c[t] * tanh_c[t])
        parts = (
            of_c * j * i * (1 - i),
            of_c * c_before[t] * f * (1 - f),
            of_c * i * (1 - j * j),
            of_h * tanh_c[t] * o * (1 - o),
        )
        now = np.concatenate(parts, axis=1)
        d_gates[t] = now if live is None else np.where(live[t], now, 0)
        dh, dc = _kept(d_gates[t] @ w_hh, whole, live, t), _kept(of_c * f, dc, live, t)
    d_b = d_gates.sum((0, 1))
    d_hr = None if raw_h is None else _weight(projected, raw_h)
    weights = _weight(d_gates, x), _weight(d_gates, h_before)
    return d_gates @ w_ih, dh, dc, *weights, _if(b_ih, d_b), _if(b_hh, d_b), d_hr


@primitive
def gru(
    x: Array,
    h: Array,
    w_ih: Array,
    w_hh: Array,
    b_ih: Maybe,
    b_hh: Maybe,
    *,
    reverse: bool = False,
    lengths: Lengths = None,
) -> tuple[Array, Array]:
    """n = tanh(w_in x + r·(w_hn h)), h = (1 - z)·n + z·h; gates in the order r, z, n."""
    _check("gru", x, h, w_ih, w_hh, gates=3)
    gates, recurrent, size = _project(x, w_ih, b_ih), _for_rows(w_hh, x), h.shape[1]
    outputs, live = np.zeros((*x.shape[:2], size), x.dtype), _live(x, lengths)
    for t in _times(x, reverse):
        r, z, n, _ = _gru_gates(gates[t], _plus(h @ recurrent, b_hh), size)
        new = n + z * (h - n)
        h = outputs[t] = new if live is None else np.where(live[t], new, h)
    return _silent(outputs, live), h.copy()


@gru.gradient
def _(
    g: Sequence[Maybe],
    out: Sequence[Array],
    x: Array,
    h: Array,
    w_ih: Array,
    w_hh: Array,
    b_ih: Maybe,
    b_hh: Maybe,
    *,
    reverse: bool = False,
    lengths: Lengths = None,
) -> tuple[Maybe, ...]:
    outputs, live, size = out[0], _live(x, lengths), h.shape[1]
    before = _before(outputs, h, lengths, reverse)
    r, z, n, of_state = _gru_gates(_project(x, w_ih, b_ih), _plus(before @ w_hh.T, b_hh), size)
    d_x, d_h = np.zeros((*x.shape[:2], 3 * size), x.dtype), np.zeros((*x.shape[:2], 3 * size), x.dtype)
    dh, d_out = _or_zeros(g[1], h), _heard(g[0], outputs, live)
    for t in _times(x, not reverse):
        whole = dh + d_out[t]
        d_n = whole * (1 - z[t]) * (1 - n[t] * n[t])
        d_z = whole * (before[t] - n[t]) * z[t] * (1 - z[t])
        d_r = d_n * of_state[t] * r[t] * (1 - r[t])
        now, recurrent = np.concatenate((d_r, d_z, d_n), axis=1), np.concatenate((d_r, d_z, d_n * r[t]), axis=1)
        d_x[t] = now if live is None else np.where(live[t], now, 0)
        d_h[t] = recurrent if live is None else np.where(live[t], recurrent, 0)
        dh = _kept(d_h[t] @ w_hh + whole * z[t], whole, live, t)
    biases = _if(b_ih, d_x.sum((0, 1))), _if(b_hh, d_h.sum((0, 1)))
    return d_x @ w_ih, dh, _weight(d_x, x), _weight(d_h, before), *biases


def _check(name: str, x: Array, h: Array, w_ih: Array, w_hh: Array, gates: int) -> None:
    if x.ndim != 3 or not len(x):
        raise ShapeError(f"{name}: inputs of shape {x.shape}; expected (times, batch, features) with at least one time")
    if x.shape[2] != w_ih.shape[1]:
        raise ShapeError(f"{name}: inputs have {x.shape[2]} features; the weights expect {w_ih.shape[1]}")
    if h.shape != (x.shape[1], w_hh.shape[1]):
        raise ShapeError(f"{name}: the first state has shape {h.shape}; expected {(x.shape[1], w_hh.shape[1])}")
    if w_hh.shape[0] != w_ih.shape[0] or w_hh.shape[0] % gates:
        raise ShapeError(f"{name}: {w_ih.shape} and {w_hh.shape} are not the weights of {gates} gates")


def _times(x: Array, reverse: bool) -> range:
    return range(len(x) - 1, -1, -1) if reverse else range(len(x))


def _plus(x: Array, bias: Maybe) -> Array:
    return x if bias is None else x + bias


def _project(x: Array, weight: Array, *biases: Maybe) -> Array:
    """The inputs of all times through the weights, with the biases, in one GEMM."""
    gates = (x.reshape(-1, x.shape[2]) @ weight.T).reshape(*x.shape[:2], -1)
    for bias in biases:
        if bias is not None:
            gates += bias
    return gates


def _for_rows(weight: Array, x: Array) -> Array:
    """weightᵀ; copied where many steps follow, since BLAS then needs half the time for the few rows of each."""
    return np.ascontiguousarray(weight.T) if len(x) > 8 else weight.T


def _weight(d_gates: Array, x: Array) -> Array:
    """The gradient of a weight from all times' gates and inputs, in one GEMM."""
    return d_gates.reshape(-1, d_gates.shape[2]).T @ x.reshape(-1, x.shape[2])


def _sigmoid(x: Array) -> Array:
    """In place; as a tanh it cannot overflow."""
    x *= 0.5
    np.tanh(x, out=x)
    x += 1
    x *= 0.5
    return x


def _squashed(gates: Array, size: int) -> Array:
    """The LSTM's gates i, f, g, o out of their sums, in place."""
    _sigmoid(gates[..., : 2 * size])
    np.tanh(gates[..., 2 * size : 3 * size], out=gates[..., 2 * size : 3 * size])
    _sigmoid(gates[..., 3 * size :])
    return gates


def _gru_gates(of_input: Array, of_state: Array, size: int) -> tuple[Array, Array, Array, Array]:
    """r, z, n, and the state's part of n before r is applied."""
    both = _sigmoid(of_input[..., : 2 * size] + of_state[..., : 2 * size])
    r, z, part = both[..., :size], both[..., size:], of_state[..., 2 * size :]
    return r, z, np.tanh(of_input[..., 2 * size :] + r * part), part


def _live(x: Array, lengths: Lengths) -> Array | None:
    """(T, N, 1): whether a sequence is still going at a time; None where all go to the end."""
    if lengths is None or min(lengths, default=len(x)) == len(x):
        return None
    live: Array = np.arange(len(x))[:, None, None] < np.asarray(lengths)[None, :, None]
    return live


def _silent(outputs: Array, live: Maybe) -> Array:
    return outputs if live is None else outputs * live


def _or_zeros(gradient: Maybe, like: Array) -> Array:
    return np.zeros_like(like) if gradient is None else gradient


def _heard(gradient: Maybe, outputs: Array, live: Maybe) -> Array:
    """The outputs' gradient, without what fell on padding."""
    return _silent(_or_zeros(gradient, outputs), live)


def _kept(moved: Array, stayed: Array, live: Maybe, t: int) -> Array:
    return moved if live is None else np.where(live[t], moved, stayed)


def _if(operand: Maybe, gradient: Array) -> Maybe:
    return None if operand is None else gradient


def _before(outputs: Array, first: Array, lengths: Lengths, reverse: bool) -> Array:
    """The state before each time: the output of the time that was run before it, or the first state."""
    if not reverse:
        return np.concatenate((first[None], outputs[:-1]))
    before = np.concatenate((outputs[1:], first[None]))
    if lengths is not None:
        before[np.asarray(lengths) - 1, np.arange(len(lengths))] = first
    return before


def _cells(gates: Array, first: Array, live: Maybe, reverse: bool) -> tuple[Array, Array]:
    """The LSTM's cell states before and after each time."""
    before, after = np.empty((*gates.shape[:2], first.shape[1]), gates.dtype), []
    c = first
    times = _times(gates, reverse)
    for t in times:
        i, f, g, _ = np.split(gates[t], 4, axis=1)
        before[t] = c
        new = f * c + i * g
        c = new if live is None else np.where(live[t], new, c)
        after.append(new)
    return before, np.stack(after[::-1] if reverse else after)
